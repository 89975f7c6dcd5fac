//! A future on an operating system thread of its own.

use crate::TaskError;
use futures::FutureExt as _;
use std::io;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::runtime::Builder;
use tokio::sync::oneshot;
use tokio_util::sync::{CancellationToken, DropGuard};

/// A thread with a current-thread runtime that drives one future, for work that nothing else may block
/// (heartbeats) or that would block others (an owner's turn). Awaiting it gives the future's output.
/// Dropping it drops the future at its next await; the thread ends by itself.
#[derive(Debug)]
pub struct Thread<T> {
    name: String,
    done: oneshot::Receiver<Result<T, TaskError>>,
    stop: DropGuard,
}

impl<T: Send + 'static> Thread<T> {
    /// Starts it. `start` runs on the thread, so its future need not be `Send`.
    pub fn spawn<F, Fut>(name: &str, start: F) -> io::Result<Self>
    where
        F: FnOnce() -> Fut + Send + 'static,
        Fut: Future<Output = T>,
    {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let stop = CancellationToken::new();
        let (stopped, task) = (stop.clone(), name.to_owned());
        let (report, done) = oneshot::channel();
        let body = move || {
            let work = async {
                let future = AssertUnwindSafe(async { start().await }).catch_unwind();
                tokio::select! {
                    biased;
                    () = stopped.cancelled() => None,
                    output = future => Some(output),
                }
            };
            if let Some(output) = runtime.block_on(work) {
                let output = output.map_err(|payload| TaskError::panicked(&task, &*payload));
                // An error says that nobody waits.
                let _ = report.send(output);
            }
        };
        std::thread::Builder::new().name(name.to_owned()).spawn(body)?;
        Ok(Self { name: name.to_owned(), done, stop: stop.drop_guard() })
    }

    /// Drops the future at its next await and waits until it is gone. Cancel safe: it stops anyway.
    pub async fn stop(self) {
        drop(self.stop);
        // Either a result that nobody wants any more, or the end of the thread.
        let _ = self.done.await;
    }
}

/// Cancel safe.
impl<T> Future for Thread<T> {
    type Output = Result<T, TaskError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.done.poll_unpin(cx).map(|result| {
            let ended = || Err(TaskError::Ended { task: self.name.clone() });
            result.unwrap_or_else(|_| ended())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::rc::Rc;

    #[tokio::test]
    async fn it_runs_on_a_thread_of_its_name_and_gives_its_output() {
        let thread = Thread::spawn("owner", || async {
            let not_send = Rc::new(1);
            tokio::task::yield_now().await;
            (std::thread::current().name().map(str::to_owned), *not_send)
        });
        assert_eq!(thread.unwrap().await.unwrap(), (Some("owner".to_owned()), 1));
    }

    #[tokio::test]
    async fn its_panic_comes_back_with_its_name() {
        let thread = Thread::<()>::spawn("owner", || async { panic!("no {}", "way") });
        let error = thread.unwrap().await.unwrap_err();
        assert_eq!(error.to_string(), "task owner panicked: no way");
    }

    /// Tells when it is dropped.
    struct Guard(Option<oneshot::Sender<()>>);

    impl Drop for Guard {
        fn drop(&mut self) {
            let _ = self.0.take().map(|tell| tell.send(()));
        }
    }

    fn endless() -> (Thread<()>, oneshot::Receiver<()>) {
        let (tell, dropped) = oneshot::channel();
        let thread = Thread::spawn("endless", || async {
            let _guard = Guard(Some(tell));
            std::future::pending::<()>().await;
        });
        (thread.unwrap(), dropped)
    }

    #[tokio::test]
    async fn dropping_it_drops_the_future() {
        let (thread, dropped) = endless();
        drop(thread);
        // A sender that never existed, because the future never started, is as good.
        let _ = dropped.await;
    }

    #[tokio::test]
    async fn stopping_it_waits_until_the_future_is_gone() {
        let (thread, mut dropped) = endless();
        thread.stop().await;
        assert_ne!(dropped.try_recv(), Err(oneshot::error::TryRecvError::Empty));
    }
}
