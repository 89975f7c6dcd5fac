//! What the store keeps of a run and of a step: state as narrow rows.

use crate::{
    Attempt, Digest, DispatchNo, Effect, Failure, Generation, Labels, OutSeq, PartitionId, Pool, Project, RunId,
    RunState, Seq, StepIx, StepPath, StepState, Timestamp,
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Where a payload stands: bytes `offset .. offset + len` of the payload column of the segment of
/// this run whose first event is `segment`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutputRef {
    /// First event of the segment.
    pub segment: Seq,
    /// Byte offset in its payloads.
    pub offset: u32,
    /// Length in bytes.
    pub len: u32,
    /// Digest of these bytes.
    pub digest: Digest,
    /// Provenance of the value.
    #[serde(default)]
    pub labels: Labels,
}

/// Reserved and used, of a run's budget.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Budget {
    /// Model tokens promised to steps that run.
    pub tokens_reserved: u64,
    /// Model tokens spent.
    pub tokens_used: u64,
    /// Millionths of a US dollar promised.
    pub cost_reserved: u64,
    /// Millionths of a US dollar spent.
    pub cost_used: u64,
    /// Tool calls promised.
    pub calls_reserved: u64,
    /// Tool calls made.
    pub calls_used: u64,
}

/// The row of a run.
#[derive(Clone, Debug, PartialEq)]
pub struct RunRow {
    /// Tenancy.
    pub project: Project,
    /// The run.
    pub id: RunId,
    /// `PartitionId::of(id, partitions)`.
    pub partition: PartitionId,
    /// The document that it executes.
    pub snapshot: Digest,
    /// The plan's name, for lists.
    pub plan: String,
    /// Its state.
    pub state: RunState,
    /// Number of its last event; 0 before the first.
    pub last_seq: Seq,
    /// Where its inputs stand.
    pub inputs: Option<OutputRef>,
    /// Where its outputs stand.
    pub outputs: Option<OutputRef>,
    /// Why it failed.
    pub error: Option<Failure>,
    /// The workspace's head: a commit id.
    pub head: Option<String>,
    /// Higher goes first within its project.
    pub priority: i32,
    /// For filters: the plan's, then the submitter's.
    pub labels: BTreeMap<String, String>,
    /// Who submitted it: the subject of its decisions.
    pub submitted_by: String,
    /// W3C trace context of the submission.
    pub traceparent: Option<String>,
    /// Promised and spent.
    pub budget: Budget,
    /// When it was accepted.
    pub created_at: Timestamp,
    /// Time of its last event.
    pub updated_at: Timestamp,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
}

/// The row of a step; there is none while it is pending.
#[derive(Clone, Debug, PartialEq)]
pub struct StepRow {
    /// Index in the snapshot.
    pub ix: StepIx,
    /// Its name.
    pub path: StepPath,
    /// Its state.
    pub state: StepState,
    /// Fencing token.
    pub dispatch: DispatchNo,
    /// Retry count within the generation.
    pub attempt: Attempt,
    /// Wanted effect.
    pub generation: Generation,
    /// The pool whose backlog or queue it is in.
    pub pool: Option<Pool>,
    /// Class of its tool.
    pub effect: Effect,
    /// Higher goes first.
    pub priority: i32,
    /// Position among what its partition handed out.
    pub out_seq: OutSeq,
    /// The `step_dispatched` event of the current dispatch: a step message is built again from it.
    pub dispatch_event: Seq,
    /// The attempt whose failure is known to have had no effect; mixed into the idempotency key.
    pub clean_attempt: Option<Attempt>,
    /// When it became ready.
    pub ready_at: Option<Timestamp>,
    /// When it was handed out.
    pub dispatched_at: Option<Timestamp>,
    /// When a worker started it.
    pub started_at: Option<Timestamp>,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
    /// When its backoff ends.
    pub wake_at: Option<Timestamp>,
    /// Why it failed, or why it is unknown.
    pub error: Option<Failure>,
    /// Where its output stands.
    pub output: Option<OutputRef>,
}
