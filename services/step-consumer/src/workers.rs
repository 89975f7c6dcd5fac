//! The seam between the loop and whatever runs calls: the gRPC hub in production, the simulation in tests.

use aidt_domain::{
    Digest, DispatchNo, Effect, Failure, Labels, PartitionId, Pool, Project, RunId, StepIx, StepMessage,
    WorkspaceChange,
};
use async_trait::async_trait;
use bytes::Bytes;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;

/// Names a call between a consumer and its workers. Drawn by the consumer, never used twice in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CallNo(pub u64);

/// A call to put on a worker.
#[derive(Clone, Debug)]
pub struct ToolCall {
    /// Its name on this seam.
    pub no: CallNo,
    /// What is called: tool, entry, final arguments, key, timeouts.
    pub step: Arc<StepMessage>,
    /// 0 for a tool step; counts an agent's calls.
    pub index: u32,
    /// What the executor must keep to: a JSON object, RFC 8785.
    pub obligations: Arc<str>,
    /// W3C trace context of the call.
    pub traceparent: Option<String>,
}

/// Why a call could not be put on a worker now. Nothing was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoPlace {
    /// Every worker that serves the tool is busy.
    Full,
    /// No worker here serves the tool with this entry.
    Unserved,
}

/// What is known of a call's end.
#[derive(Clone, Debug, PartialEq)]
pub enum ToolResult {
    /// The tool answered.
    Done {
        /// JSON bytes.
        output: Bytes,
        /// Provenance beyond that of the arguments.
        labels: Labels,
        /// What it changed in the workspace.
        workspace: Option<WorkspaceChange>,
    },
    /// It ended badly.
    Failed(Failure),
    /// It stopped before its end.
    Cancelled(Failure),
    /// The worker vanished and did not come back in time.
    Lost {
        /// False: the worker is known never to have begun it.
        started: bool,
    },
}

/// How a call ended, and where.
#[derive(Clone, Debug, PartialEq)]
pub struct Ended {
    /// What is known.
    pub result: ToolResult,
    /// The worker, for people.
    pub worker: Arc<str>,
    /// How long ago the worker began it, if it did.
    pub began_ago: Option<Duration>,
}

/// Where a result belongs. Travels sealed with the call and comes back with its result, so that another
/// step consumer can forward it when the one that sent the call is gone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// Tenancy.
    pub project: Project,
    /// The run.
    pub run: RunId,
    /// Its partition.
    pub partition: PartitionId,
    /// The step.
    pub step: StepIx,
    /// The dispatch; the owner drops what is not current.
    pub dispatch: DispatchNo,
    /// Class of the tool's effect.
    pub effect: Effect,
    /// W3C trace context.
    pub traceparent: Option<String>,
}

/// A result that nobody here asked for: its step consumer is gone.
#[derive(Clone, Debug, PartialEq)]
pub struct Orphan {
    /// To settle it.
    pub no: u64,
    /// Where it belongs.
    pub route: Route,
    /// How the call ended.
    pub ended: Ended,
}

/// What workers say.
#[derive(Clone, Debug, PartialEq)]
pub enum Report {
    /// A sign of life, with a message for people if it is not empty.
    Progress {
        /// Of which call.
        call: CallNo,
        /// What it is at.
        message: String,
    },
    /// The tool printed something.
    Output {
        /// Which call's.
        call: CallNo,
        /// Where it stands in all that the call printed.
        offset: u64,
        /// The text.
        data: Bytes,
    },
    /// The call ended. The last report of a call.
    Ended {
        /// Which.
        call: CallNo,
        /// How.
        ended: Box<Ended>,
    },
    /// A result of an earlier step consumer's call.
    Orphan(Box<Orphan>),
}

/// A result that is safe: its worker may forget it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Settled {
    /// A call of this consumer.
    Call(CallNo),
    /// An orphan.
    Orphan(u64),
}

/// A pool as one consumer sees it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PoolSlots {
    /// Slots of all its workers.
    pub total: u32,
    /// The part of them that is this consumer's.
    pub share: u32,
}

/// Who is connected.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Roster {
    /// Rises with each change.
    pub version: u64,
    /// Pools that have a worker.
    pub pools: BTreeMap<Pool, PoolSlots>,
    /// Digests of the tools that they serve, sorted.
    pub tools: Vec<Digest>,
}

/// One consumer's view of the workers. Everything but [`changed`](Self::changed) answers at once.
#[async_trait]
pub trait Workers: Send + Sync + std::fmt::Debug {
    /// Where reports go from now on. Called once. The sender waits when `reports` is full, and so slows
    /// down the workers that cause them.
    fn attach(&self, reports: mpsc::Sender<Report>);

    /// Who is connected.
    fn roster(&self) -> Roster;

    /// How many more calls of the pool this consumer may start now.
    fn free(&self, pool: &Pool) -> u32;

    /// Waits until the roster's version differs from `seen`. Cancel safe.
    async fn changed(&self, seen: u64);

    /// Puts a call on the worker with the most free slots that serves the tool. Its end will be reported,
    /// exactly once, unless [`leave`](Self::leave) is called before.
    fn start(&self, call: ToolCall) -> Result<(), NoPlace>;

    /// Asks the worker to stop the call. What really happened is reported.
    fn cancel(&self, call: CallNo, reason: &str);

    /// Another executor has this call's dispatch: its result is thrown away, nobody may see it.
    fn leave(&self, call: CallNo);

    /// These results are published, confirmed.
    fn settle(&self, results: &[Settled]);
}
