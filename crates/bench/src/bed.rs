//! What a load needs of the binary: every service in this process, over a home of its own.

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

    /// Starts every service in this process over `home`, a fresh and empty folder, its API on a socket.
    async fn start(&self, home: &Path) -> Result<Box<dyn Bedded>, BedError>;
}

/// What was started.
#[async_trait]
pub trait Bedded: Send + Sync {
    /// Where its API is.
    fn endpoint(&self) -> Endpoint;
    /// What the store, and whatever else counts, has done so far.
    fn counters(&self) -> Counters;
    /// Drains and ends it.
    async fn stop(self: Box<Self>);
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
