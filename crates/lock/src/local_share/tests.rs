//! With what is behind it up, it is that; with it down, the buckets are shares.

use super::*;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

/// Locks that can be taken away.
#[derive(Clone)]
struct Away {
    locks: MemoryLocks,
    away: Arc<AtomicBool>,
}

impl Away {
    fn new(away: bool) -> Self {
        Self { locks: MemoryLocks::new(), away: Arc::new(AtomicBool::new(away)) }
    }

    fn check(&self, operation: &'static str) -> Result<&MemoryLocks, LockError> {
        if self.away.load(Ordering::Relaxed) {
            return Err(LockError { operation, kind: Kind::Unavailable, source: None });
        }
        Ok(&self.locks)
    }
}

#[async_trait]
impl Locks for Away {
    async fn lease(&self, name: &str, holder: &str, ttl: Duration) -> Result<Lease, LockError> {
        self.check("lease")?.lease(name, holder, ttl).await
    }

    async fn release(&self, name: &str, holder: &str) -> Result<(), LockError> {
        self.check("release")?.release(name, holder).await
    }

    async fn leases(&self, prefix: &str) -> Result<Vec<(String, String)>, LockError> {
        self.check("leases")?.leases(prefix).await
    }

    async fn take(&self, bucket: &str, per_second: f64, burst: u32) -> Result<Permit, LockError> {
        self.check("take")?.take(bucket, per_second, burst).await
    }

    async fn publish(&self, channel: &str, message: Bytes) -> Result<(), LockError> {
        self.check("publish")?.publish(channel, message).await
    }

    async fn subscribe(&self, channel: &str) -> Result<Box<dyn Live>, LockError> {
        self.check("subscribe")?.subscribe(channel).await
    }
}

mod up {
    use super::*;

    async fn fresh() -> Arc<dyn Locks> {
        Arc::new(LocalShare::new(Away::new(false), || 7))
    }

    crate::lock_conformance!(
        #[tokio::test(start_paused = true)]
        fresh()
    );
}

/// A single replica's share is the whole bucket, and that must behave as one.
mod down {
    use super::*;

    async fn fresh() -> Arc<dyn Locks> {
        Arc::new(LocalShare::new(Away::new(true), || 1))
    }

    crate::lock_conformance! { @each #[tokio::test(start_paused = true)] fresh();
        a_bucket_grants_its_burst_and_says_when_to_return
        who_returns_when_told_is_granted
        buckets_are_apart
        a_senseless_rate_is_invalid
    }

    #[tokio::test(start_paused = true)]
    async fn all_else_fails_as_what_is_behind_it() {
        let locks = fresh().await;
        assert_eq!(locks.lease("p", "a", Duration::from_secs(4)).await.unwrap_err().kind, Kind::Unavailable);
        assert_eq!(locks.publish("c", Bytes::new()).await.unwrap_err().operation, "publish");
        assert!(locks.subscribe("c").await.is_err());
    }
}

/// How many of so many tries within no time are granted.
async fn granted(locks: &dyn Locks, burst: u32) -> usize {
    let mut granted = 0;
    for _ in 0..100 {
        granted += usize::from(locks.take("b", 10.0, burst).await.unwrap() == Permit::Granted);
    }
    granted
}

#[tokio::test(start_paused = true)]
async fn without_what_is_behind_it_a_replica_has_its_share() {
    let replicas = Arc::new(AtomicU32::new(0));
    let behind = Away::new(true);
    let told = replicas.clone();
    let locks = LocalShare::new(behind.clone(), move || told.load(Ordering::Relaxed));
    assert_eq!(granted(&locks, 12).await, 12, "none counts as one");

    replicas.store(4, Ordering::Relaxed);
    tokio::time::advance(Duration::from_secs(60)).await;
    assert_eq!(granted(&locks, 12).await, 3);
    let Permit::RetryAfter(wait) = locks.take("b", 10.0, 12).await.unwrap() else { panic!("over its share") };
    assert_eq!(wait, Duration::from_millis(400), "a quarter of ten per second");

    replicas.store(100, Ordering::Relaxed);
    tokio::time::advance(Duration::from_secs(60)).await;
    assert_eq!(granted(&locks, 12).await, 1, "never below one token");

    behind.away.store(false, Ordering::Relaxed);
    assert_eq!(granted(&locks, 12).await, 12, "back, the shared bucket counts");
}
