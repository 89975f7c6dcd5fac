//! `aidt events`.

use super::{Done, Reading};
use crate::args::{EventsArgs, Output};
use crate::error::CliError;
use crate::exit::Exit;
use crate::terminal::{Style, Terminal, visible};
use aidt_client::{Event, Update};
use aidt_domain::Seq;

/// Characters of an event's fields that a line of text shows; `--output json` has all of them.
const SHOWN: usize = 160;

pub(crate) async fn events(args: EventsArgs, reading: &Reading<'_>) -> Done {
    let terminal = reading.terminal;
    let mut after = Seq(args.after);
    if args.follow {
        let mut follow = reading.session.follow(args.run, after);
        while let Some(update) = follow.next().await.map_err(CliError::from)? {
            if let Update::Event(event) = update {
                print(&event, args.output, terminal)?;
            }
        }
        return Ok(Exit::DONE);
    }
    loop {
        let page = reading.session.call(async |client| client.events_page(args.run, after, None).await).await?;
        for event in &page.items {
            print(event, args.output, terminal)?;
            after = event.seq;
        }
        if page.next.is_none() || page.items.is_empty() {
            return Ok(Exit::DONE);
        }
    }
}

fn print(event: &Event, output: Output, terminal: &Terminal) -> Result<(), CliError> {
    if output == Output::Json {
        return Ok(terminal.print(serde_json::to_string(event).expect("an event has string keys"))?);
    }
    let fields = serde_json::to_string(&event.fields).expect("fields have string keys");
    let shown: String = match fields.char_indices().nth(SHOWN) {
        Some((cut, _)) => format!("{}…", &fields[..cut]),
        None => fields,
    };
    let (at, step) = (terminal.paint_out(Style::Faint, &event.at), event.step.as_ref().map_or("", |s| s.as_str()));
    let line = format!("{:>5} {at} {:16} {step:12} {}", event.seq, event.kind, visible(&shown));
    Ok(terminal.print(line)?)
}
