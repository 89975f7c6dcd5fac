//! Leases, token buckets and fan-out of an embedded installation: maps in this process.
//!
//! Time is `tokio::time::Instant`: what matters here are durations, which a wall clock that is set
//! would distort, and which a test can pause.
//!
//! **Bounds.** Leases and buckets that ran out are swept when a map has doubled since the last sweep.
//! A subscriber holds at most [`LIVE_BUFFER`](crate::LIVE_BUFFER) messages and loses the oldest when it lags. A channel
//! exists while somebody is subscribed.

mod buckets;
mod fanout;
mod leases;

use crate::gcra::Rate;
use crate::port::{Kind, Lease, Live, LockError, Locks, Permit};
use async_trait::async_trait;
use buckets::Buckets;
use bytes::Bytes;
use fanout::Fanout;
use leases::Leases;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// In-memory [`Locks`]; clones share everything.
#[derive(Clone, Debug)]
pub struct MemoryLocks {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    /// The origin of the buckets' time.
    origin: Instant,
    leases: Mutex<Leases>,
    buckets: Mutex<Buckets>,
    fanout: Arc<Fanout>,
}

impl MemoryLocks {
    /// Nothing held, nobody subscribed.
    #[must_use]
    #[expect(clippy::new_without_default, reason = "a default should not read a clock")]
    pub fn new() -> Self {
        Self {
            shared: Arc::new(Shared {
                origin: Instant::now(),
                leases: Mutex::default(),
                buckets: Mutex::default(),
                fanout: Arc::default(),
            }),
        }
    }

    /// Forgets all leases and buckets, as a flushed Redis does. Subscriptions stay, as they do there.
    pub fn flush(&self) {
        *locked(&self.shared.leases) = Leases::default();
        *locked(&self.shared.buckets) = Buckets::default();
    }

    /// Ends every subscription, as a restart of Redis does.
    pub fn disconnect(&self) {
        self.shared.fanout.end();
    }
}

#[async_trait]
impl Locks for MemoryLocks {
    async fn lease(&self, name: &str, holder: &str, ttl: Duration) -> Result<Lease, LockError> {
        Ok(locked(&self.shared.leases).take(name, holder, ttl, Instant::now()))
    }

    async fn release(&self, name: &str, holder: &str) -> Result<(), LockError> {
        locked(&self.shared.leases).release(name, holder);
        Ok(())
    }

    async fn leases(&self, prefix: &str) -> Result<Vec<(String, String)>, LockError> {
        Ok(locked(&self.shared.leases).list(prefix, Instant::now()))
    }

    async fn take(&self, bucket: &str, per_second: f64, burst: u32) -> Result<Permit, LockError> {
        let rate = Rate::new(per_second, burst).ok_or_else(|| LockError {
            operation: "take",
            kind: Kind::Invalid,
            source: Some(format!("no rate: {per_second} per second, burst {burst}").into()),
        })?;
        let now = self.shared.origin.elapsed().as_secs_f64() * 1e6;
        Ok(locked(&self.shared.buckets).take(bucket, rate, now))
    }

    async fn publish(&self, channel: &str, message: Bytes) -> Result<(), LockError> {
        self.shared.fanout.publish(channel, message);
        Ok(())
    }

    async fn subscribe(&self, channel: &str) -> Result<Box<dyn Live>, LockError> {
        Ok(Box::new(self.shared.fanout.subscribe(channel)))
    }
}

/// A panic of another holder leaves nothing half done here: each critical section is one map operation.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// When a map that drops what ran out only now and then should look through all of it: when it has
/// doubled since, which makes the sweep free on average.
#[derive(Debug)]
struct Sweep {
    next: usize,
}

impl Default for Sweep {
    fn default() -> Self {
        Self { next: Self::SMALL }
    }
}

impl Sweep {
    /// Below this many entries a map may keep what it likes.
    const SMALL: usize = 64;

    fn is_due(&self, len: usize) -> bool {
        len >= self.next
    }

    fn done(&mut self, len: usize) {
        self.next = (2 * len).max(Self::SMALL);
    }
}

#[cfg(test)]
mod tests;
