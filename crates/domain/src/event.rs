//! History: what happened to a run, append-only, numbered without gaps.

use crate::{
    Attempt, CommandId, Decision, Digest, DispatchNo, ErrorCode, Failure, Generation, Labels, Pool, ProcessId, Seq,
    StepPath, Timestamp,
};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Kinds that exist by name and are written once agents run (they come with the agents' loop).
pub const RESERVED_KINDS: &[&str] = &["user_input", "agent_invoke_started", "agent_stream_delta", "agent_invoke_done"];

/// A large value of an event, stored apart from its meta, as bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Payload {
    /// The field under which it is shown: `inputs`, `arguments`, `output`, `outputs`, `text`.
    pub name: &'static str,
    /// JSON bytes.
    pub bytes: Bytes,
    /// Provenance.
    pub labels: Labels,
}

/// An entry of a run's history.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// Its number in the run.
    pub seq: Seq,
    /// When (database time, never below the event before).
    pub at: Timestamp,
    /// The command that it follows from, if that had an id.
    pub cause: Option<CommandId>,
    /// The step that it is about.
    pub step: Option<StepPath>,
    /// The step's dispatch at the time; 0 when there was none.
    pub dispatch: DispatchNo,
    /// The step's attempt.
    pub attempt: Attempt,
    /// The step's generation.
    pub generation: Generation,
    /// What happened.
    pub body: EventBody,
    /// A large value.
    pub payload: Option<Payload>,
}

/// What happened. The tag is the event's kind, in snake_case.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum EventBody {
    /// The owner took the run up. Payload: `inputs`.
    RunStarted {
        /// The plan's name.
        plan: String,
        /// The document that is executed.
        snapshot: Digest,
        /// The run's labels.
        #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
        labels: BTreeMap<String, String>,
        /// Who submitted it.
        by: String,
    },
    /// Judged, allowed, and handed out. Payload: `arguments`.
    StepDispatched {
        /// The tool.
        tool: String,
        /// Whose queue it goes to.
        pool: Pool,
        /// The decision, on record before the tool runs.
        decision: Decision,
        /// The commit that the call works on.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        commit: Option<String>,
        /// Not to be started after this.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        queue_deadline: Option<Timestamp>,
    },
    /// A process claimed the dispatch and runs it.
    StepStarted {
        /// The step consumer.
        process: ProcessId,
    },
    /// Live text of a running dispatch, coalesced. Payload: `text`.
    StepProgress {
        /// Offset of the text in the dispatch's stream.
        offset: u64,
    },
    /// Ended well. Payload: `output`.
    StepFinished {
        /// Who ran it.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        worker: String,
        /// When the worker started it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        started_at: Option<Timestamp>,
        /// The head of the workspace since.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        commit: Option<String>,
        /// Paths that it changed.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        paths: Vec<String>,
        /// The first 4 KiB of what it printed.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        log: String,
    },
    /// Ended badly, for good.
    StepFailed {
        /// Why.
        error: Failure,
        /// The first 4 KiB of what it printed.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        log: String,
    },
    /// Failed; tried again later.
    StepRetrying {
        /// Why it failed.
        error: Failure,
        /// When it is tried again.
        until: Timestamp,
    },
    /// The executor was lost, handed it back, or worked on a base that is not the head any more: it is
    /// dispatched again; no attempt spent.
    StepRequeued {
        /// `released`, `process_dead`, `burned`, `deferred`, `base_moved`.
        reason: String,
        /// Not before this.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        until: Option<Timestamp>,
    },
    /// Not wanted.
    StepSkipped {
        /// `condition`, or the need that did not succeed.
        reason: String,
    },
    /// Refused by the gate.
    StepDenied {
        /// By this decision.
        decision: Decision,
    },
    /// A `once` effect whose outcome nobody knows: a person resolves it.
    StepUnknown {
        /// Why it is not known.
        error: Failure,
    },
    /// A person settled an unknown outcome. Payload: `output`, when it was done.
    StepResolved {
        /// `done`, `failed`, `retry`.
        resolve: String,
        /// Who.
        by: String,
        /// What they said, when failed.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        error: Option<Failure>,
    },
    /// Ended by a cancel.
    StepCancelled {
        /// What the call reported, if it was running.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        error: Option<Failure>,
    },
    /// A cancel was accepted; calls in flight are told.
    RunCancelling {
        /// Who asked.
        by: String,
        /// Why.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        reason: String,
    },
    /// Ended by request.
    RunCancelled {
        /// Steps whose outcome is unknown and still resolvable.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        unknown: Vec<StepPath>,
    },
    /// Every step that had to succeed did. Payload: `outputs`.
    RunDone,
    /// It failed.
    RunFailed {
        /// The first cause.
        error: Failure,
    },
    /// A person wants steps run again.
    RunReopened {
        /// Who.
        by: String,
        /// The steps of a new generation.
        steps: Vec<StepPath>,
    },
    /// A command did not fit; nothing changed.
    CommandRefused {
        /// Which.
        command: String,
        /// The stable word.
        code: ErrorCode,
        /// For a person.
        message: String,
    },
}

impl EventBody {
    /// The kind, as shown and stored.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::RunStarted { .. } => "run_started",
            Self::StepDispatched { .. } => "step_dispatched",
            Self::StepStarted { .. } => "step_started",
            Self::StepProgress { .. } => "step_progress",
            Self::StepFinished { .. } => "step_finished",
            Self::StepFailed { .. } => "step_failed",
            Self::StepRetrying { .. } => "step_retrying",
            Self::StepRequeued { .. } => "step_requeued",
            Self::StepSkipped { .. } => "step_skipped",
            Self::StepDenied { .. } => "step_denied",
            Self::StepUnknown { .. } => "step_unknown",
            Self::StepResolved { .. } => "step_resolved",
            Self::StepCancelled { .. } => "step_cancelled",
            Self::RunCancelling { .. } => "run_cancelling",
            Self::RunCancelled { .. } => "run_cancelled",
            Self::RunDone => "run_done",
            Self::RunFailed { .. } => "run_failed",
            Self::RunReopened { .. } => "run_reopened",
            Self::CommandRefused { .. } => "command_refused",
        }
    }

    /// Whether the run ended with it.
    #[must_use]
    pub fn ends_run(&self) -> bool {
        matches!(self, Self::RunDone | Self::RunFailed { .. } | Self::RunCancelled { .. })
    }
}
