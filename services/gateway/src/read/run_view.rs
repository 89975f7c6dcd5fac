//! A run, as it is shown.

use super::ReadError;
use super::find::{Accepted, Found};
use super::json::{raw, time, time_or_null};
use crate::Api;
use aidt_domain::{Digest, Failure, OutputRef, RunId, RunRow, RunState, Seq, StepState, Timestamp};
use aidt_engine::Graph;
use aidt_store::Shown;
use serde::Serialize;
use serde_json::value::RawValue;
use std::collections::BTreeMap;

/// A run in a list.
#[derive(Debug, Serialize)]
pub(crate) struct RunSummary {
    pub(crate) id: RunId,
    pub(crate) state: RunState,
    /// Why it failed; null unless it did.
    pub(crate) error: Option<Failure>,
    pub(crate) plan: String,
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) priority: i32,
    pub(crate) submitted_by: String,
    #[serde(serialize_with = "time")]
    pub(crate) created_at: Timestamp,
    #[serde(serialize_with = "time")]
    pub(crate) updated_at: Timestamp,
    #[serde(serialize_with = "time_or_null")]
    pub(crate) ended_at: Option<Timestamp>,
    /// Number of its last event.
    pub(crate) last_seq: Seq,
    /// Content address of the plan as this run executes it.
    pub(crate) snapshot: Digest,
    /// The commit at the head of its workspace.
    pub(crate) head: Option<String>,
}

/// A run by itself.
#[derive(Debug, Serialize)]
pub(crate) struct RunView {
    #[serde(flatten)]
    pub(crate) summary: RunSummary,
    pub(crate) inputs: Box<RawValue>,
    /// Null until it is done.
    pub(crate) outputs: Option<Box<RawValue>>,
    pub(crate) counts: Counts,
}

/// How many of its steps are in which state; all states are listed.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Counts {
    total: usize,
    #[serde(flatten)]
    states: BTreeMap<StepState, usize>,
}

impl RunSummary {
    pub(crate) fn of_row(row: RunRow) -> Self {
        Self {
            id: row.id,
            state: row.state,
            error: row.error,
            plan: row.plan,
            labels: row.labels,
            priority: row.priority,
            submitted_by: row.submitted_by,
            created_at: row.created_at,
            updated_at: row.updated_at,
            ended_at: row.ended_at,
            last_seq: row.last_seq,
            snapshot: row.snapshot,
            head: row.head,
        }
    }

    pub(crate) fn of_accepted(accepted: Accepted, graph: &Graph) -> Self {
        let plan = graph.snapshot();
        let mut labels = plan.labels.clone();
        labels.extend(accepted.start.labels);
        Self {
            id: accepted.id,
            state: RunState::Created,
            error: None,
            plan: plan.name.clone(),
            labels,
            priority: plan.priority,
            submitted_by: accepted.by,
            created_at: accepted.at,
            updated_at: accepted.at,
            ended_at: None,
            last_seq: Seq(0),
            snapshot: accepted.start.snapshot,
            head: None,
        }
    }
}

/// Reads all that is shown of a run.
pub(crate) async fn view(api: &Api, found: Found) -> Result<RunView, ReadError> {
    let store = &api.store;
    match found {
        Found::Accepted(accepted) => {
            let graph = api.graphs.get(&*store.catalog, accepted.id, accepted.start.snapshot).await?;
            let inputs = raw(&serde_json::to_vec(&accepted.start.inputs).expect("a JSON object"));
            let counts = Counts::of(graph.len(), BTreeMap::new());
            Ok(RunView { summary: RunSummary::of_accepted(*accepted, &graph), inputs, outputs: None, counts })
        }
        Found::Stored(row) => {
            let graph = api.graphs.get(&*store.catalog, row.id, row.snapshot).await?;
            // One look at the store: each is a round trip.
            let asked: Vec<OutputRef> = row.inputs.iter().chain(&row.outputs).cloned().collect();
            let Shown { states, payloads } = store.history.shown(row.id, &asked).await?;
            let mut values = payloads.iter().map(|bytes| raw(bytes));
            let inputs = row.inputs.as_ref().and_then(|_| values.next()).unwrap_or_else(|| raw(b"{}"));
            let outputs = row.outputs.as_ref().and_then(|_| values.next());
            let counts = Counts::of(graph.len(), states);
            Ok(RunView { summary: RunSummary::of_row(*row), inputs, outputs, counts })
        }
    }
}

impl Counts {
    /// Of so many steps, those that have a row by state; the other steps are pending.
    fn of(total: usize, rows: BTreeMap<StepState, u64>) -> Self {
        let mut states: BTreeMap<StepState, usize> = StepState::ALL.iter().map(|s| (*s, 0)).collect();
        let mut seen = 0;
        for (state, count) in rows {
            let count = usize::try_from(count).unwrap_or(usize::MAX);
            *states.entry(state).or_default() += count;
            seen += count;
        }
        *states.entry(StepState::Pending).or_default() += total.saturating_sub(seen);
        Self { total, states }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_without_a_row_are_pending() {
        let counts = Counts::of(5, BTreeMap::from([(StepState::Done, 2), (StepState::Pending, 1)]));
        let json = serde_json::to_value(&counts).unwrap();
        assert_eq!(
            (&json["total"], &json["done"], &json["pending"], &json["failed"]),
            (&5.into(), &2.into(), &3.into(), &0.into())
        );
    }
}
