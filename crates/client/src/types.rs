//! What the API says, as values. Fields that this build does not know are kept, not refused.

use crate::{Diagnostic, Event, Json};
use aidt_domain::{Attempt, DispatchNo, Failure, InputSpec, RunId, RunState, Seq, StepPath, StepState};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// What is submitted: `POST /v1/runs`.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Submission {
    /// The plan as a document of JSON, or the name of a saved one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub plan: Option<Value>,
    /// The plan as text (YAML or JSON), so that errors name its lines.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<PlanSource>,
    /// Values of the plan's inputs.
    pub inputs: Map<String, Value>,
    /// For filters and policies.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
}

/// A plan's text.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct PlanSource {
    /// What errors call it, such as its path.
    pub name: String,
    /// YAML or JSON.
    pub text: String,
}

/// An accepted run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Accepted {
    /// Its id.
    pub id: RunId,
    /// `created`, or further if an earlier submission with the same key began it.
    pub state: RunState,
}

/// A run as it is now.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Run {
    /// Its id.
    pub id: RunId,
    /// Its state.
    pub state: RunState,
    /// Why it failed.
    #[serde(default)]
    pub error: Option<Failure>,
    /// What it gave.
    #[serde(default)]
    pub outputs: Option<Json>,
    /// Whatever else the server says of it.
    #[serde(flatten)]
    pub more: Map<String, Value>,
}

impl Run {
    /// A field beside the named ones, as text.
    #[must_use]
    pub fn text(&self, field: &str) -> Option<&str> {
        self.more.get(field).and_then(Value::as_str)
    }
}

/// A step as it is now.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Step {
    /// Its name in the run.
    pub path: StepPath,
    /// Its state.
    pub state: StepState,
    /// Its attempt; 0 before the first.
    #[serde(default)]
    pub attempt: Attempt,
    /// Its dispatch; 0 before the first.
    #[serde(default)]
    pub dispatch: DispatchNo,
    /// What it gave.
    #[serde(default)]
    pub output: Option<Json>,
    /// Whatever else the server says of it.
    #[serde(flatten)]
    pub more: Map<String, Value>,
}

/// Live text of a running step: shown as it comes, never stored under an event's number.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepOutput {
    /// The step.
    pub step: StepPath,
    /// Its dispatch.
    #[serde(default)]
    pub dispatch: DispatchNo,
    /// Where the text stands in what the dispatch printed.
    #[serde(default)]
    pub offset: u64,
    /// What was printed.
    #[serde(default)]
    pub text: String,
}

/// A page of a list.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Page<T> {
    /// In the list's order.
    pub items: Vec<T>,
    /// What to give as `after` for the next page; absent on the last.
    #[serde(default, deserialize_with = "cursor")]
    pub next: Option<String>,
}

/// A cursor is a word, or, for events, a number.
fn cursor<'de, D: serde::Deserializer<'de>>(d: D) -> Result<Option<String>, D::Error> {
    match Option::<Value>::deserialize(d)? {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(Value::Number(number)) => Ok(Some(number.to_string())),
        Some(_) => Err(serde::de::Error::custom("next is neither a string nor a number")),
    }
}

/// Why a run is not further on: `GET /v1/runs/{id}/explain`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Explanation {
    /// Each thing that it waits for; empty once it has ended.
    pub reasons: Vec<Reason>,
    /// Whatever else the server says.
    #[serde(flatten)]
    pub more: Map<String, Value>,
}

/// One thing that a run waits for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Reason {
    /// The stable word: `no_worker`, `timer`, `unknown_outcome`, …
    pub code: String,
    /// Since when, RFC 3339; null when it is not known.
    #[serde(default)]
    pub since: Option<String>,
    /// What ends it.
    #[serde(default)]
    pub ends: Option<String>,
    /// Who can end it.
    #[serde(default)]
    pub who: Option<String>,
    /// Whatever else the server says, such as the step.
    #[serde(flatten)]
    pub more: Map<String, Value>,
}

/// What became of a command to a run. A refused one is an error, not one of these.
#[derive(Clone, Debug, PartialEq)]
pub struct Applied {
    /// The run.
    pub id: RunId,
    /// The run's state since.
    pub state: RunState,
    /// Whether it is applied; else it is accepted and will be, and the server did not wait longer.
    pub applied: bool,
    /// The event that it caused; none if nothing had to change.
    pub event: Option<Event>,
}

impl Applied {
    /// The answer is the event's object, with these fields added.
    pub(crate) fn parse(bytes: &[u8]) -> serde_json::Result<Self> {
        #[derive(Deserialize)]
        struct Head {
            id: RunId,
            state: RunState,
            applied: bool,
            #[serde(default)]
            seq: Option<Seq>,
        }
        let head: Head = serde_json::from_slice(bytes)?;
        let mut event: Option<Event> = head.seq.map(|_| serde_json::from_slice(bytes)).transpose()?;
        if let Some(event) = &mut event {
            event.fields.retain(|name, _| !matches!(name.as_str(), "id" | "state" | "applied" | "command"));
        }
        Ok(Self { id: head.id, state: head.state, applied: head.applied, event })
    }
}

/// A piece of what a step printed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogPiece {
    /// The dispatch that printed it.
    pub dispatch: DispatchNo,
    /// Where it stands in what that dispatch printed, in bytes.
    pub offset: u64,
    /// The text.
    pub text: String,
}

/// Which steps `retry` runs again.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum RetryFrom {
    /// All that failed, were denied or cancelled, and what was skipped for them.
    #[default]
    Failed,
    /// This step and all downstream of it.
    Step(StepPath),
}

/// A plan that is valid, as the server describes it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CheckedPlan {
    /// Its name.
    pub name: String,
    /// What a submitter gives.
    #[serde(default)]
    pub inputs: BTreeMap<String, InputSpec>,
    /// What is not wrong, but should be looked at.
    #[serde(default)]
    pub warnings: Vec<Diagnostic>,
    /// Whatever else the server says of it, such as its steps.
    #[serde(flatten)]
    pub more: Map<String, Value>,
}

/// A tool of the server's catalogue.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Tool {
    /// Its entry's fields, and what the server adds: `digest`, `workers`.
    #[serde(flatten)]
    pub entry: Map<String, Value>,
}

impl Tool {
    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        self.text("name")
    }

    /// One of the entry's fields, as text; empty when there is none.
    #[must_use]
    pub fn text(&self, field: &str) -> &str {
        self.entry.get(field).and_then(Value::as_str).unwrap_or_default()
    }
}
