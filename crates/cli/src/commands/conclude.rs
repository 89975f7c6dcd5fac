//! From an accepted run to the end of a command: follow, show, print, exit.

use super::{Context, Done};
use crate::args::Output;
use crate::error::CliError;
use crate::exit::Exit;
use crate::outcome::{self, Outcome};
use crate::session::Session;
use crate::watch::{Ended, Watch};
use aidt_client::{Run, Step};

/// What goes to standard output in the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Show {
    /// The run's outputs.
    Outputs,
    /// The output of the run's only step but `@workspace`.
    StepOutput,
    /// The object that programs read.
    Json,
}

impl From<Output> for Show {
    fn from(output: Output) -> Self {
        match output {
            Output::Text => Self::Outputs,
            Output::Json => Self::Json,
        }
    }
}

/// Follows the run until there is a reason to leave, and shows what it came to.
pub(crate) async fn conclude(watch: Watch, show: Show, session: &Session<'_>, context: &mut Context<'_>) -> Done {
    match follow(watch, show, session, context).await {
        // The result could not be written: the exit code still tells what the run came to.
        Err(error) if !error.broken_pipe && show == Show::Json => {
            Outcome { run: Some(watch.run), ..Outcome::of_error(&error) }.print(context.terminal)?;
            Err(error)
        }
        other => other,
    }
}

async fn follow(watch: Watch, show: Show, session: &Session<'_>, context: &mut Context<'_>) -> Done {
    let terminal = context.terminal;
    let (ended, progress) = watch.until_end(session, terminal, &mut context.interrupts).await?;
    if ended == Ended::Killed {
        return Ok(Exit::KILLED);
    }
    let (run, steps) = outcome::read(session, watch.run).await?;
    let exit = outcome::exit_of(ended, &run);
    outcome::tell(&run, &progress, exit, context.host, terminal);
    if matches!(ended, Ended::TimedOut | Ended::Left) && !run.state.is_terminal() {
        terminal.note(format!("the run goes on while something serves it: aidt runs watch {}", run.id));
    }
    match print(show, &run, &steps, context) {
        Err(error) if error.broken_pipe => Ok(exit),
        printed => printed.map(|()| exit),
    }
}

fn print(show: Show, run: &Run, steps: &[Step], context: &Context<'_>) -> Result<(), CliError> {
    let terminal = context.terminal;
    match show {
        Show::Json => Outcome::of(run, steps).print(terminal),
        Show::Outputs => run.outputs.iter().try_for_each(|outputs| outcome::print_outputs(outputs, terminal)),
        Show::StepOutput => {
            let last = steps.iter().rev().find_map(|step| step.output.as_ref());
            last.iter().try_for_each(|output| {
                let text = output.value().map_or_else(|| output.text().to_owned(), |v| outcome::pretty(&v));
                Ok(terminal.print(text)?)
            })
        }
    }
}
