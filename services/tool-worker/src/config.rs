//! What a worker is given, and what others may see of it.

use aidt_domain::{Pool, WorkerId};
use aidt_tools::LargeOutputs;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// Settings of a worker.
#[derive(Clone, Debug)]
pub struct Config {
    /// This life of the worker; the same over its reconnections.
    pub worker: WorkerId,
    /// For people: `name@host`.
    pub name: String,
    /// Whose calls it takes.
    pub pool: Pool,
    /// How many calls it runs at once; at least 1.
    pub slots: u32,
    /// What admits it to the pool.
    pub token: Token,
    /// The sandbox that its tools run in: `none`, `landlock`, `bubblewrap`. A call that demands a stronger
    /// one is refused.
    pub sandbox: String,
    /// The longest that connecting may take, welcome included.
    pub connect_timeout: Duration,
    /// The wait before the first reconnection; doubles with each one that fails.
    pub backoff: Duration,
    /// The longest wait between two.
    pub max_backoff: Duration,
    /// How long a cancelled tool may take to return; then it is dropped.
    pub cancel_grace: Duration,
    /// How long running calls may take once the worker was told to stop; then they are cancelled.
    pub drain_grace: Duration,
    /// How long a result that nobody acked is kept.
    pub keep_results: Duration,
    /// Where outputs over 256 KiB are kept; without it they are refused.
    pub large_outputs: Option<LargeOutputs>,
}

impl Config {
    /// A worker of `pool` with the protocol's own times.
    #[must_use]
    pub fn new(worker: WorkerId, name: String, pool: Pool, slots: u32, token: Token) -> Self {
        Self {
            worker,
            name,
            pool,
            slots,
            token,
            sandbox: "none".to_owned(),
            connect_timeout: Duration::from_secs(10),
            backoff: Duration::from_millis(50),
            max_backoff: Duration::from_secs(5),
            cancel_grace: Duration::from_secs(5),
            drain_grace: Duration::from_secs(30),
            keep_results: Duration::from_mins(10),
            large_outputs: None,
        }
    }
}

/// Where the worker's token comes from.
#[derive(Clone)]
pub enum Token {
    /// The token itself.
    Fixed(String),
    /// A file that holds it, read anew for each connection, so a token can be exchanged. White space
    /// around the token is dropped.
    File(PathBuf),
}

impl Token {
    pub(crate) fn read(&self) -> std::io::Result<String> {
        match self {
            Self::Fixed(token) => Ok(token.clone()),
            Self::File(path) => std::fs::read_to_string(path).map(|text| text.trim().to_owned()),
        }
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fixed(_) => f.write_str("Fixed(…)"),
            Self::File(path) => f.debug_tuple("File").field(path).finish(),
        }
    }
}

/// A worker that cannot be.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// It would take no call.
    #[error("a worker needs at least one slot")]
    NoSlots,
    /// A tool's schema is no schema.
    #[error(transparent)]
    Schema(#[from] aidt_tools::SchemaError),
    /// Two tools, one name.
    #[error("two tools are called {0}")]
    SameName(String),
}

/// The worker ended though nobody asked it to.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Trying again would give the same answer.
    #[error("the step consumer does not take this worker: {}", .0.message())]
    Refused(#[source] Box<tonic::Status>),
}

/// What others may see of a worker.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// The session that it is welcome in; none while it is not connected.
    pub session: Option<String>,
    /// Tools that the step consumer will not call, with the reason.
    pub refused: Vec<String>,
    /// Why it is not connected.
    pub trouble: Option<String>,
}

/// A view of a worker. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Handle {
    pub(crate) status: watch::Receiver<Status>,
    pub(crate) slots: Arc<watch::Sender<u32>>,
}

impl Handle {
    /// The state of things.
    #[must_use]
    pub fn status(&self) -> Status {
        self.status.borrow().clone()
    }

    /// Runs so many calls at once from now on, at least 1: the worker says hello anew. What runs, runs on.
    pub fn set_slots(&self, slots: u32) {
        let slots = slots.max(1);
        self.slots.send_if_modified(|known| std::mem::replace(known, slots) != slots);
    }

    /// Waits until the worker is welcome somewhere. Cancel safe. False when the worker ended.
    pub async fn connected(&mut self) -> bool {
        self.status.wait_for(|s| s.session.is_some()).await.is_ok()
    }
}
