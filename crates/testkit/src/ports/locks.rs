//! Leases and live fan-out as one process sees them.

use super::Struck;
use crate::Invariant;
use crate::chaos::Port;
use crate::process::Process;
use crate::shared::Shared;
use aidt_domain::{RunId, Seq};
use aidt_lock::{Kind, Lease, Live, LockError, Locks, Permit};
use async_trait::async_trait;
use bytes::Bytes;
use std::sync::Arc;
use std::time::Duration;

type Result<T> = std::result::Result<T, LockError>;

/// Leases and live fan-out as one process sees them.
#[derive(Debug)]
pub(crate) struct SimLocks(pub(crate) Arc<Process>);

impl SimLocks {
    async fn before(&self, operation: &'static str) -> Result<()> {
        let struck = self.0.before(Port::Locks, operation).await;
        struck.map_err(|Struck| LockError { operation, kind: Kind::Unavailable, source: None })
    }

    async fn after(&self, operation: &'static str) -> Result<()> {
        let struck = self.0.after(Port::Locks, operation).await;
        struck.map_err(|Struck| LockError { operation, kind: Kind::Unknown, source: None })
    }
}

#[async_trait]
impl Locks for SimLocks {
    async fn lease(&self, name: &str, holder: &str, ttl: Duration) -> Result<Lease> {
        self.before("lease").await?;
        let lease = self.0.world.locks.lease(name, holder, ttl).await;
        self.after("lease").await?;
        lease
    }

    async fn release(&self, name: &str, holder: &str) -> Result<()> {
        self.before("release").await?;
        let released = self.0.world.locks.release(name, holder).await;
        self.after("release").await?;
        released
    }

    async fn leases(&self, prefix: &str) -> Result<Vec<(String, String)>> {
        self.before("leases").await?;
        self.0.world.locks.leases(prefix).await
    }

    async fn take(&self, bucket: &str, per_second: f64, burst: u32) -> Result<Permit> {
        self.before("take").await?;
        self.0.world.locks.take(bucket, per_second, burst).await
    }

    async fn publish(&self, channel: &str, message: Bytes) -> Result<()> {
        self.before("publish").await?;
        check_visible(&self.0.world, channel, &message);
        let drops = self.0.world.with(|s| {
            let rate = s.chaos.drops;
            s.chaos.hits(rate)
        });
        if drops {
            self.0.world.count("fault", "drop_live");
            return Ok(());
        }
        let published = self.0.world.locks.publish(channel, message).await;
        self.after("publish").await?;
        published
    }

    async fn subscribe(&self, channel: &str) -> Result<Box<dyn Live>> {
        self.before("subscribe").await?;
        self.0.world.locks.subscribe(channel).await
    }
}

/// Whoever is told of an event can read it.
pub(crate) fn check_visible(world: &Shared, channel: &str, message: &[u8]) {
    let Some(run) = channel.strip_prefix("run:").and_then(|id| id.parse::<RunId>().ok()) else { return };
    let said = std::str::from_utf8(message)
        .ok()
        .and_then(|text| text.split(" ").next()?.parse().ok())
        .map_or(Seq(u64::MAX), Seq);
    let stored = world.with(|s| s.truth.runs.get(&run).map_or(Seq(0), |r| r.last));
    if said > stored {
        world.breaks(Invariant::NothingVisibleBeforeDurable, || {
            format!("{run}: event {said} is announced, {stored} is the last that is stored")
        });
    }
}
