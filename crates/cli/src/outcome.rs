//! What a run came to, for people and for programs.

use crate::error::CliError;
use crate::exit::Exit;
use crate::host::Host;
use crate::progress::{Progress, short};
use crate::session::Session;
use crate::terminal::{Style, Terminal, visible};
use crate::watch::Ended;
use aidt_client::{Accepted, Json, Run, Step};
use aidt_domain::{Attempt, DispatchNo, Failure, RunId, RunState, StepPath, StepState};
use serde::Serialize;
use serde_json::Value;

/// The object in which `run --output json` ends: a shape that others script against.
#[derive(Debug, Serialize)]
pub(crate) struct Outcome {
    pub(crate) run: Option<RunId>,
    pub(crate) state: Option<RunState>,
    pub(crate) error: Option<Value>,
    pub(crate) outputs: Option<Json>,
    pub(crate) steps: Vec<StepOutcome>,
}

/// A step in it.
#[derive(Debug, Serialize)]
pub(crate) struct StepOutcome {
    path: StepPath,
    state: StepState,
    attempt: Attempt,
    dispatch: DispatchNo,
    output: Option<Json>,
}

impl Outcome {
    pub(crate) fn of(run: &Run, steps: &[Step]) -> Self {
        Self {
            run: Some(run.id),
            state: Some(run.state),
            error: run.error.as_ref().map(|e| serde_json::to_value(e).unwrap_or_default()),
            outputs: run.outputs.clone(),
            steps: steps.iter().map(StepOutcome::of).collect(),
        }
    }

    /// Of a run that nobody waits for.
    pub(crate) fn of_accepted(accepted: &Accepted) -> Self {
        let (run, state) = (Some(accepted.id), Some(accepted.state));
        Self { run, state, error: None, outputs: None, steps: Vec::new() }
    }

    /// Of a command that failed before there was a run.
    pub(crate) fn of_error(error: &CliError) -> Self {
        let mut value = serde_json::json!({ "code": error.code, "message": error.message, "help": error.help });
        if !error.diagnostics.is_empty() {
            value["errors"] = serde_json::json!(error.diagnostics);
        }
        Self { run: None, state: None, error: Some(value), outputs: None, steps: Vec::new() }
    }

    /// On one line: the last one of standard output.
    pub(crate) fn print(&self, terminal: &Terminal) -> Result<(), CliError> {
        let text = serde_json::to_string(self).expect("the object has string keys");
        Ok(terminal.print(text)?)
    }
}

impl StepOutcome {
    fn of(step: &Step) -> Self {
        Self {
            path: step.path.clone(),
            state: step.state,
            attempt: step.attempt,
            dispatch: step.dispatch,
            output: step.output.clone(),
        }
    }
}

/// The exit code, once watching has ended.
pub(crate) fn exit_of(ended: Ended, run: &Run) -> Exit {
    match ended {
        Ended::Run => Exit::of_run(run.state, run.error.as_ref().map(|e| e.code)),
        // It may have ended meanwhile.
        _ if run.state.is_terminal() => Exit::of_run(run.state, run.error.as_ref().map(|e| e.code)),
        Ended::OnlyUnknown => Exit::UNKNOWN_OUTCOME,
        Ended::TimedOut => Exit::TIMED_OUT,
        Ended::Left => Exit::CANCELLED,
        Ended::Killed => Exit::KILLED,
    }
}

/// Reads the run and its steps as they are now.
pub(crate) async fn read(session: &Session<'_>, run: RunId) -> Result<(Run, Vec<Step>), CliError> {
    let row = session.call(async |client| client.run(run).await).await?;
    let steps = session.call(async |client| client.steps(run).await).await?;
    Ok((row, steps))
}

/// Tells a person what the run came to, on standard error.
pub(crate) fn tell(run: &Run, progress: &Progress, exit: Exit, host: &dyn Host, terminal: &Terminal) {
    if let Some(commit) = progress.last_commit() {
        let paths = commit.paths.join(", ");
        terminal.note(format!("commit {} changes {}", commit.id, visible(&paths)));
        if let Some(repository) = host.workspace(run.id) {
            terminal.note(format!("  git -C {} show {}", repository.display(), short(&commit.id)));
        }
    }
    if let Some(error) = &run.error {
        tell_error(error, terminal);
    }
    for step in progress.unknown() {
        terminal.note(format!("step {step}: it is not known whether it happened; find out, then"));
        terminal.note(format!("  aidt runs resolve {} {step} done|failed|retry", run.id));
    }
    let (glyph, style) = match exit {
        Exit::DONE => ("✓", Style::Good),
        Exit::UNKNOWN_OUTCOME | Exit::TIMED_OUT | Exit::CANCELLED => ("■", Style::Warn),
        _ => ("✗", Style::Bad),
    };
    let (glyph, state) = (terminal.paint(style, glyph), terminal.paint(Style::Strong, run.state));
    terminal.note(format!("{glyph} {} is {state} (exit {}: {})", run.id, exit.code, exit.meaning()));
}

fn tell_error(error: &Failure, terminal: &Terminal) {
    let head = terminal.paint(Style::Bad, format!("{}:", error.code));
    let at = error.step.as_ref().map(|step| format!(" in step {step}")).unwrap_or_default();
    terminal.note(format!("{head} {}{at}", visible(&error.message)));
    terminal.note(format!("  help: {}", error.code.help()));
}

/// Prints outputs for a person: text as it is, the rest as JSON.
pub(crate) fn print_outputs(outputs: &Json, terminal: &Terminal) -> Result<(), CliError> {
    match outputs.value() {
        Some(Value::Object(outputs)) => {
            for (name, value) in &outputs {
                let name = terminal.paint_out(Style::Strong, format!("{name}:"));
                match value {
                    Value::String(text) if text.contains('\n') => {
                        terminal.print(format!("{name}\n{}", visible(text.trim_end_matches('\n'))))?;
                    }
                    Value::String(text) => terminal.print(format!("{name} {}", visible(text)))?,
                    other => terminal.print(format!("{name} {}", pretty(other)))?,
                }
            }
        }
        Some(Value::Null) => {}
        Some(other) => terminal.print(pretty(&other))?,
        None => terminal.print(visible(outputs.text()))?,
    }
    Ok(())
}

/// JSON for people.
pub(crate) fn pretty(value: &Value) -> String {
    serde_json::to_string_pretty(value).expect("a value has string keys")
}
