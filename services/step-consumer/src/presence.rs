//! The process's row: which pools, slots and tools it has, and which policy is active in it.

use crate::life::Life;
use crate::workers::Roster;
use aidt_domain::{FORMAT, PartitionId, Timestamp};
use aidt_queue::Queue;
use aidt_store::{ProcessRow, Store, StoreError};
use std::sync::Arc;
use tokio::time::Instant;

/// What a row follows from.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Version {
    roster: u64,
    policy: String,
    draining: bool,
}

/// What the row was last written with, or is being written with.
#[derive(Debug, Default)]
pub(crate) struct Presence {
    written: Option<Version>,
    writing: bool,
    failures: u32,
    retry_at: Option<Instant>,
}

impl Presence {
    /// The row to write, if what the store has is out of date and no write is under way. Who drains takes nothing
    /// more, so it has no slots: others read its pools, and owners do not count on it.
    pub(crate) fn due(
        &mut self,
        life: &Life,
        service: &str,
        roster: &Roster,
        (revision, draining): (&str, bool),
        now: Instant,
    ) -> Option<ProcessRow> {
        let version = Version { roster: roster.version, policy: revision.to_owned(), draining };
        let late = self.retry_at.is_some_and(|at| now < at);
        if self.writing || late || self.written.as_ref() == Some(&version) {
            return None;
        }
        self.written = Some(version);
        self.writing = true;
        let pools = roster.pools.iter().filter(|_| !draining);
        Some(ProcessRow {
            id: life.process(),
            service: service.to_owned(),
            slots: pools.map(|(pool, slots)| (pool.clone(), slots.total)).collect(),
            tools: roster.tools.clone(),
            format: FORMAT,
            policy_revision: revision.to_owned(),
            heartbeat: Timestamp::default(),
            closed: false,
        })
    }

    /// The write ended.
    pub(crate) fn wrote(&mut self, result: Result<(), StoreError>, now: Instant) {
        self.writing = false;
        self.retry_at = None;
        let Err(error) = result else {
            self.failures = 0;
            return;
        };
        tracing::warn!(%error, "the process could not be registered; it is tried again");
        self.written = None;
        self.retry_at = Some(now + crate::lane::pause(self.failures));
        self.failures += 1;
    }

    /// When a failed write is tried again.
    pub(crate) fn wakes_at(&self) -> Option<Instant> {
        self.retry_at.filter(|_| !self.writing)
    }
}

/// Writes the row, reads the store's clock, and tells every owner that slots have changed. The life
/// begins with the first success.
pub(crate) async fn register(
    store: Store,
    queue: Arc<dyn Queue>,
    life: Arc<Life>,
    row: ProcessRow,
) -> Result<(), StoreError> {
    let asked = Instant::now();
    let clock = store.run_log.now().await?;
    life.clock_read(asked, clock);
    let asked = Instant::now();
    store.processes.register(row).await?;
    life.registered(asked);
    let partitions: Vec<_> = (0..store.run_log.partitions()).map(PartitionId).collect();
    queue.nudge(&partitions).await;
    Ok(())
}
