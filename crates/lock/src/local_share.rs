//! Rate limits that hold, roughly, while what they are kept in is away.

use crate::memory::MemoryLocks;
use crate::port::{Kind, Lease, Live, LockError, Locks, Permit};
use async_trait::async_trait;
use bytes::Bytes;
use std::fmt;
use std::time::Duration;

/// Locks whose token buckets, where those behind it fail, are this process's share of the limit: the
/// rate ÷ the number of replicas that take from it. Everything else is what is behind it.
///
/// The burst is shared too, but never below one token: with more replicas than burst, each may start
/// with one.
pub struct LocalShare<L, R> {
    behind: L,
    replicas: R,
    /// Only its buckets.
    local: MemoryLocks,
}

impl<L: Locks, R: Fn() -> u32 + Send + Sync> LocalShare<L, R> {
    /// `replicas` tells how many processes take from the same buckets now, this one included; none counts
    /// as one. It is asked each time that a bucket here is used.
    #[must_use]
    pub fn new(behind: L, replicas: R) -> Self {
        Self { behind, replicas, local: MemoryLocks::new() }
    }

    async fn take_share(&self, bucket: &str, per_second: f64, burst: u32) -> Result<Permit, LockError> {
        let replicas = (self.replicas)().max(1);
        // A burst of nothing stays one, to be refused as such.
        let share = (burst / replicas).max(burst.min(1));
        self.local.take(bucket, per_second / f64::from(replicas), share).await
    }
}

impl<L: fmt::Debug, R> fmt::Debug for LocalShare<L, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LocalShare").field("behind", &self.behind).finish_non_exhaustive()
    }
}

#[async_trait]
impl<L: Locks, R: Fn() -> u32 + Send + Sync> Locks for LocalShare<L, R> {
    async fn lease(&self, name: &str, holder: &str, ttl: Duration) -> Result<Lease, LockError> {
        self.behind.lease(name, holder, ttl).await
    }

    async fn release(&self, name: &str, holder: &str) -> Result<(), LockError> {
        self.behind.release(name, holder).await
    }

    async fn leases(&self, prefix: &str) -> Result<Vec<(String, String)>, LockError> {
        self.behind.leases(prefix).await
    }

    async fn take(&self, bucket: &str, per_second: f64, burst: u32) -> Result<Permit, LockError> {
        match self.behind.take(bucket, per_second, burst).await {
            Err(error) if error.kind != Kind::Invalid => self.take_share(bucket, per_second, burst).await,
            answer => answer,
        }
    }

    async fn publish(&self, channel: &str, message: Bytes) -> Result<(), LockError> {
        self.behind.publish(channel, message).await
    }

    async fn subscribe(&self, channel: &str) -> Result<Box<dyn Live>, LockError> {
        self.behind.subscribe(channel).await
    }
}

#[cfg(test)]
mod tests;
