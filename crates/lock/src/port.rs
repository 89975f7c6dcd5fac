//! The port.

use async_trait::async_trait;
use bytes::Bytes;
use std::time::Duration;

/// What a failed operation left behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Nothing happened, or it does not matter: these are hints.
    Unavailable,
    /// It may have happened.
    Unknown,
    /// The request can never succeed.
    Invalid,
}

/// A failed operation.
#[derive(Debug, thiserror::Error)]
#[error("lock operation {operation} failed ({kind:?})")]
pub struct LockError {
    /// The operation.
    pub operation: &'static str,
    /// What it left behind.
    pub kind: Kind,
    /// The cause.
    #[source]
    pub source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

/// What asking for a lease got.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Lease {
    /// It is the asker's for the time asked (also when it was before: renewed).
    Held,
    /// Another holds it.
    Taken {
        /// Who.
        by: String,
    },
}

/// What asking a token bucket got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Permit {
    /// Go on.
    Granted,
    /// Not before this long.
    RetryAfter(Duration),
}

/// A subscription to a live channel. Messages sent before it was opened, or while it lagged, are gone.
#[async_trait]
pub trait Live: Send {
    /// The next message; `None` when the fan-out ended. Cancel safe.
    async fn next(&mut self) -> Option<Bytes>;
}

/// Leases, token buckets and live fan-out.
#[async_trait]
pub trait Locks: Send + Sync {
    /// Takes or renews a lease.
    async fn lease(&self, name: &str, holder: &str, ttl: Duration) -> Result<Lease, LockError>;

    /// Gives a lease back, if it is the holder's.
    async fn release(&self, name: &str, holder: &str) -> Result<(), LockError>;

    /// Names of the leases that start with `prefix`, with their holders.
    async fn leases(&self, prefix: &str) -> Result<Vec<(String, String)>, LockError>;

    /// Takes one token from a bucket that refills at `per_second` up to `burst` (GCRA).
    async fn take(&self, bucket: &str, per_second: f64, burst: u32) -> Result<Permit, LockError>;

    /// Sends to whoever is subscribed now. Best effort.
    async fn publish(&self, channel: &str, message: Bytes) -> Result<(), LockError>;

    /// Subscribes; what is published after this returned is delivered.
    async fn subscribe(&self, channel: &str) -> Result<Box<dyn Live>, LockError>;
}
