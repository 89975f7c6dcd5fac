//! `aidt serve`: every service, until it is told to stop.

use super::{Context, Done};
use crate::args::ServeArgs;
use crate::exit::Exit;
use crate::host::Serve;
use crate::terminal::Style;
use tokio_util::sync::CancellationToken;

pub(crate) async fn serve(args: ServeArgs, context: &mut Context<'_>) -> Done {
    let ServeArgs { listen, tools, policy, database, queue, lock, artifacts } = args;
    let options = Serve { listen, tools, policy, database, queue, lock, artifacts };
    let (terminal, stop) = (context.terminal, CancellationToken::new());
    let ready = |endpoint: &aidt_client::Endpoint| {
        terminal.note(format!("{} listening on {endpoint}", terminal.paint(Style::Good, "●")));
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
