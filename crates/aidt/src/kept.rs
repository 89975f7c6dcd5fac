//! A service on a thread of its own.

use crate::error::cannot;
use aidt_cli::HostError;
use aidt_domain::ErrorCode;
use aidt_runtime::Thread;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

/// A thread that outlives its work until it is stopped: connections that were opened on it are served by
/// its runtime, and the process may still need them.
#[derive(Debug)]
pub(crate) struct Kept {
    name: &'static str,
    thread: Thread<()>,
    ended: oneshot::Receiver<Result<(), String>>,
    over: bool,
}

impl Kept {
    /// Starts a thread, makes the service on it, and answers with the view that others have of it.
    pub(crate) async fn start<V, M, F, W>(name: &'static str, make: M) -> Result<(V, Self), HostError>
    where
        V: Send + 'static,
        M: FnOnce() -> F + Send + 'static,
        F: Future<Output = Result<(V, W), HostError>>,
        W: Future<Output = Result<(), String>>,
    {
        let (tell_made, made) = oneshot::channel();
        let (tell_ended, ended) = oneshot::channel();
        let body = move || async move {
            // Errors of sending say that nobody waits any more.
            match make().await {
                Ok((view, work)) => {
                    let _ = tell_made.send(Ok(view));
                    let _ = tell_ended.send(work.await);
                }
                Err(error) => drop(tell_made.send(Err(error))),
            }
            CancellationToken::new().cancelled().await;
        };
        let failed = |e| cannot(ErrorCode::Unavailable, "cannot start a thread", e);
        let thread = Thread::spawn(name, body).map_err(failed)?;
        match made.await {
            Ok(made) => Ok((made?, Self { name, thread, ended, over: false })),
            Err(_) => Err(HostError::new(ErrorCode::Internal, format!("{name} panicked at its start"))),
        }
    }

    /// Until the work ends: how. Cancel safe.
    pub(crate) async fn ended(&mut self) -> Result<(), String> {
        if self.over {
            return std::future::pending().await;
        }
        let ended = (&mut self.ended).await;
        self.over = true;
        // Without a word only when it panicked.
        ended.unwrap_or_else(|_| Err(format!("{} panicked", self.name)))
    }

    /// Waits for the work, which was told to end, and says so, and answers false, if it did not end well. What had
    /// ended before is nothing new.
    pub(crate) async fn drained(&mut self) -> bool {
        if self.over {
            return true;
        }
        let ended = self.ended().await;
        if let Err(why) = &ended {
            tracing::error!(what = self.name, why, "a service did not end well");
        }
        ended.is_ok()
    }

    /// Ends the thread. What still works on it is dropped.
    pub(crate) async fn stop(self) {
        self.thread.stop().await;
    }

    pub(crate) fn name(&self) -> &'static str {
        self.name
    }
}
