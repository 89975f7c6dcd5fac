//! Why a run waits: each thing by name, since when, what ends it, and who can.

use crate::graph::Graph;
use aidt_domain::{Digest, Pool, RunRow, RunState, StepIx, StepPath, StepRow, StepState, Timestamp};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};

/// What serves a pool at the moment.
#[derive(Clone, Debug, Default)]
pub struct PoolView {
    /// Calls that its workers take at once, in all.
    pub slots: u32,
    /// Entries that its workers serve.
    pub tools: BTreeSet<Digest>,
}

/// What serves the pools at the moment.
pub type Pools = BTreeMap<Pool, PoolView>;

/// One thing that a run waits for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Reason {
    /// `dependency`, `timer`, `queue`, `no_worker`, `tool_changed`, `running`, `cancelling`,
    /// `unknown_outcome`, `created`, `working`.
    pub code: &'static str,
    /// The step that waits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub step: Option<StepPath>,
    /// Since when, if it is known.
    pub since: Option<Timestamp>,
    /// What ends it.
    pub ends: String,
    /// Who can do something about it.
    pub who: String,
    /// In words.
    pub message: String,
}

/// The reasons why a run that is not terminal has not ended. `steps` are the rows that there are;
/// steps without a row are pending. A run that is not terminal has at least one.
#[must_use]
pub fn explain(graph: &Graph, row: &RunRow, steps: &[StepRow], pools: &Pools) -> Vec<Reason> {
    if row.state.is_terminal() {
        return Vec::new();
    }
    let mut reasons: Vec<Reason> = steps.iter().filter_map(|s| of_step(graph, row, s, pools)).collect();
    reasons.extend(first_dependency(graph, row, steps));
    if row.state == RunState::Cancelling {
        let ends = "each call in flight reports, or 7 s after it was told to stop";
        reasons.push(reason(
            "cancelling",
            None,
            Some(row.updated_at),
            ends,
            "its workers",
            "the run is being cancelled".into(),
        ));
    }
    if reasons.is_empty() {
        let ends = "the owner of its partition takes the next turn";
        reasons.push(reason(
            "working",
            None,
            Some(row.updated_at),
            ends,
            "a completion consumer",
            "the run is being worked on".into(),
        ));
    }
    reasons
}

fn reason(
    code: &'static str,
    step: Option<&StepPath>,
    since: Option<Timestamp>,
    ends: &str,
    who: &str,
    message: String,
) -> Reason {
    Reason { code, step: step.cloned(), since, ends: ends.to_owned(), who: who.to_owned(), message }
}

fn of_step(graph: &Graph, row: &RunRow, step: &StepRow, pools: &Pools) -> Option<Reason> {
    let path = Some(&step.path);
    match step.state {
        StepState::Ready | StepState::Dispatched => Some(waits_for_worker(graph, step, pools)),
        StepState::Running => {
            let message = format!("step {} runs (dispatch {})", step.path, step.dispatch);
            Some(reason("running", path, step.started_at, "its result or its timeout.run", "its worker", message))
        }
        StepState::BackingOff => {
            let until = step.wake_at.map(|t| t.to_string()).unwrap_or_default();
            let message = format!("step {} failed and is tried again (attempt {}) at {until}", step.path, step.attempt);
            Some(reason("timer", path, Some(row.updated_at), &until, "nobody need do anything", message))
        }
        StepState::Unknown => {
            let message = format!("it is not known whether step {} had its effect", step.path);
            let ends = format!("aidt runs resolve {} {} done|failed|retry", row.id, step.path);
            Some(reason("unknown_outcome", path, step.dispatched_at, &ends, "a person who finds out", message))
        }
        _ => None,
    }
}

fn waits_for_worker(graph: &Graph, step: &StepRow, pools: &Pools) -> Reason {
    let path = Some(&step.path);
    let since = step.ready_at;
    let tool = graph.spec(step.ix).kind.tool();
    let name = tool.map_or("?", |t| t.name.as_str());
    let Some((pool, view)) = step.pool.as_ref().map(|p| (p, pools.get(p))) else {
        return reason("queue", path, since, "the owner's next turn", "nobody need do anything", "it is ready".into());
    };
    match view {
        None | Some(PoolView { slots: 0, .. }) => {
            let message = format!("step {} waits: pool {pool} has no worker", step.path);
            reason(
                "no_worker",
                path,
                since,
                "a worker for the pool connects",
                "whoever runs the pool's workers",
                message,
            )
        }
        Some(view) if graph.entry_digest(step.ix).is_some_and(|d| !view.tools.contains(&d)) => {
            let message =
                format!("step {} waits: no worker of pool {pool} serves tool {name} as its entry has it", step.path);
            reason(
                "tool_changed",
                path,
                since,
                "a worker that serves the entry connects",
                "whoever runs the pool's workers",
                message,
            )
        }
        Some(view) => {
            let message = format!("step {} waits for one of the {} slots of pool {pool}", step.path, view.slots);
            reason("queue", path, since, "a slot becomes free", "more workers make it sooner", message)
        }
    }
}

/// The first step that waits for others, with one that it waits for; one stands for all.
fn first_dependency(graph: &Graph, row: &RunRow, steps: &[StepRow]) -> Option<Reason> {
    let states: BTreeMap<StepIx, StepState> = steps.iter().map(|s| (s.ix, s.state)).collect();
    let state = |ix: StepIx| states.get(&ix).copied().unwrap_or(StepState::Pending);
    let all = (0..u32::try_from(graph.len()).unwrap_or(u32::MAX)).map(StepIx);
    let waiting = all.filter(|&ix| state(ix) == StepState::Pending);
    let (ix, need) = waiting
        .filter_map(|ix| Some((ix, *graph.spec(ix).needs.iter().find(|&&n| !state(n).is_terminal())?)))
        .next()?;
    let (path, need) = (&graph.spec(ix).path, &graph.spec(need).path);
    let message = format!("step {path} waits for step {need}");
    Some(reason("dependency", Some(path), Some(row.created_at), &format!("step {need} ends"), "see that step", message))
}
