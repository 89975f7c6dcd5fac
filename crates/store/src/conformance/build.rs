//! Rows for the cases, and an owner that keeps the numbers of its partition.

use super::ok;
use crate::types::{
    Batch, ClaimRequest, Commit, InboxRow, NewRun, PartitionRow, ProcessRow, SegmentRow, Submission, Turn,
};
use crate::{Store, StoreError};
use aidt_domain::{
    Attempt, BatchId, Budget, CommandId, Digest, DispatchNo, Effect, Failure, Generation, Labels, OutSeq, OutputRef,
    PartitionId, Pool, ProcessId, Project, RunId, RunRow, RunState, Seq, StepIx, StepPath, StepRow, StepState,
    Timestamp,
};
use bytes::Bytes;
use std::collections::BTreeMap;

/// The `n`th run of a partition; later ones have higher ids.
#[must_use]
pub fn run_id(partition: u16, n: u64) -> RunId {
    let low = n * u64::from(super::PARTITIONS) + u64::from(partition);
    format!("run_{n:016x}{low:016x}").parse().expect("32 hex digits")
}

/// A command's id.
#[must_use]
pub fn command_id(n: u64) -> CommandId {
    format!("cmd_{n:032x}").parse().expect("32 hex digits")
}

/// A process's id.
#[must_use]
pub fn process_id(n: u64) -> ProcessId {
    format!("proc_{n:032x}").parse().expect("32 hex digits")
}

/// The row of a running run with this many events.
#[must_use]
pub fn run_row(id: RunId, last_seq: u64) -> RunRow {
    RunRow {
        project: Project::default(),
        id,
        partition: PartitionId::of(id, super::PARTITIONS),
        snapshot: Digest::of(b"snapshot"),
        plan: "plan".to_owned(),
        state: RunState::Running,
        last_seq: Seq(last_seq),
        inputs: None,
        outputs: None,
        error: None,
        head: None,
        priority: 0,
        labels: BTreeMap::new(),
        submitted_by: "somebody".to_owned(),
        traceparent: None,
        budget: Budget::default(),
        created_at: Timestamp(1_000),
        updated_at: Timestamp(2_000),
        ended_at: None,
    }
}

/// A row with something in every field.
#[must_use]
pub fn full_run_row(id: RunId, last_seq: u64) -> RunRow {
    RunRow {
        inputs: Some(output_ref(1, 0, 2)),
        outputs: Some(output_ref(1, 2, 1)),
        error: Some(failure("out of luck")),
        head: Some("0123456789abcdef0123456789abcdef01234567".to_owned()),
        priority: -7,
        labels: BTreeMap::from([("team".to_owned(), "a b".to_owned()), ("tier".to_owned(), "1".to_owned())]),
        traceparent: Some("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01".to_owned()),
        budget: Budget {
            tokens_reserved: 1,
            tokens_used: 2,
            cost_reserved: 3,
            cost_used: 4,
            calls_reserved: 5,
            calls_used: 6,
        },
        ended_at: Some(Timestamp(3_000)),
        state: RunState::Failed,
        ..run_row(id, last_seq)
    }
}

/// A step's row.
#[must_use]
pub fn step_row(ix: u32, state: StepState, dispatch: u32) -> StepRow {
    StepRow {
        ix: StepIx(ix),
        path: StepPath::new(&format!("step[{ix}]")).expect("a step path"),
        state,
        dispatch: DispatchNo(dispatch),
        attempt: Attempt(1),
        generation: Generation(1),
        pool: Some(Pool::new("default").expect("a pool")),
        effect: Effect::Read,
        priority: 0,
        out_seq: OutSeq(u64::from(dispatch)),
        dispatch_event: Seq(1),
        clean_attempt: None,
        ready_at: None,
        dispatched_at: None,
        started_at: None,
        ended_at: None,
        wake_at: None,
        error: None,
        output: None,
    }
}

/// A row with something in every field.
#[must_use]
pub fn full_step_row(ix: u32, state: StepState, dispatch: u32) -> StepRow {
    StepRow {
        attempt: Attempt(3),
        generation: Generation(2),
        effect: Effect::Once,
        priority: -1,
        dispatch_event: Seq(4),
        clean_attempt: Some(Attempt(2)),
        ready_at: Some(Timestamp(1)),
        dispatched_at: Some(Timestamp(2)),
        started_at: Some(Timestamp(3)),
        ended_at: Some(Timestamp(4)),
        wake_at: Some(Timestamp(5)),
        error: Some(failure("no such file")),
        output: Some(output_ref(1, 3, 4)),
        ..step_row(ix, state, dispatch)
    }
}

/// A failure with something in every field.
#[must_use]
pub fn failure(message: &str) -> Failure {
    Failure {
        reason: Some("ENOENT".to_owned()),
        step: Some(StepPath::new("a").expect("a step path")),
        ..Failure::transient(aidt_domain::ErrorCode::ToolFailed, message)
    }
}

/// A reference into the segment that begins at this event.
#[must_use]
pub fn output_ref(segment: u64, offset: u32, len: u32) -> OutputRef {
    OutputRef {
        segment: Seq(segment),
        offset,
        len,
        digest: Digest::of(&[7, 7]),
        labels: ["model", "user"].into_iter().collect(),
    }
}

/// The same without provenance.
#[must_use]
pub fn plain_ref(segment: u64, offset: u32, len: u32) -> OutputRef {
    OutputRef { labels: Labels::NONE, ..output_ref(segment, offset, len) }
}

/// A segment of a run.
#[must_use]
pub fn segment(run: RunId, first_seq: u64, count: u32, payloads: &[u8]) -> SegmentRow {
    SegmentRow {
        run,
        first_seq: Seq(first_seq),
        count,
        events: Bytes::from(format!("events from {first_seq}")),
        payloads: Bytes::copy_from_slice(payloads),
    }
}

/// A command to a run.
#[must_use]
pub fn inbox_row(n: u64, run: RunId) -> InboxRow {
    InboxRow {
        seq: 0,
        id: command_id(n),
        project: Project::default(),
        run,
        partition: PartitionId::of(run, super::PARTITIONS),
        command: Bytes::from(format!("command {n}")),
        at: Timestamp(0),
    }
}

/// A submission without documents and key.
#[must_use]
pub fn submission(n: u64, run: RunId) -> Submission {
    Submission { row: inbox_row(n, run), documents: Vec::new(), idempotency: None }
}

/// A claim of a process for a dispatch.
#[must_use]
pub fn claim_request(run: RunId, step: u32, dispatch: u32, process: u64) -> ClaimRequest {
    ClaimRequest {
        run,
        step: StepIx(step),
        dispatch: DispatchNo(dispatch),
        partition: PartitionId::of(run, super::PARTITIONS),
        process: process_id(process),
    }
}

/// The row of a process.
#[must_use]
pub fn process_row(n: u64) -> ProcessRow {
    ProcessRow {
        id: process_id(n),
        service: "step-consumer,gateway".to_owned(),
        slots: BTreeMap::from([(Pool::new("default").expect("a pool"), 4)]),
        tools: vec![Digest::of(b"one"), Digest::of(b"two")],
        format: aidt_domain::FORMAT,
        policy_revision: "r1".to_owned(),
        heartbeat: Timestamp(0),
        closed: false,
    }
}

/// The owner of a partition.
#[derive(Debug)]
pub struct Owner {
    store: Store,
    /// Its partition.
    pub row: PartitionRow,
}

impl Owner {
    /// Takes a partition.
    pub async fn take(store: &Store, partition: u16) -> Self {
        let row = ok(store.run_log.take(PartitionId(partition), process_id(999), aidt_domain::FORMAT).await);
        Self { store: store.clone(), row }
    }

    /// The next batch.
    pub fn batch(&mut self, turn: Turn) -> Batch {
        self.row.batch_id = BatchId(self.row.batch_id.0 + 1);
        Batch {
            partition: self.row.id,
            epoch: self.row.epoch,
            batch_id: self.row.batch_id,
            published: self.row.published,
            out_seq: self.row.out_seq,
            cursor: self.row.cursor,
            incarnation: self.row.incarnation.clone(),
            turn,
        }
    }

    /// Commits a turn.
    ///
    /// # Errors
    /// The store's.
    pub async fn try_commit(&mut self, turn: Turn) -> Result<Commit, StoreError> {
        let batch = self.batch(turn);
        self.store.run_log.commit(vec![batch]).await
    }

    /// Commits a turn, which must be written.
    pub async fn commit(&mut self, turn: Turn) -> Commit {
        let commit = ok(self.try_commit(turn).await);
        assert_eq!(commit.held, [self.row.id], "the owner still holds its partition");
        commit
    }

    /// Begins a run without events.
    pub async fn begin(&mut self, run: RunId) {
        self.commit(Turn { new_runs: vec![NewRun { row: run_row(run, 0) }], ..Turn::default() }).await;
    }

    /// Writes rows of steps.
    pub async fn write_steps(&mut self, run: RunId, rows: impl IntoIterator<Item = StepRow>) {
        let steps = rows.into_iter().map(|row| (run, row)).collect();
        self.commit(Turn { steps, ..Turn::default() }).await;
    }

    /// Begins a run whose step 0 is out with dispatch 1.
    pub async fn begin_dispatched(&mut self, run: RunId) {
        self.begin(run).await;
        self.write_steps(run, [step_row(0, StepState::Dispatched, 1)]).await;
    }
}
