//! The store as one process sees it.

use super::Struck;
use super::loads::Snapshots;
use crate::chaos::Port;
use crate::process::Process;
use crate::shared::now;
use crate::{Invariant, Plant};
use aidt_domain::{
    CommandId, Digest, DispatchNo, PartitionId, ProcessId, Project, RunId, RunRow, Seq, StepIx, StepRow, Timestamp,
};
use aidt_store::{
    Batch, Catalog, Claim, ClaimRequest, ClaimState, Claims, Commit, DeadLetter, DeadLetters, History, Inbox, InboxRow,
    Journal, JournalEntry, JournalKey, Kind, LogChunk, OpenStep, PartitionRow, PayloadAt, ProcessRow, Processed,
    Processes, RunFilter, RunLog, RunPage, SegmentRow, StepLogs, StoreError, StoredRun, Submission, Submitted,
    TimerRow,
};
use async_trait::async_trait;
use bytes::Bytes;
use std::sync::Arc;

type Result<T> = std::result::Result<T, StoreError>;

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

impl SimStore {
    pub(crate) fn new(process: Arc<Process>) -> Arc<Self> {
        Arc::new(Self { process, snapshots: Snapshots::default() })
    }

    fn raw(&self) -> &aidt_store::memory::MemoryStore {
        &self.process.world.store
    }

    fn is_planted(&self, plant: Plant) -> bool {
        self.process.world.is_planted(plant)
    }

    async fn before(&self, operation: &'static str) -> Result<()> {
        let struck = self.process.before(Port::Store, operation).await;
        struck.map_err(|Struck| failed(operation, Kind::Unavailable))
    }

    async fn after(&self, operation: &'static str) -> Result<()> {
        let struck = self.process.after(Port::Store, operation).await;
        struck.map_err(|Struck| failed(operation, Kind::Unknown))
    }

    async fn lost_read(&self, operation: &'static str) -> Result<()> {
        let struck = self.process.after(Port::Store, operation).await;
        struck.map_err(|Struck| failed(operation, Kind::Unavailable))
    }

    fn claimed(&self, request: &ClaimRequest) {
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

#[async_trait]
impl Inbox for SimStore {
    async fn submit(&self, submission: Submission) -> Result<Submitted> {
        let command = submission.row.command.clone();
        self.before("submit").await?;
        let submitted = self.raw().submit(submission).await;
        super::queue::note_reported(&self.process.world, &command);
        self.after("submit").await?;
        submitted
    }

    async fn inbox(&self, partition: PartitionId, after: u64, limit: u32) -> Result<Vec<InboxRow>> {
        read!(self, "inbox", self.raw().inbox(partition, after, limit))
    }

    async fn pending(&self, ids: &[CommandId]) -> Result<Vec<CommandId>> {
        read!(self, "pending", self.raw().pending(ids))
    }

    async fn waiting(&self, run: RunId) -> Result<Vec<InboxRow>> {
        read!(self, "waiting", self.raw().waiting(run))
    }
}

#[async_trait]
impl Claims for SimStore {
    async fn claim(&self, requests: &[ClaimRequest]) -> Result<Vec<ClaimState>> {
        self.before("claim").await?;
        let mut answers = self.raw().claim(requests).await?;
        for (request, answer) in requests.iter().zip(&mut answers) {
            if *answer == ClaimState::Won {
                self.claimed(request);
            } else if self.is_planted(Plant::DoubleOnce) {
                *answer = ClaimState::Won;
            }
        }
        self.after("claim").await?;
        Ok(answers)
    }
}

#[async_trait]
impl Journal for SimStore {
    async fn open(&self, key: &JournalKey, claim: &ClaimRequest) -> Result<Vec<JournalEntry>> {
        self.before("open").await?;
        let entries = self.raw().open(key, claim).await?;
        self.claimed(claim);
        self.after("open").await?;
        Ok(entries)
    }

    async fn append(&self, key: &JournalKey, claim: &ClaimRequest, entry: JournalEntry) -> Result<()> {
        self.before("append").await?;
        let appended = self.raw().append(key, claim, entry).await;
        self.after("append").await?;
        match appended {
            Err(error) if error.kind == Kind::Conflict && self.is_planted(Plant::ThawedJournal) => Ok(()),
            other => other,
        }
    }
}

#[async_trait]
impl Catalog for SimStore {
    async fn documents(&self, digests: &[Digest]) -> Result<Vec<Bytes>> {
        read!(self, "documents", self.raw().documents(digests))
    }

    async fn put_documents(&self, documents: &[(Digest, Bytes)]) -> Result<()> {
        write!(self, "put_documents", self.raw().put_documents(documents))
    }
}

#[async_trait]
impl History for SimStore {
    async fn run(&self, project: &Project, run: RunId) -> Result<Option<RunRow>> {
        read!(self, "run", self.raw().run(project, run))
    }

    async fn runs(&self, filter: &RunFilter, after: Option<RunId>, limit: u32) -> Result<RunPage> {
        read!(self, "runs", self.raw().runs(filter, after, limit))
    }

    async fn steps(&self, run: RunId, after: Option<StepIx>, limit: u32) -> Result<Vec<StepRow>> {
        read!(self, "steps", self.raw().steps(run, after, limit))
    }

    async fn segments(&self, run: RunId, after: Seq, limit: u32) -> Result<Vec<SegmentRow>> {
        read!(self, "segments", self.raw().segments(run, after, limit))
    }

    async fn payload(&self, at: &PayloadAt) -> Result<Bytes> {
        read!(self, "payload", self.raw().payload(at))
    }
}

#[async_trait]
impl Processes for SimStore {
    async fn register(&self, process: ProcessRow) -> Result<()> {
        write!(self, "register", self.raw().register(process))
    }

    async fn heartbeat(&self, process: ProcessId) -> Result<Processed> {
        self.before("heartbeat").await?;
        let mut processed = self.raw().heartbeat(process).await;
        self.after("heartbeat").await?;
        if let (true, Ok(processed)) = (self.is_planted(Plant::RedisFlushKills), &mut processed) {
            processed.lost |= self.process.saw_flush();
        }
        processed
    }

    async fn close(&self, process: ProcessId) -> Result<()> {
        write!(self, "close", self.raw().close(process))
    }

    async fn close_others(&self, me: ProcessId) -> Result<u32> {
        write!(self, "close_others", self.raw().close_others(me))
    }

    async fn live(&self, dead_after_ms: u64) -> Result<(Vec<ProcessRow>, Timestamp)> {
        let mut live = read!(self, "live", self.raw().live(dead_after_ms));
        if let (true, Ok((_, now))) = (self.is_planted(Plant::ClockAhead), &mut live) {
            *now = self.process.skewed_now();
        }
        live
    }
}

#[async_trait]
impl StepLogs for SimStore {
    async fn append_logs(&self, chunks: Vec<LogChunk>) -> Result<()> {
        write!(self, "append_logs", self.raw().append_logs(chunks))
    }

    async fn logs(&self, run: RunId, step: StepIx, from: (DispatchNo, u64), limit: u32) -> Result<Vec<LogChunk>> {
        read!(self, "logs", self.raw().logs(run, step, from, limit))
    }
}

#[async_trait]
impl DeadLetters for SimStore {
    async fn bury(&self, letters: Vec<DeadLetter>) -> Result<()> {
        self.process.world.count("command", "buried");
        write!(self, "bury", self.raw().bury(letters))
    }

    async fn dead_letters(&self, after: u64, limit: u32) -> Result<Vec<DeadLetter>> {
        read!(self, "dead_letters", self.raw().dead_letters(after, limit))
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
