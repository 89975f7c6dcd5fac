//! What a tool is, what it is given, and what it gives back.

use aidt_domain::{Attempt, Clock, DispatchNo, Failure, Labels, Project, RunId, StepPath, ToolEntry, WorkspaceChange};
use async_trait::async_trait;
use bytes::Bytes;
use serde_json::Value;
use std::fmt::Debug;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

/// Something that a step can call.
#[async_trait]
pub trait Tool: Debug + Send + Sync {
    /// Its catalogue entry: name, pool, capability, effect, schemas. Asked for once, when a worker starts.
    fn entry(&self) -> ToolEntry;

    /// Does one call. `args` fit the entry's input schema.
    ///
    /// A failure says what is known of the effect: only a tool that knows that nothing changed says
    /// `effect: none`. A tool that runs for long watches `ctx.cancel` and gives a sign of life with
    /// `ctx.sink`. Dropping the future must be as safe as killing the process.
    async fn run(&self, ctx: &ToolContext, args: Value) -> Result<ToolOutput, Failure>;
}

/// What a call may know and use.
#[derive(Clone, Debug)]
pub struct ToolContext {
    /// Whose run it is.
    pub project: Project,
    /// The run that the call belongs to.
    pub run: RunId,
    /// The step.
    pub step: StepPath,
    /// Which handing-out of the step this is.
    pub dispatch: DispatchNo,
    /// The retry count.
    pub attempt: Attempt,
    /// The same for every dispatch of the same wanted effect: what an `idempotent` tool keys its effect by.
    pub idempotency_key: String,
    /// The commit of the run's workspace that the call works on, if its entry reads or writes it.
    pub commit: Option<String>,
    /// Ends when the call is to stop. The tool then returns soon, with whatever is true of its effect.
    pub cancel: CancellationToken,
    /// Signs of life.
    pub sink: Arc<dyn Sink>,
    /// The time.
    pub clock: Arc<dyn Clock>,
}

/// Where a running call shows what it does.
#[async_trait]
pub trait Sink: Debug + Send + Sync {
    /// A sign of life. `fraction` is from 0 to 1. May be dropped when the line is busy.
    fn progress(&self, fraction: Option<f64>, message: &str);

    /// Text that the tool printed. Waits while the line is busy. Cancel safe: dropped before it returns,
    /// the data may be lost.
    async fn output(&self, data: Bytes);
}

/// What a tool answers.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ToolOutput {
    /// Fits the entry's output schema.
    pub output: Value,
    /// Where the output came from, beyond the arguments.
    pub labels: Labels,
    /// What it changed in the workspace.
    pub workspace: Option<WorkspaceChange>,
}

impl ToolOutput {
    /// An output that stems from the arguments alone.
    #[must_use]
    pub fn new(output: Value) -> Self {
        Self { output, ..Self::default() }
    }

    /// An output that was read from the workspace.
    #[must_use]
    pub(crate) fn of_repo(output: Value) -> Self {
        Self { output, labels: Labels::one("repo"), workspace: None }
    }
}

/// What a checked call answers: [`ToolOutput`], serialised.
#[derive(Clone, Debug, PartialEq)]
pub struct CallOutput {
    /// JSON.
    pub output: Bytes,
    /// Where the output came from, beyond the arguments.
    pub labels: Labels,
    /// What the call changed in the workspace.
    pub workspace: Option<WorkspaceChange>,
}
