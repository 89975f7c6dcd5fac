//! `aidt runs ls`.

use super::{Done, Reading};
use crate::args::{LsArgs, Output};
use crate::exit::Exit;
use crate::table::table;
use crate::terminal::Style;
use crate::time::{between, human};
use aidt_client::{Run, RunFilter};

pub(crate) async fn ls(args: LsArgs, reading: &Reading<'_>) -> Done {
    let terminal = reading.terminal;
    let LsArgs { states, plan, labels, limit, after, output } = args;
    let labels = labels.iter().map(|l| format!("{}={}", l.key, l.value)).collect();
    let filter = RunFilter { states, plan, labels, limit, after };
    let page = reading.session.call(async |client| client.runs(&filter).await).await?;
    if output == Output::Json {
        terminal.print(serde_json::to_string(&page).expect("a page has string keys"))?;
        return Ok(Exit::DONE);
    }
    let head = ["RUN", "STATE", "PLAN", "CREATED", "TOOK", "ERROR"].map(str::to_owned).to_vec();
    let rows: Vec<Vec<String>> = std::iter::once(head).chain(page.items.iter().map(row)).collect();
    for (at, line) in table(&rows).into_iter().enumerate() {
        terminal.print(if at == 0 { terminal.paint_out(Style::Faint, line) } else { line })?;
    }
    if let Some(next) = page.next {
        terminal.note(terminal.paint(Style::Faint, format!("more: --after {next}")));
    }
    Ok(Exit::DONE)
}

fn row(run: &Run) -> Vec<String> {
    let created = run.text("created_at").unwrap_or_default();
    let took = run.text("ended_at").and_then(|ended| between(created, ended)).map(human);
    let error = run.error.as_ref().map(|e| e.code.to_string());
    vec![
        run.id.to_string(),
        run.state.to_string(),
        run.text("plan").unwrap_or_default().to_owned(),
        created.to_owned(),
        took.unwrap_or_default(),
        error.unwrap_or_default(),
    ]
}
