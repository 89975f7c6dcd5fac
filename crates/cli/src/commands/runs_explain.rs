//! `aidt runs explain`.

use super::{Done, Reading};
use crate::args::{Output, RunRef};
use crate::exit::Exit;
use crate::terminal::{Style, visible};
use aidt_client::Reason;
use serde_json::Value;

pub(crate) async fn explain(args: RunRef, reading: &Reading<'_>) -> Done {
    let terminal = reading.terminal;
    let explanation = reading.session.call(async |client| client.explain(args.run).await).await?;
    if args.output == Output::Json {
        terminal.print(serde_json::to_string(&explanation).expect("it has string keys"))?;
        return Ok(Exit::DONE);
    }
    if explanation.reasons.is_empty() {
        let state = explanation.more.get("state").and_then(Value::as_str).unwrap_or("at its end");
        terminal.print(format!("it waits for nothing: it is {state}"))?;
    }
    for reason in &explanation.reasons {
        terminal.print(format!("{}: {}", terminal.paint_out(Style::Strong, &reason.code), visible(&words(reason))))?;
        for (name, value) in [("since", &reason.since), ("ends when", &reason.ends), ("who can", &reason.who)] {
            if let Some(value) = value {
                terminal.print(format!("  {name}: {}", visible(value)))?;
            }
        }
    }
    Ok(Exit::DONE)
}

fn words(reason: &Reason) -> String {
    let text = |name: &str| reason.more.get(name).and_then(Value::as_str);
    text("message").or(text("step")).unwrap_or_default().to_owned()
}
