//! `aidt dlq`.

use super::{Done, Reading};
use crate::args::{DlqCommand, DlqLsArgs, DlqShowArgs, DlqSomeArgs, Output};
use crate::error::CliError;
use crate::exit::Exit;
use crate::table::table;
use crate::terminal::{Style, visible};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

/// Bytes that are shown of a letter, unless it is asked for raw.
const SHOWN: usize = 2_048;

/// Dead letters that `--all` reads at once.
const PAGE: u32 = 1_000;

pub(crate) async fn dlq(command: DlqCommand, reading: &Reading<'_>) -> Done {
    match command {
        DlqCommand::Ls(args) => ls(args, reading).await,
        DlqCommand::Show(args) => show(args, reading).await,
        DlqCommand::Redrive(args) => each(args, "redriven", reading).await,
        DlqCommand::Drop(args) => each(args, "dropped", reading).await,
    }
}

async fn ls(args: DlqLsArgs, reading: &Reading<'_>) -> Done {
    let terminal = reading.terminal;
    let page = reading.session.call(async |client| client.dead_letters(args.after, args.limit).await).await?;
    if args.output == Output::Json {
        terminal.print(serde_json::to_string(&page).expect("a page has string keys"))?;
        return Ok(Exit::DONE);
    }
    let head = ["ID", "INLET", "RUN", "SIZE", "AT", "REASON"].map(str::to_owned).to_vec();
    let row = |letter: &Value| ["id", "inlet", "run", "size", "at", "reason"].map(|f| text(&letter[f])).to_vec();
    let rows: Vec<Vec<String>> = std::iter::once(head).chain(page.items.iter().map(row)).collect();
    for (at, line) in table(&rows).into_iter().enumerate() {
        terminal.print(if at == 0 { terminal.paint_out(Style::Faint, line) } else { line })?;
    }
    if let Some(next) = page.next {
        terminal.note(terminal.paint(Style::Faint, format!("more: --after {next}")));
    }
    Ok(Exit::DONE)
}

fn text(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

async fn show(args: DlqShowArgs, reading: &Reading<'_>) -> Done {
    let terminal = reading.terminal;
    let letter = reading.session.call(async |client| client.dead_letter(args.id).await).await?;
    let bytes = STANDARD.decode(letter["bytes"].as_str().unwrap_or_default()).unwrap_or_default();
    if args.raw {
        terminal.write(&bytes)?;
        return Ok(Exit::DONE);
    }
    if args.output == Output::Json {
        terminal.print(letter)?;
        return Ok(Exit::DONE);
    }
    for field in ["id", "inlet", "project", "run", "at", "reason"] {
        terminal.print(format!("{field:<8} {}", visible(&text(&letter[field]))))?;
    }
    for (name, value) in letter["headers"].as_object().into_iter().flatten() {
        terminal.print(visible(&format!("header   {name}: {}", text(value))))?;
    }
    let more = bytes.len().saturating_sub(SHOWN);
    terminal.print(format!("bytes    {}", bytes[..bytes.len() - more].escape_ascii()))?;
    if more > 0 {
        terminal.note(terminal.paint(Style::Faint, format!("{more} bytes more: --raw shows them")));
    }
    Ok(Exit::DONE)
}

async fn each(args: DlqSomeArgs, done: &str, reading: &Reading<'_>) -> Done {
    // What is redriven and still cannot be read becomes a new letter: only those that are there now.
    let ids = if args.all { all(reading).await? } else { args.ids };
    for (at, &id) in ids.iter().enumerate() {
        let answer = match done {
            "redriven" => reading.session.call(async |client| client.redrive(id).await).await,
            _ => reading.session.call(async |client| client.drop_dead_letter(id).await).await,
        };
        if let Err(error) = answer {
            reading.terminal.note(format!("{at} {done}, then dead letter {id} could not be"));
            return Err(error);
        }
    }
    reading.terminal.note(format!("{} {done}", ids.len()));
    Ok(Exit::DONE)
}

async fn all(reading: &Reading<'_>) -> Result<Vec<u64>, CliError> {
    let mut ids: Vec<u64> = Vec::new();
    loop {
        let after = ids.last().copied().unwrap_or(0);
        let page = reading.session.call(async |client| client.dead_letters(after, PAGE).await).await?;
        ids.extend(page.items.iter().filter_map(|l| l["id"].as_u64()));
        if page.next.is_none() || page.items.is_empty() {
            return Ok(ids);
        }
    }
}
