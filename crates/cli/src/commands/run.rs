//! `aidt run`: submit once, follow to the end, whoever serves meanwhile.

use super::conclude::conclude;
use super::{Context, Done};
use crate::args::{Output, RunArgs};
use crate::error::CliError;
use crate::exit::Exit;
use crate::host::Embed;
use crate::inputs::{gather, needs_types, types_of};
use crate::outcome::Outcome;
use crate::plan_file::read_plan;
use crate::session::Session;
use crate::terminal::Style;
use crate::watch::{OnInterrupt, Watch};
use aidt_client::{Accepted, Submission};
use aidt_domain::ErrorCode;
use std::path::Path;

pub(crate) async fn run(args: RunArgs, context: &mut Context<'_>) -> Done {
    let embed = Embed { tools: args.tools.clone(), workers: args.workers.clone(), ..Embed::default() };
    let session = context.session_with(embed);
    let submitted = match prepare(&args, &session, context).await {
        Ok(Some(submission)) => submit(&submission, &session, context).await,
        Ok(None) => return Ok(Exit::CANCELLED),
        Err(error) => Err(error),
    };
    let (accepted, interrupted) = match submitted {
        Ok(Some(submitted)) => submitted,
        Ok(None) => return Ok(Exit::KILLED),
        Err(error) => {
            if args.output == Output::Json && !error.broken_pipe {
                Outcome::of_error(&error).print(context.terminal)?;
            }
            return Err(error);
        }
    };
    if args.detach && !interrupted {
        return detached(&accepted, args.output, context);
    }
    let run = accepted.id;
    context.terminal.note(context.terminal.paint(Style::Faint, run));
    let watch = Watch { run, on_interrupt: OnInterrupt::Cancel, interrupted, timeout: args.timeout };
    conclude(watch, args.output.into(), &session, context).await
}

/// Reads plan and inputs. `None`: it was interrupted, and nothing was submitted.
async fn prepare(
    args: &RunArgs,
    session: &Session<'_>,
    context: &mut Context<'_>,
) -> Result<Option<Submission>, CliError> {
    if args.plan == Path::new("-") && args.inputs.inputs.as_deref() == Some(Path::new("-")) {
        let message = "plan and inputs cannot both come from standard input";
        return Err(CliError::new(ErrorCode::InvalidArgument, message).help("put one of them into a file"));
    }
    let source = read_plan(&args.plan, context.terminal)?;
    let types = if needs_types(&args.inputs) {
        let checked = tokio::select! {
            biased;
            () = context.interrupts.next() => return Ok(None),
            checked = session.call(async |client| client.check_plan(&source).await) => checked,
        };
        types_of(&checked.map_err(|e| e.about(&source))?.inputs)
    } else {
        Default::default()
    };
    let inputs = gather(&args.inputs, &types, context.terminal)?;
    let labels = args.labels.iter().map(|l| (l.key.clone(), l.value.clone())).collect();
    Ok(Some(Submission { source: Some(source), inputs, labels, plan: None }))
}

/// Submits, under a key of its own: if the answer is lost with whoever was to give it, the same again gives
/// the same run. A first interruption waits for the run's id, so that there is something to cancel;
/// `None` after the second.
pub(crate) async fn submit(
    submission: &Submission,
    session: &Session<'_>,
    context: &mut Context<'_>,
) -> Result<Option<(Accepted, bool)>, CliError> {
    let key = context.host.random_key();
    let call = session.call(async |client| client.submit(submission, &key).await);
    tokio::pin!(call);
    let mut interrupted = false;
    loop {
        tokio::select! {
            biased;
            () = context.interrupts.next() => {
                if interrupted {
                    return Ok(None);
                }
                interrupted = true;
            }
            accepted = &mut call => {
                return match accepted {
                    Ok(accepted) => Ok(Some((accepted, interrupted))),
                    Err(error) => Err(submission.source.iter().fold(error, CliError::about)),
                };
            }
        }
    }
}

fn detached(accepted: &Accepted, output: Output, context: &Context<'_>) -> Done {
    let terminal = context.terminal;
    match output {
        Output::Text => terminal.print(accepted.id)?,
        Output::Json => Outcome::of_accepted(accepted).print(terminal)?,
    }
    if context.server.is_none() {
        terminal
            .note("accepted; it goes on while something serves the home: aidt serve, or any command that follows it");
    }
    Ok(Exit::DONE)
}
