//! What waits to be written with somebody's next transaction.

use crate::error::{Broken, Failed};
use crate::write::Tx;
use aidt_store::{Kind, StoreError};
use std::path::Path;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use tokio::sync::oneshot;

/// More than this many waiting operations are refused: whoever asks waits for an answer, so this many
/// callers at once are a fault of somebody's.
const MOST: usize = 16_384;

/// One operation inside a transaction that it shares with others.
pub(crate) trait Job: Send {
    /// Writes. An error is the operation's own, unless SQLite rolled everything back.
    fn run(&mut self, tx: &mut Tx<'_>) -> Result<(), Option<Broken>>;

    /// Answers whoever asked, after the transaction.
    fn answer(self: Box<Self>, committed: Result<(), &Broken>, path: &Path);
}

/// A closure with whom to answer.
struct Asked<T, F> {
    operation: &'static str,
    work: Option<F>,
    done: Option<Result<T, Failed>>,
    reply: oneshot::Sender<Result<T, StoreError>>,
}

impl<T, F> Job for Asked<T, F>
where
    T: Send,
    F: FnOnce(&mut Tx<'_>) -> Result<T, Failed> + Send,
{
    fn run(&mut self, tx: &mut Tx<'_>) -> Result<(), Option<Broken>> {
        let work = self.work.take().expect("a job runs once");
        let done = self.done.insert(work(tx));
        match done {
            Ok(_) => Ok(()),
            Err(Failed::Sqlite(broken)) => Err(Some(broken.clone())),
            Err(_) => Err(None),
        }
    }

    fn answer(self: Box<Self>, committed: Result<(), &Broken>, path: &Path) {
        let answer = match (self.done, committed) {
            (Some(Err(failed)), _) => Err(failed.of(self.operation, path)),
            (Some(Ok(value)), Ok(())) => Ok(value),
            (_, Err(broken)) => Err(broken.of(self.operation, path)),
            (None, Ok(())) => unreachable!("what was committed has run"),
        };
        // Whoever asked may have gone away.
        drop(self.reply.send(answer));
    }
}

/// A job, and where its answer arrives.
pub(crate) fn job<T, F>(operation: &'static str, work: F) -> (Box<dyn Job>, oneshot::Receiver<Result<T, StoreError>>)
where
    T: Send + 'static,
    F: FnOnce(&mut Tx<'_>) -> Result<T, Failed> + Send + 'static,
{
    let (reply, answer) = oneshot::channel();
    (Box::new(Asked { operation, work: Some(work), done: None, reply }), answer)
}

/// Operations that wait, and what else the store's thread is asked for.
#[derive(Default)]
pub(crate) struct Queue {
    waiting: Mutex<Waiting>,
    wake: Condvar,
}

#[derive(Default)]
struct Waiting {
    jobs: Vec<Box<dyn Job>>,
    checkpoint: bool,
    closing: bool,
}

/// What there is to do for the store's thread.
pub(crate) struct Work {
    /// Something waits to be written.
    pub(crate) jobs: bool,
    /// The log is long.
    pub(crate) checkpoint: bool,
    /// Nothing will come any more.
    pub(crate) closing: bool,
}

impl Queue {
    pub(crate) fn push(&self, operation: &'static str, job: Box<dyn Job>) -> Result<(), StoreError> {
        let mut waiting = self.lock();
        if waiting.jobs.len() >= MOST {
            let message = format!("{MOST} operations wait to be written already");
            return Err(StoreError::new(operation, Kind::Unavailable, message));
        }
        waiting.jobs.push(job);
        self.wake.notify_one();
        Ok(())
    }

    /// Takes everything that waits.
    pub(crate) fn drain(&self) -> Vec<Box<dyn Job>> {
        std::mem::take(&mut self.lock().jobs)
    }

    pub(crate) fn ask_for_checkpoint(&self) {
        self.lock().checkpoint = true;
        self.wake.notify_one();
    }

    pub(crate) fn close(&self) {
        self.lock().closing = true;
        self.wake.notify_one();
    }

    /// Blocks until there is something to do.
    pub(crate) fn wait(&self) -> Work {
        let idle = |waiting: &mut Waiting| waiting.jobs.is_empty() && !waiting.checkpoint && !waiting.closing;
        let mut waiting = self.wake.wait_while(self.lock(), idle).unwrap_or_else(PoisonError::into_inner);
        Work {
            jobs: !waiting.jobs.is_empty(),
            checkpoint: std::mem::take(&mut waiting.checkpoint),
            closing: waiting.closing,
        }
    }

    /// A list and two flags are whole after any panic.
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Queue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Queue").finish_non_exhaustive()
    }
}
