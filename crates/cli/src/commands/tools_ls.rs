//! `aidt tools ls`.

use super::{Done, Reading};
use crate::args::Output;
use crate::exit::Exit;
use crate::table::table;
use crate::terminal::Style;

pub(crate) async fn ls(output: Output, reading: &Reading<'_>) -> Done {
    let terminal = reading.terminal;
    let tools = reading.session.call(async |client| client.tools().await).await?;
    if output == Output::Json {
        let list = serde_json::json!({ "items": tools, "next": null });
        terminal.print(list)?;
        return Ok(Exit::DONE);
    }
    let head = ["TOOL", "CAPABILITY", "EFFECT", "POOL", "DESCRIPTION"].map(str::to_owned).to_vec();
    let row = |tool: &aidt_client::Tool| {
        ["name", "capability", "effect", "pool", "description"].map(|field| tool.text(field).to_owned()).to_vec()
    };
    let rows: Vec<Vec<String>> = std::iter::once(head).chain(tools.iter().map(row)).collect();
    for (at, line) in table(&rows).into_iter().enumerate() {
        terminal.print(if at == 0 { terminal.paint_out(Style::Faint, line) } else { line })?;
    }
    Ok(Exit::DONE)
}
