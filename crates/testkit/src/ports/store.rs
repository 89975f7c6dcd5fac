//! The store as one process sees it.

use super::Struck;
use super::loads::Snapshots;
use crate::chaos::Port;
use crate::process::Process;
use crate::shared::now;
use crate::{Invariant, Plant};
use aidt_domain::{DispatchNo, PartitionId, ProcessId, RunId, Seq, StepIx, Timestamp};
use aidt_store::{
    Batch, Claim, ClaimRequest, Commit, Kind, OpenStep, PartitionRow, PayloadAt, Processes, RunLog, SegmentRow,
    StoreError, StoredRun, TimerRow,
};
use async_trait::async_trait;
use bytes::Bytes;
use std::sync::Arc;

pub(super) type Result<T> = std::result::Result<T, StoreError>;

/// The store as one process sees it.
#[derive(Debug)]
pub(crate) struct SimStore {
    pub(super) process: Arc<Process>,
    pub(super) snapshots: Snapshots,
}

/// A read: fails only before, or its answer is lost, which is the same.
macro_rules! read {
    ($self:ident, $operation:literal, $call:expr) => {{
        $self.before($operation).await?;
        let answer = $call.await;
        $self.lost_read($operation).await?;
        answer
    }};
}

/// A write: may happen though its answer is lost.
macro_rules! write {
    ($self:ident, $operation:literal, $call:expr) => {{
        $self.before($operation).await?;
        let answer = $call.await;
        $self.after($operation).await?;
        answer
    }};
}

pub(super) use {read, write};

impl SimStore {
    pub(crate) fn new(process: Arc<Process>) -> Arc<Self> {
        Arc::new(Self { process, snapshots: Snapshots::default() })
    }

    pub(super) fn raw(&self) -> &aidt_store::memory::MemoryStore {
        &self.process.world.store
    }

    pub(super) fn is_planted(&self, plant: Plant) -> bool {
        self.process.world.is_planted(plant)
    }

    pub(super) async fn before(&self, operation: &'static str) -> Result<()> {
        let struck = self.process.before(Port::Store, operation).await;
        struck.map_err(|Struck| failed(operation, Kind::Unavailable))
    }

    pub(super) async fn after(&self, operation: &'static str) -> Result<()> {
        let struck = self.process.after(Port::Store, operation).await;
        struck.map_err(|Struck| failed(operation, Kind::Unknown))
    }

    pub(super) async fn lost_read(&self, operation: &'static str) -> Result<()> {
        let struck = self.process.after(Port::Store, operation).await;
        struck.map_err(|Struck| failed(operation, Kind::Unavailable))
    }

    pub(super) fn claimed(&self, request: &ClaimRequest) {
        let key = (request.run, request.step, request.dispatch);
        self.process.world.with(|s| s.truth.claims.insert(key, Some(request.process)));
    }
}

fn failed(operation: &'static str, kind: Kind) -> StoreError {
    StoreError::new(operation, kind, "the simulation says so")
}

#[async_trait]
impl RunLog for SimStore {
    fn partitions(&self) -> u16 {
        self.raw().partitions()
    }

    async fn now(&self) -> Result<Timestamp> {
        if self.is_planted(Plant::ClockAhead) {
            return Ok(self.process.skewed_now());
        }
        read!(self, "now", self.raw().now())
    }

    async fn take(&self, partition: PartitionId, owner: ProcessId, format: u32) -> Result<PartitionRow> {
        self.before("take").await?;
        if self.is_planted(Plant::LoadBeforeEpoch) {
            self.snapshots.make(self.raw(), partition);
            let pause = self.process.world.with(|s| s.chaos.rng.between(0, 300));
            tokio::time::sleep(crate::shared::ms(pause)).await;
        }
        let mut row = self.raw().take(partition, owner, format).await;
        self.process.world.line(|| format!("{owner} took partition {partition}"));
        if let (true, Ok(row)) = (self.is_planted(Plant::CrashBeforePublish), &mut row) {
            row.published = row.out_seq;
        }
        self.after("take").await?;
        row
    }

    async fn partition(&self, partition: PartitionId) -> Result<PartitionRow> {
        read!(self, "partition", self.raw().partition(partition))
    }

    async fn open_dispatches(&self, partition: PartitionId) -> Result<Vec<OpenStep>> {
        if let Some(kept) = self.snapshots.open(partition) {
            return Ok(kept);
        }
        read!(self, "open_dispatches", self.raw().open_dispatches(partition))
    }

    async fn ready(&self, partition: PartitionId, after: Option<(RunId, StepIx)>, limit: u32) -> Result<Vec<OpenStep>> {
        if let (None, Some(kept)) = (after, self.snapshots.ready(partition)) {
            return Ok(kept);
        }
        read!(self, "ready", self.raw().ready(partition, after, limit))
    }

    async fn timers(
        &self,
        partition: PartitionId,
        until: Timestamp,
        limit: u32,
    ) -> Result<(Vec<TimerRow>, Option<Timestamp>)> {
        read!(self, "timers", self.raw().timers(partition, until, limit))
    }

    async fn claims(&self, partition: PartitionId) -> Result<Vec<Claim>> {
        read!(self, "claims", self.raw().claims(partition))
    }

    async fn ask_to_stop(&self, claims: &[(RunId, StepIx, DispatchNo)]) -> Result<()> {
        write!(self, "ask_to_stop", self.raw().ask_to_stop(claims))
    }

    async fn load(&self, runs: &[RunId]) -> Result<Vec<StoredRun>> {
        if let Some(kept) = self.snapshots.runs(self.raw(), runs) {
            return Ok(kept);
        }
        read!(self, "load", self.raw().load(runs))
    }

    async fn payloads(&self, at: &[PayloadAt]) -> Result<Vec<Bytes>> {
        read!(self, "payloads", self.raw().payloads(at))
    }

    async fn segment(&self, run: RunId, seq: Seq) -> Result<SegmentRow> {
        read!(self, "segment", self.raw().segment(run, seq))
    }

    async fn commit(&self, mut batches: Vec<Batch>) -> Result<Commit> {
        let world = &self.process.world;
        if self.is_planted(Plant::VisibleBeforeCommit) {
            super::loads::show_early(&self.process, &batches).await;
        }
        self.before("commit").await?;
        self.snapshots.used();
        if self.is_planted(Plant::NoEpoch) {
            for batch in &mut batches {
                batch.epoch = now(self.raw().partition(batch.partition))?.epoch;
            }
        }
        let goes_on = batches.iter().any(|b| b.turn.timers_set.iter().any(|t| t.step.is_none()));
        if self.is_planted(Plant::MovedLargeWork) {
            batches.iter_mut().for_each(|b| b.turn.timers_set.retain(|t| t.step.is_some()));
        }
        if batches.iter().any(|b| b.turn.segments.iter().any(crate::plans::is_poison)) {
            world.count("fault", "poison_batch");
            let kind = if self.is_planted(Plant::PoisonBatch) { Kind::Unavailable } else { Kind::Invalid };
            return Err(failed("commit", kind));
        }
        let again = self.is_planted(Plant::AmbiguousAsFailed).then(|| batches.clone());
        let mut commit = world.commit(self.process.id, batches);
        if goes_on {
            self.process.dies_in_large_work();
        }
        if let (Err(error), Some(batches)) = (self.after("commit").await, again) {
            let _ = world.commit(self.process.id, super::loads::once_more(batches));
            return Err(error);
        } else if self.is_planted(Plant::CancelRacesFinish)
            && let Ok(commit) = &mut commit
        {
            commit.burns.iter_mut().for_each(|b| b.won = true);
        }
        commit
    }
}

/// A process ended because it was taken for dead: was it?
pub(crate) fn check_death(process: &Process) {
    let lives = now(process.world.store.live(u64::MAX)).map(|(rows, _)| rows).unwrap_or_default();
    if lives.iter().any(|row| row.id == process.id) {
        process.world.breaks(Invariant::NobodyKilledByRedis, || {
            format!("{} took itself for dead; its row in the store is open", process.id)
        });
    }
}
