//! Staying with a run until it ends, or until there is a reason to leave.

use crate::error::CliError;
use crate::progress::Progress;
use crate::session::Session;
use crate::terminal::{Interrupts, Style, Terminal};
use aidt_client::{ClientError, Follow, Update};
use aidt_domain::{RunId, Seq};
use futures::stream::{self, StreamExt};
use std::time::Duration;
use tokio::time::Instant;

/// What the first Ctrl-C does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OnInterrupt {
    /// Asks the run to end, and stays until it has.
    Cancel,
    /// Leaves; the run goes on.
    Leave,
}

/// Why watching ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// The run has.
    Run,
    /// Nothing is left but steps whose outcome nobody knows.
    OnlyUnknown,
    /// The time that was given for it is over.
    TimedOut,
    /// It was interrupted, and does not stay.
    Left,
    /// It was interrupted twice.
    Killed,
}

/// How to watch.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Watch {
    pub(crate) run: RunId,
    pub(crate) on_interrupt: OnInterrupt,
    /// It was already interrupted once.
    pub(crate) interrupted: bool,
    pub(crate) timeout: Option<Duration>,
}

type Answer<'s> = std::pin::Pin<Box<dyn Future<Output = Result<(), CliError>> + 's>>;
type Look<'s> = std::pin::Pin<Box<dyn Future<Output = Result<bool, CliError>> + 's>>;

impl Watch {
    /// Follows the run, shows what happens to it, and cancels it when it is told to.
    pub(crate) async fn until_end(
        self,
        session: &Session<'_>,
        terminal: &Terminal,
        interrupts: &mut Interrupts,
    ) -> Result<(Ended, Progress), CliError> {
        let mut progress = Progress::default();
        let mut updates = Box::pin(updates(session.follow(self.run, Seq(0))));
        let deadline = self.timeout.map(|timeout| Instant::now() + timeout);
        let mut interrupted = self.interrupted;
        let mut cancel: Option<Answer<'_>> = None;
        if interrupted {
            cancel = Some(self.cancel(session, terminal));
        }
        let mut look: Option<Look<'_>> = None;
        let mut look_again = false;
        loop {
            tokio::select! {
                biased;
                () = interrupts.next() => {
                    if interrupted {
                        return Ok((Ended::Killed, progress));
                    }
                    if self.on_interrupt == OnInterrupt::Leave {
                        return Ok((Ended::Left, progress));
                    }
                    interrupted = true;
                    cancel = Some(self.cancel(session, terminal));
                }
                answer = ready(&mut cancel) => {
                    cancel = None;
                    if let Err(error) = answer {
                        error.show(terminal);
                    }
                }
                only_unknown = ready(&mut look) => {
                    if only_unknown? && !interrupted {
                        return Ok((Ended::OnlyUnknown, progress));
                    }
                    look = std::mem::take(&mut look_again).then(|| self.look(session));
                }
                () = until(deadline) => return Ok((Ended::TimedOut, progress)),
                update = updates.next() => match update {
                    None => return Ok((Ended::Run, progress)),
                    Some(update) => {
                        let update = update?;
                        progress.show(&update, terminal);
                        if matches!(update, Update::Event(_)) && !progress.unknown().is_empty() {
                            look_again |= look.is_some();
                            look.get_or_insert_with(|| self.look(session));
                        }
                    }
                },
            }
        }
    }

    fn look<'s>(self, session: &'s Session<'_>) -> Look<'s> {
        Box::pin(only_unknown(session, self.run))
    }

    fn cancel<'s>(self, session: &'s Session<'_>, terminal: &Terminal) -> Answer<'s> {
        terminal.note(terminal.paint(Style::Warn, "cancelling the run; once more ends this at once"));
        // A second cancel of the same run changes nothing, so it may be repeated.
        Box::pin(
            async move { session.call(async |client| client.cancel(self.run, "interrupted").await).await.map(drop) },
        )
    }
}

/// The follower as a stream: its place outlives the branches of a select.
fn updates(follow: Follow<'_>) -> impl stream::Stream<Item = Result<Update, ClientError>> {
    stream::unfold(Some(follow), async |follow| {
        let mut follow = follow?;
        match follow.next().await {
            Ok(None) => None,
            Ok(Some(update)) => Some((Ok(update), Some(follow))),
            Err(error) => Some((Err(error), None)),
        }
    })
}

async fn only_unknown(session: &Session<'_>, run: RunId) -> Result<bool, CliError> {
    let reasons = session.call(async |client| client.explain(run).await).await?.reasons;
    // What waits for such a step waits for the person too.
    let stuck = |code: &str| matches!(code, "unknown_outcome" | "dependency");
    Ok(reasons.iter().any(|r| r.code == "unknown_outcome") && reasons.iter().all(|r| stuck(&r.code)))
}

async fn ready<T>(future: &mut Option<std::pin::Pin<Box<dyn Future<Output = T> + '_>>>) -> T {
    match future {
        Some(future) => future.await,
        None => std::future::pending().await,
    }
}

async fn until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}
