//! Messages to a run. The engine decides what follows from each.

use crate::{
    CommandId, Decision, Digest, DispatchNo, Failure, Finished, Labels, ProcessId, Project, RunId, StepIx, StepPath,
    Timestamp,
};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Who asked.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Actor(pub String);

/// A message to one run.
#[derive(Clone, Debug, PartialEq)]
pub struct Command {
    /// Names it: events that follow carry it as their `cause`. `None` for what the loop makes itself.
    pub id: Option<CommandId>,
    /// Tenancy.
    pub project: Project,
    /// The run.
    pub run: RunId,
    /// Who asked.
    pub actor: Actor,
    /// W3C trace context.
    pub traceparent: Option<String>,
    /// What is asked or reported.
    pub body: CommandBody,
}

/// The first command of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Start {
    /// The document to execute, stored before or with the command.
    pub snapshot: Digest,
    /// JSON object of inputs, complete with defaults.
    pub inputs: serde_json::Map<String, serde_json::Value>,
    /// Provenance of the inputs.
    pub input_labels: Labels,
    /// The submitter's labels.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// When it was accepted.
    pub accepted_at: Timestamp,
}

/// Which steps to run again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RetryScope {
    /// All that failed, were denied, or were cancelled, and what was skipped for them.
    Failed,
    /// This step and all downstream of it.
    From(StepPath),
}

/// What a person found out about an `unknown` outcome.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ResolveAs {
    /// It happened; this is its output.
    Done(serde_json::Value),
    /// It did not, or it does not count.
    Failed(String),
    /// Do it again: a new generation.
    Retry,
}

/// What is asked or reported.
#[derive(Clone, Debug, PartialEq)]
pub enum CommandBody {
    // From the inbox: nobody could derive these again.
    /// Begin.
    Start(Box<Start>),
    /// End it.
    Cancel {
        /// For people.
        reason: String,
    },
    /// Run steps again.
    Retry(RetryScope),
    /// Settle an `unknown` step.
    Resolve {
        /// Which.
        step: StepPath,
        /// How.
        resolve: ResolveAs,
    },

    // From the broker: the loop's own traffic.
    /// A dispatch ended.
    Finished(Box<Finished>),
    /// A claimed dispatch began: a hint for people, and the base of the run-time backstop.
    Started {
        /// The step.
        step: StepIx,
        /// Its dispatch.
        dispatch: DispatchNo,
        /// Who runs it.
        process: ProcessId,
        /// When (database time).
        at: Timestamp,
    },
    /// Coalesced live text or percentage of a running dispatch.
    Progress {
        /// The step.
        step: StepIx,
        /// Its dispatch.
        dispatch: DispatchNo,
        /// Offset of the text in the step's stream.
        offset: u64,
        /// What was added.
        text: String,
    },

    // Made by the owner, within a turn.
    /// A condition was evaluated.
    Conditioned {
        /// The step.
        step: StepIx,
        /// Wanted or not, or why it cannot be told.
        wanted: Result<bool, Failure>,
    },
    /// A ready step was rendered and judged.
    Judged {
        /// The step.
        step: StepIx,
        /// What came of it.
        judged: Result<Box<Judged>, Failure>,
    },
    /// The run's outputs were rendered.
    Concluded(Result<Bytes, Failure>, Labels),
    /// A burn was tried: won if nobody had claimed the dispatch.
    Burned {
        /// The step.
        step: StepIx,
        /// The dispatch.
        dispatch: DispatchNo,
        /// Whether the owner's burn was first.
        won: bool,
    },
    /// A step's timer is due: the end of a backoff, of a wait for a worker, of a cancel's grace, or the
    /// backstop of its run time; its state says which.
    TimerDue {
        /// The step; `None`: the run's own.
        step: Option<StepIx>,
    },
    /// The process that had claimed this dispatch is dead.
    ProcessDead {
        /// The step.
        step: StepIx,
        /// The dispatch that it had claimed.
        dispatch: DispatchNo,
    },
    /// Applying a command to this run failed in a way that will repeat itself: end the run.
    Poisoned(Failure),
}

/// A step, rendered and judged.
#[derive(Clone, Debug, PartialEq)]
pub struct Judged {
    /// The gate's answer.
    pub decision: Decision,
    /// Final arguments, RFC 8785 (after a transform).
    pub arguments: Bytes,
    /// Provenance of the arguments, `if` included.
    pub labels: Labels,
}

impl CommandBody {
    /// A word for logs and refusals.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Start(_) => "start",
            Self::Cancel { .. } => "cancel",
            Self::Retry(_) => "retry",
            Self::Resolve { .. } => "resolve",
            Self::Finished(_) => "finished",
            Self::Started { .. } => "started",
            Self::Progress { .. } => "progress",
            Self::Conditioned { .. } => "conditioned",
            Self::Judged { .. } => "judged",
            Self::Concluded(..) => "concluded",
            Self::Burned { .. } => "burned",
            Self::TimerDue { .. } => "timer_due",
            Self::ProcessDead { .. } => "process_dead",
            Self::Poisoned(_) => "poisoned",
        }
    }
}
