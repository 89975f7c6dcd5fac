//! `aidt serve`: the services of this process, until it is told to stop.

use super::{Context, Done};
use crate::args::ServeArgs;
use crate::exit::Exit;
use crate::host::{Serve, Serving};
use crate::terminal::{Style, Terminal};
use tokio_util::sync::CancellationToken;

pub(crate) async fn serve(args: ServeArgs, context: &mut Context<'_>) -> Done {
    let ServeArgs { services, listen, tools, policy, database, queue, lock, artifacts, prefix, step_consumers } = args;
    let options = Serve { services, listen, tools, policy, database, queue, lock, artifacts, prefix, step_consumers };
    let (terminal, stop) = (context.terminal, CancellationToken::new());
    let ready = |serving: &Serving| {
        say(terminal, serving);
        if let Some(notice) = context.host.embedded_notice() {
            terminal.note(terminal.paint(Style::Warn, notice));
        }
    };
    let serving = context.host.serve(&options, stop.clone(), &ready);
    tokio::pin!(serving);
    loop {
        tokio::select! {
            biased;
            () = context.interrupts.next() => {
                if stop.is_cancelled() {
                    return Ok(Exit::KILLED);
                }
                terminal.note(terminal.paint(Style::Warn, "draining; once more ends this at once"));
                stop.cancel();
            }
            served = &mut serving => return Ok(served.map(|()| Exit::DONE)?),
        }
    }
}

/// Where it listens, what runs, and what it works with.
fn say(terminal: &Terminal, serving: &Serving) {
    terminal.note(format!("{} listening on {}", terminal.paint(Style::Good, "●"), serving.endpoint));
    let services: Vec<&str> = serving.services.iter().map(|s| s.name()).collect();
    let services = ("services", services.join(", "));
    for (what, which) in std::iter::once(&services).chain(&serving.with) {
        terminal.note(terminal.paint(Style::Faint, format!("  {what:<15} {which}")));
    }
}
