//! `aidt runs get`.

use super::{Done, Reading};
use crate::args::{Output, RunRef};
use crate::error::CliError;
use crate::exit::Exit;
use crate::outcome::{self, print_outputs};
use crate::table::table;
use crate::terminal::{Style, Terminal, visible};
use aidt_client::{Run, Step};
use serde::Serialize;

/// The run's own object, with its steps.
#[derive(Serialize)]
struct RunWithSteps<'a> {
    #[serde(flatten)]
    run: &'a Run,
    steps: &'a [Step],
}

pub(crate) async fn get(args: RunRef, reading: &Reading<'_>) -> Done {
    let (run, steps) = outcome::read(&reading.session, args.run).await?;
    if args.output == Output::Json {
        let both = RunWithSteps { run: &run, steps: &steps };
        reading.terminal.print(serde_json::to_string(&both).expect("a run has string keys"))?;
    } else {
        show(&run, &steps, reading.terminal)?;
    }
    Ok(Exit::DONE)
}

fn show(run: &Run, steps: &[Step], terminal: &Terminal) -> Result<(), CliError> {
    let field = |name: &str| terminal.paint_out(Style::Faint, format!("{name:8}"));
    terminal.print(format!("{} {}", field("run"), run.id))?;
    terminal.print(format!("{} {}", field("state"), terminal.paint_out(Style::Strong, run.state)))?;
    for (name, key) in
        [("plan", "plan"), ("by", "submitted_by"), ("created", "created_at"), ("ended", "ended_at"), ("head", "head")]
    {
        if let Some(value) = run.text(key) {
            terminal.print(format!("{} {}", field(name), visible(value)))?;
        }
    }
    if let Some(error) = &run.error {
        let at = error.step.as_ref().map(|step| format!(" in step {step}")).unwrap_or_default();
        terminal.print(format!("{} {}: {}{at}", field("error"), error.code, visible(&error.message)))?;
    }
    let head = ["STEP", "STATE", "ATTEMPT", "DISPATCH", "TOOL"].map(str::to_owned).to_vec();
    let rows: Vec<Vec<String>> = std::iter::once(head).chain(steps.iter().map(row)).collect();
    terminal.print("")?;
    for line in table(&rows) {
        terminal.print(line)?;
    }
    if let Some(outputs) = &run.outputs {
        terminal.print("")?;
        print_outputs(outputs, terminal)?;
    }
    Ok(())
}

fn row(step: &Step) -> Vec<String> {
    let tool = step.more.get("tool").and_then(serde_json::Value::as_str).unwrap_or_default();
    vec![
        step.path.to_string(),
        step.state.to_string(),
        step.attempt.to_string(),
        step.dispatch.to_string(),
        tool.to_owned(),
    ]
}
