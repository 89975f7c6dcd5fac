//! The ports.

use crate::StoreError;
use crate::types::{
    Batch, Claim, ClaimRequest, ClaimState, Commit, DeadLetter, InboxRow, JournalEntry, JournalKey, LogChunk, OpenStep,
    PartitionRow, PayloadAt, ProcessRow, Processed, RunFilter, RunPage, SegmentRow, Shown, StoredRun, Submission,
    Submitted, TimerRow,
};
use aidt_domain::{
    Digest, DispatchNo, OutputRef, PartitionId, ProcessId, Project, RunId, RunRow, Seq, StepIx, StepRow, Timestamp,
};
use async_trait::async_trait;
use bytes::Bytes;
use std::sync::Arc;

type Result<T> = std::result::Result<T, StoreError>;

/// The owner's side. No method is cancel safe unless it says so.
#[async_trait]
pub trait RunLog: Send + Sync {
    /// The number of partitions, fixed at install.
    fn partitions(&self) -> u16;

    /// The store's clock.
    async fn now(&self) -> Result<Timestamp>;

    /// Takes a partition: raises its epoch and answers its row, in one statement. Load only after it.
    /// `format` is the newest that the taker reads, and may write from now on: the row remembers the
    /// highest. `Conflict`, and nothing changes, when the partition's is newer than the taker's.
    async fn take(&self, partition: PartitionId, owner: ProcessId, format: u32) -> Result<PartitionRow>;

    /// The partition's row as it stands: to settle an ambiguous commit.
    async fn partition(&self, partition: PartitionId) -> Result<PartitionRow>;

    /// Steps handed out and not ended (dispatched or running), all of them.
    async fn open_dispatches(&self, partition: PartitionId) -> Result<Vec<OpenStep>>;

    /// Ready steps after the one given: the backlog, in pieces, in an order of the store's own that does
    /// not change (oldest run first, its steps by index).
    async fn ready(&self, partition: PartitionId, after: Option<(RunId, StepIx)>, limit: u32) -> Result<Vec<OpenStep>>;

    /// Timers due up to `until`, soonest first, and when the next one after those is due.
    async fn timers(
        &self,
        partition: PartitionId,
        until: Timestamp,
        limit: u32,
    ) -> Result<(Vec<TimerRow>, Option<Timestamp>)>;

    /// Claims that stand for open dispatches of the partition.
    async fn claims(&self, partition: PartitionId) -> Result<Vec<Claim>>;

    /// Marks claims of these dispatches as asked to stop; the answer to a heartbeat names them.
    async fn ask_to_stop(&self, claims: &[(RunId, StepIx, DispatchNo)]) -> Result<()>;

    /// Runs with all their steps' rows, in one query. What does not exist is left out.
    async fn load(&self, runs: &[RunId]) -> Result<Vec<StoredRun>>;

    /// Payload bytes, in the order asked for. `Corrupt` when one is not there.
    async fn payloads(&self, at: &[PayloadAt]) -> Result<Vec<Bytes>>;

    /// The segment that holds this event.
    async fn segment(&self, run: RunId, seq: Seq) -> Result<SegmentRow>;

    /// One transaction for all these partitions. Its first statement is the fence: for each batch the
    /// partition's row changes only if its epoch matches; for the others nothing is written. `Invalid`
    /// when a held batch is not one (see [`crate::appended`]), `Conflict` when a run does not stand where
    /// its batch believes it to; then nothing at all is written. `Unknown` when the commit is ambiguous.
    async fn commit(&self, batches: Vec<Batch>) -> Result<Commit>;
}

/// Commands that nobody could derive again.
#[async_trait]
pub trait Inbox: Send + Sync {
    /// Inserts a command, its documents and its idempotency key: all or nothing.
    async fn submit(&self, submission: Submission) -> Result<Submitted>;

    /// Rows after `after`, in order.
    async fn inbox(&self, partition: PartitionId, after: u64, limit: u32) -> Result<Vec<InboxRow>>;

    /// The same of several partitions, each with its own `after`; `limit` is for each. Answers in the order asked.
    async fn inboxes(&self, asked: &[(PartitionId, u64)], limit: u32) -> Result<Vec<Vec<InboxRow>>> {
        let mut answers = Vec::with_capacity(asked.len());
        for &(partition, after) in asked {
            answers.push(self.inbox(partition, after, limit).await?);
        }
        Ok(answers)
    }

    /// Which of these commands are still there.
    async fn pending(&self, ids: &[aidt_domain::CommandId]) -> Result<Vec<aidt_domain::CommandId>>;

    /// What waits in the inbox for this run, in order. A run whose start waits reads as `created`.
    async fn waiting(&self, run: RunId) -> Result<Vec<InboxRow>>;
}

/// Who runs a dispatch.
#[async_trait]
pub trait Claims: Send + Sync {
    /// Inserts each claim only while the step's row says `dispatched` (or `running`, for the asker's
    /// own) with this very dispatch and nobody holds or burned it. Answers in order.
    async fn claim(&self, requests: &[ClaimRequest]) -> Result<Vec<ClaimState>>;
}

/// What an agent step has asked and been answered. A claim and a journal in one.
#[async_trait]
pub trait Journal: Send + Sync {
    /// Claims the dispatch and answers the entries of this attempt, oldest first. `Conflict` when the
    /// dispatch is not current, burned, or another's.
    async fn open(&self, key: &JournalKey, claim: &ClaimRequest) -> Result<Vec<JournalEntry>>;

    /// Appends; commits only while the dispatch is the step's current one and the claim is this
    /// process's, and the index is the next. `Conflict` otherwise.
    async fn append(&self, key: &JournalKey, claim: &ClaimRequest, entry: JournalEntry) -> Result<()>;
}

/// Documents by content.
#[async_trait]
pub trait Catalog: Send + Sync {
    /// Documents by digest; `NotFound` when one is missing.
    async fn documents(&self, digests: &[Digest]) -> Result<Vec<Bytes>>;

    /// Stores documents; what is there already stays.
    async fn put_documents(&self, documents: &[(Digest, Bytes)]) -> Result<()>;
}

/// What the gateway reads. Sees only what is committed.
#[async_trait]
pub trait History: Send + Sync {
    /// A run's row.
    async fn run(&self, project: &Project, run: RunId) -> Result<Option<RunRow>>;

    /// Newest first, after `after` (`NotFound` when there is no such run).
    async fn runs(&self, filter: &RunFilter, after: Option<RunId>, limit: u32) -> Result<RunPage>;

    /// Rows of its steps that have left `pending`, from index `after + 1`.
    async fn steps(&self, run: RunId, after: Option<StepIx>, limit: u32) -> Result<Vec<StepRow>>;

    /// Segments with events after `after`, in order, at most `limit` of them.
    async fn segments(&self, run: RunId, after: Seq, limit: u32) -> Result<Vec<SegmentRow>>;

    /// Payload bytes.
    async fn payload(&self, at: &PayloadAt) -> Result<Bytes>;

    /// How many steps of a run are in which state, and these payloads of it, in one look.
    async fn shown(&self, run: RunId, payloads: &[OutputRef]) -> Result<Shown>;
}

/// Lives of service processes.
#[async_trait]
pub trait Processes: Send + Sync {
    /// Registers a life, or changes its slots, tools and revision. Counts as a heartbeat. A life that was
    /// closed stays closed.
    async fn register(&self, process: ProcessRow) -> Result<()>;

    /// Writes the heartbeat. Called each second from a thread (or task) that does nothing else.
    async fn heartbeat(&self, process: ProcessId) -> Result<Processed>;

    /// It ends by itself: what it holds may be taken at once.
    async fn close(&self, process: ProcessId) -> Result<()>;

    /// Closes every other open life: only for whoever holds the home lock.
    async fn close_others(&self, me: ProcessId) -> Result<u32>;

    /// Lives that are neither closed nor older than `dead_after_ms` since their heartbeat, by the
    /// store's clock; with the clock.
    async fn live(&self, dead_after_ms: u64) -> Result<(Vec<ProcessRow>, Timestamp)>;
}

/// Text that steps printed.
#[async_trait]
pub trait StepLogs: Send + Sync {
    /// Appends pieces, all or none; one that is there already (same dispatch and offset) is left as it
    /// is. `NotFound` when there is no such run.
    async fn append_logs(&self, chunks: Vec<LogChunk>) -> Result<()>;

    /// Pieces of a step from `(dispatch, offset)` on, in order.
    async fn logs(&self, run: RunId, step: StepIx, from: (DispatchNo, u64), limit: u32) -> Result<Vec<LogChunk>>;
}

/// What nothing could be done with.
#[async_trait]
pub trait DeadLetters: Send + Sync {
    /// Keeps it.
    async fn bury(&self, letters: Vec<DeadLetter>) -> Result<()>;

    /// Oldest first, after `after`. Ids are never given twice.
    async fn dead_letters(&self, after: u64, limit: u32) -> Result<Vec<DeadLetter>>;

    /// Takes these out for good; answers those that were there.
    async fn drop_dead_letters(&self, ids: &[u64]) -> Result<Vec<u64>>;
}

/// All ports of one store; an adapter is one value behind all of them.
#[derive(Clone)]
pub struct Store {
    /// The owner's side.
    pub run_log: Arc<dyn RunLog>,
    /// Commands.
    pub inbox: Arc<dyn Inbox>,
    /// Claims.
    pub claims: Arc<dyn Claims>,
    /// Agents' journals.
    pub journal: Arc<dyn Journal>,
    /// Documents.
    pub catalog: Arc<dyn Catalog>,
    /// Reads.
    pub history: Arc<dyn History>,
    /// Lives.
    pub processes: Arc<dyn Processes>,
    /// Logs.
    pub logs: Arc<dyn StepLogs>,
    /// Dead letters.
    pub dead_letters: Arc<dyn DeadLetters>,
}

impl Store {
    /// All ports from one adapter.
    pub fn new<A>(adapter: Arc<A>) -> Self
    where
        A: RunLog + Inbox + Claims + Journal + Catalog + History + Processes + StepLogs + DeadLetters + 'static,
    {
        Self {
            run_log: adapter.clone(),
            inbox: adapter.clone(),
            claims: adapter.clone(),
            journal: adapter.clone(),
            catalog: adapter.clone(),
            history: adapter.clone(),
            processes: adapter.clone(),
            logs: adapter.clone(),
            dead_letters: adapter,
        }
    }
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store").finish_non_exhaustive()
    }
}
