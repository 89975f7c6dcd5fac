//! What a load needs of the binary: every service, in this process or in processes of their own.

use crate::Limits;
use aidt_client::Endpoint;
use async_trait::async_trait;
use std::path::{Path, PathBuf};

/// An error of the binary's.
pub type BedError = Box<dyn std::error::Error + Send + Sync>;

/// Starts what is measured.
#[async_trait]
pub trait Bed: Send + Sync {
    /// The folder in which the bench makes its own: on the disk that runs use. It exists.
    fn folder(&self) -> Result<PathBuf, BedError>;

    /// What it consists of, in a few words; `None`: every service in this process.
    fn stack(&self) -> Option<Stack>;

    /// Starts every service over `home`, a fresh and empty folder; without `workers` nobody takes a step.
    async fn start(&self, home: &Path, workers: bool) -> Result<Box<dyn Bedded>, BedError>;

    /// What its servers can do when nothing else is asked of them; `None` without servers. Takes some seconds.
    async fn limits(&self) -> Result<Option<Limits>, BedError>;
}

/// What was started.
#[async_trait]
pub trait Bedded: Send + Sync {
    /// Where its API is.
    fn endpoint(&self) -> Endpoint;
    /// What the store, and whatever else counts, has done so far; `None` if that is a server's affair.
    fn counters(&self) -> Option<Counters>;
    /// The processes beside this one.
    fn parties(&self) -> Vec<Party>;
    /// Drains and ends it, and removes what it kept on servers.
    async fn stop(self: Box<Self>) -> Result<(), BedError>;
}

/// A stack of servers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stack {
    /// Its servers, such as `postgres, rabbitmq, redis`.
    pub servers: String,
    /// Processes of each service, of which there is one gateway.
    pub replicas: u32,
}

/// A process that has a part in a step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Party {
    /// A service or a server, such as `step-consumer`. Several may have the same name: they count together.
    pub name: String,
    /// Somebody else's program.
    pub is_server: bool,
    /// `None`: it runs elsewhere.
    pub pid: Option<u32>,
}

/// Counts since the start; they do not swing from run to run as times do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// SQL statements executed.
    pub statements: u64,
    /// Rows inserted, updated and deleted.
    pub rows: u64,
    /// Transactions committed.
    pub transactions: u64,
    /// Times that the disk was waited for.
    pub fsyncs: u64,
    /// Trace spans recorded; 0 while tracing is off.
    pub spans: u64,
}

impl Counters {
    /// What was added since `earlier`.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        Self {
            statements: self.statements.saturating_sub(earlier.statements),
            rows: self.rows.saturating_sub(earlier.rows),
            transactions: self.transactions.saturating_sub(earlier.transactions),
            fsyncs: self.fsyncs.saturating_sub(earlier.fsyncs),
            spans: self.spans.saturating_sub(earlier.spans),
        }
    }
}
