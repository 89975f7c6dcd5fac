//! What travels between owner and step consumer.

use crate::{
    Attempt, Decision, Digest, DispatchNo, Effect, Failure, Generation, Labels, OutSeq, PartitionId, Pool, ProcessId,
    Project, RunId, StepIx, StepPath, Timestamp,
};
use bytes::Bytes;

/// The workspace a call works on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorkspaceAt {
    /// The commit that it sees.
    pub commit: String,
}

/// What a call changed in the workspace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorkspaceChange {
    /// The commit that it started from.
    pub base: String,
    /// The commit that it made.
    pub commit: String,
    /// What it touched.
    pub paths: Vec<String>,
}

/// A step, handed out: self-contained, and a pure function of what is stored.
#[derive(Clone, Debug, PartialEq)]
pub struct StepMessage {
    /// Tenancy.
    pub project: Project,
    /// The run.
    pub run: RunId,
    /// Where its results go.
    pub partition: PartitionId,
    /// The step.
    pub step: StepIx,
    /// Its name.
    pub path: StepPath,
    /// Fencing token.
    pub dispatch: DispatchNo,
    /// Retry count.
    pub attempt: Attempt,
    /// Wanted effect.
    pub generation: Generation,
    /// Position among what the partition handed out.
    pub out_seq: OutSeq,
    /// Whose queue it goes to.
    pub pool: Pool,
    /// The tool.
    pub tool: String,
    /// Content address of the tool's catalogue entry.
    pub entry: Digest,
    /// The tool's effect.
    pub effect: Effect,
    /// The weakest sandbox.
    pub min_sandbox: String,
    /// Final arguments, RFC 8785: these very bytes go to the worker.
    pub arguments: Bytes,
    /// Provenance of the arguments.
    pub labels: Labels,
    /// On record since the dispatch.
    pub decision: Decision,
    /// What the tool may use to do its effect once.
    pub idempotency_key: String,
    /// The commit to work on, for a tool that uses the workspace.
    pub workspace: Option<WorkspaceAt>,
    /// Not to be started after this (database time).
    pub queue_deadline: Option<Timestamp>,
    /// Longest run time, in milliseconds.
    pub run_ms: u64,
    /// Longest silence, in milliseconds.
    pub heartbeat_ms: Option<u64>,
    /// Database time when it was first published.
    pub dispatched_at: Timestamp,
    /// Published before: the start must be validated by a claim.
    pub republished: bool,
    /// Who submitted the run.
    pub subject: String,
    /// W3C trace context.
    pub traceparent: Option<String>,
}

/// What became of a dispatch.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// The tool answered.
    Done {
        /// Its output, as JSON bytes.
        output: Bytes,
        /// Provenance of the output: that of its arguments, and what the tool added.
        labels: Labels,
        /// What it changed in the workspace.
        workspace: Option<WorkspaceChange>,
    },
    /// The call ended badly.
    Failed(Failure),
    /// It was told to stop, and did. `effect` in the failure says what is known.
    Cancelled(Failure),
    /// Handed back by a draining consumer, not started: dispatch it again at once.
    Released,
    /// Not before this time; no attempt spent.
    Deferred(Timestamp),
    /// A newer policy revision refuses it (deny or escalate).
    Refused(Decision),
}

/// The result of one dispatch.
#[derive(Clone, Debug, PartialEq)]
pub struct Finished {
    /// The step.
    pub step: StepIx,
    /// The dispatch that this is the result of.
    pub dispatch: DispatchNo,
    /// What became of it.
    pub outcome: Outcome,
    /// When the worker started it (database time); `None` if it never did.
    pub started_at: Option<Timestamp>,
    /// The step consumer.
    pub process: ProcessId,
    /// The worker, for people.
    pub worker: String,
    /// Up to 4 KiB of what it printed.
    pub log: Bytes,
}
