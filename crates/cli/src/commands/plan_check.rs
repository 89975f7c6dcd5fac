//! `aidt plan check`: the compiler and the catalogue, without a server or a home.

use super::{Context, Done};
use crate::args::{CheckArgs, Output};
use crate::diagnostics::{of_local, render};
use crate::exit::Exit;
use crate::plan_file::read_plan;
use crate::terminal::Style;
use aidt_client::{Diagnostic, PlanSource};
use aidt_plan::{Catalogue, Source, compile};

pub(crate) fn check(args: &CheckArgs, context: &Context<'_>) -> Done {
    let terminal = context.terminal;
    let source = read_plan(&args.plan, terminal)?;
    let entries = context.host.catalogue(args.tools.as_deref())?;
    let catalogue = Catalogue::new(entries);
    let document = Source { name: source.name.clone(), text: source.text.clone() };
    let (valid, diagnostics, steps) = match compile(&document, &catalogue) {
        Ok(compiled) => (true, compiled.warnings, compiled.snapshot.steps.len()),
        Err(diagnostics) => (false, diagnostics, 0),
    };
    let diagnostics: Vec<Diagnostic> = diagnostics.iter().map(of_local).collect();
    match args.output {
        Output::Json => terminal.print(serde_json::to_string(&diagnostics).expect("they have string keys"))?,
        Output::Text => show(&source, valid, &diagnostics, steps, context),
    }
    Ok(if valid { Exit::DONE } else { Exit::BAD_INPUT })
}

fn show(source: &PlanSource, valid: bool, diagnostics: &[Diagnostic], steps: usize, context: &Context<'_>) {
    let terminal = context.terminal;
    if !diagnostics.is_empty() {
        terminal.note(render(diagnostics, Some(source), terminal.colors()));
        terminal.note("");
    }
    let name = crate::terminal::visible(&source.name);
    if valid {
        terminal.note(format!("{} {name} is valid: {steps} steps", terminal.paint(Style::Good, "✓")));
    } else {
        terminal.note(format!("{} {name} is not valid: {}", terminal.paint(Style::Bad, "✗"), counted(diagnostics)));
    }
}

fn counted(diagnostics: &[Diagnostic]) -> String {
    let errors = diagnostics.iter().filter(|d| d.more.get("severity").is_none_or(|s| s != "warning")).count();
    match errors {
        1 => "1 error".to_owned(),
        n => format!("{n} errors"),
    }
}
