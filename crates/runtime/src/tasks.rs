//! Named tasks that live and end together.

use crate::{BoxError, Shutdown, TaskError, Thread};
use std::collections::HashMap;
use std::time::Duration;
use tokio::task::{Id, JoinError, JoinSet};

/// How long a tree waits for its tasks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grace {
    /// From draining to killing.
    pub drain: Duration,
    /// From killing to aborting, and once more from aborting to giving up.
    pub kill: Duration,
}

impl Default for Grace {
    /// What Kubernetes gives by default is 30 s for all of it.
    fn default() -> Self {
        Self { drain: Duration::from_secs(25), kill: Duration::from_secs(2) }
    }
}

/// Tasks of a process or of one service. [`TaskTree::run`] ends when all have ended; a task that fails
/// or panics drains the others, and its error, which names it, is the tree's. Dropping a tree aborts its
/// tasks.
#[derive(Debug)]
pub struct TaskTree {
    name: String,
    shutdown: Shutdown,
    tasks: JoinSet<Result<(), BoxError>>,
    known: HashMap<Id, Task>,
    failure: Option<TaskError>,
}

#[derive(Debug)]
struct Task {
    path: String,
    /// It must not end before it is told to.
    serves: bool,
}

impl TaskTree {
    /// A process's tree.
    #[must_use]
    pub fn new(shutdown: Shutdown) -> Self {
        Self::named(String::new(), shutdown)
    }

    fn named(name: String, shutdown: Shutdown) -> Self {
        Self { name, shutdown, tasks: JoinSet::new(), known: HashMap::new(), failure: None }
    }

    /// A service's own tree, whose tasks are named `name/…` and stop when this one's do. Its `run` is to
    /// be spawned as a task of this one.
    #[must_use]
    pub fn branch(&self, name: &str) -> Self {
        Self::named(self.path(name), self.shutdown.child())
    }

    /// What tells these tasks to stop.
    #[must_use]
    pub fn shutdown(&self) -> &Shutdown {
        &self.shutdown
    }

    /// Adds a task that may end by itself. Like all that add one: call it within a tokio runtime, which
    /// it panics without.
    pub fn spawn<E: Into<BoxError>>(&mut self, name: &str, task: impl Future<Output = Result<(), E>> + Send + 'static) {
        self.add(name, false, async { task.await.map_err(Into::into) });
    }

    /// Adds a task that runs until it is told to drain; ending earlier is a failure.
    pub fn spawn_service<E: Into<BoxError>>(
        &mut self,
        name: &str,
        task: impl Future<Output = Result<(), E>> + Send + 'static,
    ) {
        self.add(name, true, async { task.await.map_err(Into::into) });
    }

    /// Like [`TaskTree::spawn_service`], on a thread of its own.
    pub fn spawn_thread<E, F, Fut>(&mut self, name: &str, start: F) -> std::io::Result<()>
    where
        E: Into<BoxError> + Send + 'static,
        F: FnOnce() -> Fut + Send + 'static,
        Fut: Future<Output = Result<(), E>>,
    {
        let thread = Thread::spawn(&self.path(name), start)?;
        self.add(name, true, async { thread.await?.map_err(Into::into) });
        Ok(())
    }

    fn add(&mut self, name: &str, serves: bool, task: impl Future<Output = Result<(), BoxError>> + Send + 'static) {
        let path = self.path(name);
        let handle = self.tasks.spawn(task);
        self.known.insert(handle.id(), Task { path, serves });
    }

    fn path(&self, name: &str) -> String {
        if self.name.is_empty() { name.to_owned() } else { format!("{}/{name}", self.name) }
    }

    /// Until all tasks have ended: by themselves, or drained, killed, and aborted in the end, each after
    /// its grace. The error is the first task's that failed. Not cancel safe: dropping it aborts all.
    pub async fn run(mut self, grace: Grace) -> Result<(), TaskError> {
        let shutdown = self.shutdown.clone();
        tokio::select! {
            biased;
            () = self.join_all() => return self.verdict(),
            () = shutdown.draining() => {}
        }
        tokio::select! {
            biased;
            () = self.join_all() => return self.verdict(),
            () = shutdown.killed() => {}
            () = tokio::time::sleep(grace.drain) => {
                tracing::warn!(tasks = self.still_running(), "drained for too long, stopping at once");
                shutdown.kill();
            }
        }
        if tokio::time::timeout(grace.kill, self.join_all()).await.is_ok() {
            return self.verdict();
        }
        tracing::warn!(tasks = self.still_running(), "did not stop, aborting");
        self.tasks.abort_all();
        if tokio::time::timeout(grace.kill, self.join_all()).await.is_err() {
            self.fail(TaskError::Stuck { tasks: self.still_running() });
        }
        self.verdict()
    }

    /// Cancel safe: what has ended was noted.
    async fn join_all(&mut self) {
        while let Some(ended) = self.tasks.join_next_with_id().await {
            self.note(ended);
        }
    }

    fn note(&mut self, ended: Result<(Id, Result<(), BoxError>), JoinError>) {
        let id = ended.as_ref().map_or_else(JoinError::id, |(id, _)| *id);
        let task = self.known.remove(&id).expect("noted when it was spawned");
        match ended {
            Ok((_, Ok(()))) if task.serves && !self.shutdown.is_draining() => {
                self.fail(TaskError::Ended { task: task.path });
            }
            Ok((_, Ok(()))) => tracing::debug!(task = task.path, "ended"),
            Ok((_, Err(error))) => self.fail(TaskError::failed(&task.path, error)),
            Err(error) if error.is_panic() => {
                self.fail(TaskError::panicked(&task.path, &*error.into_panic()));
            }
            Err(_) => tracing::warn!(task = task.path, "aborted"),
        }
    }

    fn fail(&mut self, error: TaskError) {
        tracing::error!(error = &error as &dyn std::error::Error, "a task ended badly");
        self.failure.get_or_insert(error);
        self.shutdown.drain();
    }

    fn verdict(self) -> Result<(), TaskError> {
        self.failure.map_or(Ok(()), Err)
    }

    fn still_running(&self) -> String {
        let mut paths: Vec<_> = self.known.values().map(|task| task.path.as_str()).collect();
        paths.sort_unstable();
        paths.join(", ")
    }
}

#[cfg(test)]
mod tests;
