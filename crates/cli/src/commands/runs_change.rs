//! `aidt runs cancel | retry | resolve`: a command to a run, and the event that it caused.

use super::conclude::conclude;
use super::{Context, Done};
use crate::args::{CancelArgs, Output, ResolveArgs, ResolveHow, RetryArgs};
use crate::error::CliError;
use crate::exit::Exit;
use crate::session::Session;
use crate::terminal::Style;
use crate::watch::{OnInterrupt, Watch};
use aidt_client::{Applied, RetryFrom};
use aidt_domain::{ErrorCode, ResolveAs, RunId};
use serde_json::{Value, json};

pub(crate) async fn cancel(args: CancelArgs, context: &mut Context<'_>) -> Done {
    let CancelArgs { run, reason, wait, output } = args;
    let session = context.session();
    // A second cancel of the same run changes nothing, so it may be repeated.
    let applied = session.call(async |client| client.cancel(run, &reason).await).await?;
    answer(applied, After { run, wait, output }, &session, context).await
}

pub(crate) async fn retry(args: RetryArgs, context: &mut Context<'_>) -> Done {
    let RetryArgs { run, from, wait, output } = args;
    let session = context.session();
    let from = from.map_or(RetryFrom::Failed, RetryFrom::Step);
    let applied = session.call_once(async |client| client.retry(run, &from).await).await?;
    answer(applied, After { run, wait, output }, &session, context).await
}

pub(crate) async fn resolve(args: ResolveArgs, context: &mut Context<'_>) -> Done {
    let how = how(&args)?;
    let ResolveArgs { run, step, wait, output, .. } = args;
    let session = context.session();
    let applied = session.call_once(async |client| client.resolve(run, &step, &how).await).await?;
    answer(applied, After { run, wait, output }, &session, context).await
}

fn how(args: &ResolveArgs) -> Result<ResolveAs, CliError> {
    let bad = |message| Err(CliError::new(ErrorCode::InvalidArgument, message));
    match (args.how, &args.result, &args.message) {
        (ResolveHow::Done, _, Some(_)) => bad("--message is for `failed`"),
        (ResolveHow::Done, result, None) => {
            let result = result.as_deref().unwrap_or("null");
            serde_json::from_str(result).map(ResolveAs::Done).map_err(|e| {
                CliError::new(ErrorCode::InvalidArgument, format!("--result is not JSON: {result}"))
                    .caused(&e)
                    .help("quote text twice: --result '\"text\"'")
            })
        }
        (_, Some(_), _) => bad("--result is for `done`"),
        (ResolveHow::Failed, None, message) => {
            let message = message.as_deref().unwrap_or("a person found that it did not happen");
            Ok(ResolveAs::Failed(message.to_owned()))
        }
        (ResolveHow::Retry, None, Some(_)) => bad("--message is for `failed`"),
        (ResolveHow::Retry, None, None) => Ok(ResolveAs::Retry),
    }
}

/// What follows the answer.
struct After {
    run: RunId,
    wait: bool,
    output: Output,
}

async fn answer(applied: Applied, after: After, session: &Session<'_>, context: &mut Context<'_>) -> Done {
    let After { run, wait, output } = after;
    let terminal = context.terminal;
    if wait {
        let watch = Watch { run, on_interrupt: OnInterrupt::Leave, interrupted: false, timeout: None };
        return conclude(watch, output.into(), session, context).await;
    }
    match output {
        Output::Json => terminal.print(as_json(&applied))?,
        Output::Text if applied.applied => terminal.print(format!("{run} is {}", applied.state))?,
        Output::Text => {
            terminal.print(format!("{run} is {}; the command is accepted and not applied yet", applied.state))?;
        }
    }
    if !applied.state.is_terminal() {
        terminal.note(terminal.paint(Style::Faint, format!("aidt runs watch {run} follows it")));
    }
    Ok(Exit::DONE)
}

fn as_json(applied: &Applied) -> Value {
    let Applied { id, state, applied, event } = applied;
    json!({ "id": id, "state": state, "applied": applied, "event": event })
}
