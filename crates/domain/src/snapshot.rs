//! A plan as a run executes it: immutable, by digest, with every tool resolved.

use crate::{Digest, Effect, Pool, StepIx, StepPath};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::time::Duration;

/// The document that a run executes. Its digest is over its RFC 8785 form.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Snapshot {
    /// Format of this document; see [`crate::FORMAT`].
    pub format: u32,
    /// The plan's name.
    pub name: String,
    /// What a submitter gives.
    #[serde(default)]
    pub inputs: BTreeMap<String, InputSpec>,
    /// The most that any step may use. `None`: the plan states no ceiling; the policy alone decides.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub permissions: Option<Vec<String>>,
    /// Where the steps work.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workspace: Option<WorkspaceSpec>,
    /// In the document's order; `@workspace`, when there is one, is first. `needs` point into it and
    /// form no cycle.
    pub steps: Vec<StepSpec>,
    /// Templates of the run's outputs.
    #[serde(default)]
    pub outputs: BTreeMap<String, serde_json::Value>,
    /// For filters and policies.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// Higher goes first within a project.
    #[serde(default)]
    pub priority: i32,
}

/// One input.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct InputSpec {
    /// The type that a value must have.
    #[serde(rename = "type")]
    pub kind: InputType,
    /// Must be given.
    #[serde(default)]
    pub required: bool,
    /// Used when not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default: Option<serde_json::Value>,
    /// For a person.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
}

/// Types of inputs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum InputType {
    /// Text.
    String,
    /// A number.
    Number,
    /// A whole number.
    Integer,
    /// true or false.
    Boolean,
    /// A list.
    Array,
    /// A map.
    Object,
    /// Anything.
    Any,
}

/// The run's git repository.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct WorkspaceSpec {
    /// Template of the path or URL that it is cloned from.
    pub git: String,
    /// Template of the revision to start at; `HEAD` when absent.
    #[serde(rename = "ref", default, skip_serializing_if = "Option::is_none")]
    pub rev: Option<String>,
}

/// One step.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StepSpec {
    /// Its name in the run.
    pub path: StepPath,
    /// What it does.
    pub kind: StepKind,
    /// Steps that must have ended before, by index: those written and those that expressions refer to.
    #[serde(default)]
    pub needs: Vec<StepIx>,
    /// CEL source of its condition, without the `${{ }}`.
    #[serde(rename = "if", default, skip_serializing_if = "Option::is_none")]
    pub when: Option<String>,
    /// The condition calls `always()`: a failed or skipped need does not skip the step.
    #[serde(default)]
    pub always: bool,
    /// Templates of its arguments.
    #[serde(default)]
    pub with: serde_json::Value,
    /// When it fails.
    #[serde(default)]
    pub retry: Retry,
    /// How long it may take.
    #[serde(default)]
    pub timeouts: Timeouts,
    /// Its failure counts as success for whoever needs it, and does not fail the run.
    #[serde(default)]
    pub continue_on_error: bool,
    /// Higher goes first; the plan's when not stated.
    #[serde(default)]
    pub priority: i32,
}

/// What a step does.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum StepKind {
    /// Calls a tool, as its catalogue entry had it at submission.
    Tool(ToolEntry),
}

impl StepKind {
    /// The tool entry of a tool step.
    #[must_use]
    pub fn tool(&self) -> Option<&ToolEntry> {
        match self {
            Self::Tool(entry) => Some(entry),
        }
    }
}

/// A tool in the operator's catalogue. Its digest is over the RFC 8785 form of this.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ToolEntry {
    /// `repo.write`.
    pub name: String,
    /// Who serves it.
    pub pool: Pool,
    /// What the policy judges.
    pub capability: String,
    /// What it does to the world.
    pub effect: Effect,
    /// For a person.
    #[serde(default)]
    pub description: String,
    /// JSON Schema of its arguments.
    #[serde(default = "any_schema")]
    pub input_schema: serde_json::Value,
    /// JSON Schema of its output.
    #[serde(default = "any_schema")]
    pub output_schema: serde_json::Value,
    /// What of the workspace it reads.
    #[serde(default)]
    pub reads: ToolReads,
    /// What of the workspace it writes.
    #[serde(default)]
    pub writes: ToolReads,
    /// The weakest sandbox that it may run in: `none`, `landlock`, `bubblewrap`.
    #[serde(default = "no_sandbox")]
    pub min_sandbox: String,
}

fn any_schema() -> serde_json::Value {
    serde_json::Value::Bool(true)
}

fn no_sandbox() -> String {
    "none".to_owned()
}

impl ToolEntry {
    /// The entry's content address: in snapshot, grant and a worker's announcement.
    #[must_use]
    pub fn digest(&self) -> Digest {
        Digest::of_json(self)
    }

    /// Whether it runs in the run's workspace.
    #[must_use]
    pub fn uses_workspace(&self) -> bool {
        self.reads != ToolReads::None || self.writes != ToolReads::None
    }
}

/// Which part of the workspace a tool touches.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ToolReads {
    /// Nothing of it.
    #[default]
    None,
    /// The whole.
    All,
    /// The paths in these arguments.
    Arguments(Vec<String>),
}

/// When a failed step is tried again.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Retry {
    /// Attempts in all; 1 = no retry.
    pub max_attempts: u32,
    /// Wait before the second attempt, in milliseconds.
    pub initial_ms: u64,
    /// Each further wait is this many times the one before.
    pub factor: f64,
    /// The longest wait, in milliseconds.
    pub max_ms: u64,
    /// `full` jitter: the wait is drawn from 0 to the computed wait; else the computed wait.
    pub jitter: bool,
    /// Error codes (or a tool's own reasons) that are not tried again.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub not_on: Vec<String>,
}

impl Default for Retry {
    fn default() -> Self {
        Self { max_attempts: 1, initial_ms: 1_000, factor: 2.0, max_ms: 60_000, jitter: true, not_on: Vec::new() }
    }
}

/// How long a step may wait and run, in milliseconds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Timeouts {
    /// From ready to started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queue_ms: Option<u64>,
    /// From started to ended.
    pub run_ms: u64,
    /// Between two signs of life.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub heartbeat_ms: Option<u64>,
}

impl Timeouts {
    /// The longest run time that a step may have.
    #[must_use]
    pub fn run(&self) -> Duration {
        Duration::from_millis(self.run_ms)
    }
}

impl Default for Timeouts {
    fn default() -> Self {
        Self { queue_ms: None, run_ms: 3_600_000, heartbeat_ms: None }
    }
}
