//! What crosses the store's ports.

use aidt_domain::{
    Attempt, BatchId, CommandId, Digest, DispatchNo, Epoch, Generation, OutSeq, OutputRef, PartitionId, Pool,
    ProcessId, Project, RunId, RunRow, RunState, Seq, StepIx, StepRow, StepState, Timestamp,
};
use bytes::Bytes;
use std::collections::BTreeMap;

/// A partition, as the store has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionRow {
    /// Which.
    pub id: PartitionId,
    /// Its fence.
    pub epoch: Epoch,
    /// Who took it last.
    pub owner: Option<ProcessId>,
    /// Every dispatch up to this one is known to have been published.
    pub published: OutSeq,
    /// The last dispatch handed out.
    pub out_seq: OutSeq,
    /// Where an adapter of the queue reads on (Kafka: the offset); opaque.
    pub cursor: i64,
    /// The last transaction.
    pub batch_id: BatchId,
    /// The highest format of its rows; an older process does not take it.
    pub format: u32,
    /// Incarnation of the queue that `published` speaks of.
    pub incarnation: String,
}

/// A row of the inbox.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InboxRow {
    /// Its place; rises per partition.
    pub seq: u64,
    /// Unique: the same command inserted twice is there once.
    pub id: CommandId,
    /// Tenancy.
    pub project: Project,
    /// To which run.
    pub run: RunId,
    /// Which partition that is.
    pub partition: PartitionId,
    /// The command's envelope.
    pub command: Bytes,
    /// When it was accepted (the store's clock).
    pub at: Timestamp,
}

/// What the gateway hands in at once.
#[derive(Clone, Debug)]
pub struct Submission {
    /// The command; `seq` and `at` are given by the store.
    pub row: InboxRow,
    /// Documents that it names, stored with it.
    pub documents: Vec<(Digest, Bytes)>,
    /// The client's idempotency key, with the digest of the request's body.
    pub idempotency: Option<(String, Digest)>,
}

/// What became of a submission.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Submitted {
    /// It is in the inbox.
    Accepted,
    /// The idempotency key (or the command id) was used for the same body: this run.
    Repeated(RunId),
    /// The idempotency key was used with another body.
    KeyReused,
}

/// A run whose rows are all loaded.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredRun {
    /// Its row.
    pub row: RunRow,
    /// The rows of its steps that have left `pending`, by index.
    pub steps: Vec<StepRow>,
}

/// A step that a new owner must know of at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenStep {
    /// Its run.
    pub run: RunId,
    /// Which.
    pub step: StepIx,
    /// Its dispatch; meaningless while it is ready.
    pub dispatch: DispatchNo,
}

/// A timer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct TimerRow {
    /// When it is due.
    pub at: Timestamp,
    /// Its run.
    pub run: RunId,
    /// Its step; `None`: the run's own.
    pub step: Option<StepIx>,
}

/// Events of one run of one transaction, concatenated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SegmentRow {
    /// The run.
    pub run: RunId,
    /// Number of the first event.
    pub first_seq: Seq,
    /// How many.
    pub count: u32,
    /// Their meta.
    pub events: Bytes,
    /// Their payloads, apart.
    pub payloads: Bytes,
}

/// A run's first row.
#[derive(Clone, Debug, PartialEq)]
pub struct NewRun {
    /// Its row.
    pub row: RunRow,
}

/// What one turn writes for one partition.
#[derive(Clone, Debug, Default)]
pub struct Turn {
    /// Runs that begin.
    pub new_runs: Vec<NewRun>,
    /// Runs that changed. What a run begins with (project, snapshot, plan, inputs, priority, labels,
    /// submitter, trace context, time of acceptance) never does, and is not written again.
    pub runs: Vec<RunRow>,
    /// Steps that changed (insert or replace).
    pub steps: Vec<(RunId, StepRow)>,
    /// History.
    pub segments: Vec<SegmentRow>,
    /// Timers set: one a (run, step); a later one replaces it.
    pub timers_set: Vec<TimerRow>,
    /// Timers cleared.
    pub timers_cleared: Vec<(RunId, Option<StepIx>)>,
    /// Inbox rows that were applied: deleted.
    pub inbox_done: Vec<u64>,
    /// Claims to burn: inserted unless the dispatch is claimed already.
    pub burns: Vec<(RunId, StepIx, DispatchNo)>,
    /// Commands to runs of any partition, inserted unless their id is there.
    pub inbox_put: Vec<InboxRow>,
    /// What could not be applied.
    pub dead_letters: Vec<DeadLetter>,
}

/// What one turn writes for one partition, with its fence.
#[derive(Clone, Debug)]
pub struct Batch {
    /// The partition.
    pub partition: PartitionId,
    /// Nothing is written unless the partition still has this epoch.
    pub epoch: Epoch,
    /// This transaction's number.
    pub batch_id: BatchId,
    /// Every dispatch up to this one is known to have been published.
    pub published: OutSeq,
    /// The last dispatch handed out.
    pub out_seq: OutSeq,
    /// Where the queue's adapter reads on.
    pub cursor: i64,
    /// Incarnation of the queue that `published` speaks of.
    pub incarnation: String,
    /// What is written.
    pub turn: Turn,
}

/// What a transaction did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Commit {
    /// The partitions whose epoch matched. For others nothing was written.
    pub held: Vec<PartitionId>,
    /// What became of the burns of those.
    pub burns: Vec<BurnResult>,
}

/// What became of a burn.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BurnResult {
    /// The run.
    pub run: RunId,
    /// The step.
    pub step: StepIx,
    /// The dispatch.
    pub dispatch: DispatchNo,
    /// Nobody had claimed it.
    pub won: bool,
}

/// Asks for the right to run a dispatch.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ClaimRequest {
    /// The run.
    pub run: RunId,
    /// The step.
    pub step: StepIx,
    /// The dispatch.
    pub dispatch: DispatchNo,
    /// Its partition.
    pub partition: PartitionId,
    /// Who asks.
    pub process: ProcessId,
}

/// What a claim request got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClaimState {
    /// It is the asker's: run it. (Also when the asker held it already.)
    Won,
    /// Another process has it.
    Held(ProcessId),
    /// The owner burned it.
    Burned,
    /// The step has moved on.
    Stale,
}

/// A claim that stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// The run.
    pub run: RunId,
    /// The step.
    pub step: StepIx,
    /// The dispatch.
    pub dispatch: DispatchNo,
    /// Who holds it; `None`: burned.
    pub process: Option<ProcessId>,
}

/// A life of a service process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProcessRow {
    /// Which.
    pub id: ProcessId,
    /// What it runs, e.g. `step-consumer`; several joined by a comma.
    pub service: String,
    /// Slots of its workers, by pool.
    pub slots: BTreeMap<Pool, u32>,
    /// Digests of the tools that its workers serve.
    pub tools: Vec<Digest>,
    /// The highest format that it reads.
    pub format: u32,
    /// The policy revision that is active in it.
    pub policy_revision: String,
    /// The last heartbeat (the store's clock).
    pub heartbeat: Timestamp,
    /// It ended by itself.
    pub closed: bool,
}

/// What a heartbeat is answered with.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Processed {
    /// The store's clock.
    pub now: Timestamp,
    /// This process's row is closed or gone (somebody took it for dead): stop working.
    pub lost: bool,
    /// Claims of this process that are asked to stop.
    pub cancels: Vec<(RunId, StepIx, DispatchNo)>,
}

/// Whose journal.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct JournalKey {
    /// The run.
    pub run: RunId,
    /// The step.
    pub step: StepIx,
    /// The generation.
    pub generation: Generation,
    /// The attempt.
    pub attempt: Attempt,
}

/// An entry of an agent's journal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JournalEntry {
    /// From 0, without gaps.
    pub index: u32,
    /// The dispatch that wrote it.
    pub dispatch: DispatchNo,
    /// The entry; opaque.
    pub entry: Bytes,
}

/// A piece of a step's log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogChunk {
    /// The run.
    pub run: RunId,
    /// The step.
    pub step: StepIx,
    /// The dispatch that printed it.
    pub dispatch: DispatchNo,
    /// Byte offset in the dispatch's log.
    pub offset: u64,
    /// The text.
    pub bytes: Bytes,
}

/// What nothing could be done with, kept with its reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadLetter {
    /// Given by the store; 0 when handed in.
    pub id: u64,
    /// Where it came from: `inbox`, `commands`, `steps:<pool>`.
    pub inlet: String,
    /// Whose, if it could be told.
    pub project: Option<Project>,
    /// The run, if it could be told.
    pub run: Option<RunId>,
    /// Why.
    pub reason: String,
    /// What it came with: `partition`, `traceparent`, `published_at`, ….
    pub headers: BTreeMap<String, String>,
    /// What it was.
    pub bytes: Bytes,
    /// When (the store's clock).
    pub at: Timestamp,
}

/// Which runs to list.
#[derive(Clone, Debug, Default)]
pub struct RunFilter {
    /// Tenancy.
    pub project: Project,
    /// Only in these states; empty: any.
    pub states: Vec<RunState>,
    /// Only of this plan.
    pub plan: Option<String>,
    /// Only with all these labels.
    pub labels: BTreeMap<String, String>,
}

/// A page of runs, newest first.
#[derive(Clone, Debug, Default)]
pub struct RunPage {
    /// The rows.
    pub items: Vec<RunRow>,
    /// More follow after this one.
    pub next: Option<RunId>,
}

/// Where a payload of an event stands, and whose.
pub type PayloadAt = (RunId, OutputRef);

/// What is shown of a run beside its row.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Shown {
    /// How many rows of its steps are in which state.
    pub states: BTreeMap<StepState, u64>,
    /// The payloads that were asked for, in that order.
    pub payloads: Vec<Bytes>,
}
