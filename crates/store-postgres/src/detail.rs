//! What SQL does not ask for: the rest of a row, as JSON. A later build may add fields; nobody refuses one.

use crate::error::Failed;
use aidt_domain::{
    Attempt, Budget, Digest, DispatchNo, Effect, Failure, Generation, OutSeq, OutputRef, PartitionId, Pool, Project,
    RunId, RunRow, RunState, Seq, StepIx, StepPath, StepRow, StepState, Timestamp,
};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::collections::BTreeMap;

/// What a run begins with. Never rename a field.
#[derive(Serialize, Deserialize)]
struct Begin<'a> {
    snapshot: Digest,
    by: Cow<'a, str>,
    #[serde(default, rename = "prio", skip_serializing_if = "is_default")]
    priority: i32,
    #[serde(default, skip_serializing_if = "is_default")]
    inputs: Cow<'a, Option<OutputRef>>,
    #[serde(default, skip_serializing_if = "is_default")]
    labels: Cow<'a, BTreeMap<String, String>>,
    #[serde(default, rename = "trace", skip_serializing_if = "is_default")]
    traceparent: Cow<'a, Option<String>>,
}

/// What changes of a run. Never rename a field.
#[derive(Serialize, Deserialize)]
struct Change<'a> {
    #[serde(rename = "at")]
    updated_at: i64,
    #[serde(default, rename = "end", skip_serializing_if = "is_default")]
    ended_at: Option<i64>,
    #[serde(default, skip_serializing_if = "is_default")]
    budget: Budget,
    #[serde(default, rename = "out", skip_serializing_if = "is_default")]
    outputs: Cow<'a, Option<OutputRef>>,
    #[serde(default, skip_serializing_if = "is_default")]
    head: Cow<'a, Option<String>>,
    #[serde(default, skip_serializing_if = "is_default")]
    error: Cow<'a, Option<Failure>>,
}

/// A step but for its place, state and dispatch. Never rename a field.
#[derive(Serialize, Deserialize)]
struct Step<'a> {
    path: StepPath,
    #[serde(rename = "try")]
    attempt: Attempt,
    #[serde(rename = "gen")]
    generation: Generation,
    #[serde(default, skip_serializing_if = "is_default")]
    pool: Option<Pool>,
    effect: Effect,
    #[serde(default, rename = "prio", skip_serializing_if = "is_default")]
    priority: i32,
    #[serde(default, rename = "seq", skip_serializing_if = "is_default")]
    out_seq: OutSeq,
    #[serde(default, rename = "event", skip_serializing_if = "is_default")]
    dispatch_event: Seq,
    #[serde(default, rename = "clean", skip_serializing_if = "is_default")]
    clean_attempt: Option<Attempt>,
    /// Ready, dispatched, started, ended, wakes; in milliseconds.
    at: [Option<i64>; 5],
    #[serde(default, skip_serializing_if = "is_default")]
    error: Cow<'a, Option<Failure>>,
    #[serde(default, rename = "out", skip_serializing_if = "is_default")]
    output: Cow<'a, Option<OutputRef>>,
}

/// What the run begins with.
pub(crate) fn of_begin(row: &RunRow) -> Vec<u8> {
    to_json(&Begin {
        snapshot: row.snapshot,
        by: Cow::Borrowed(&row.submitted_by),
        priority: row.priority,
        inputs: Cow::Borrowed(&row.inputs),
        labels: Cow::Borrowed(&row.labels),
        traceparent: Cow::Borrowed(&row.traceparent),
    })
}

/// What changes of the run.
pub(crate) fn of_change(row: &RunRow) -> Vec<u8> {
    to_json(&Change {
        updated_at: row.updated_at.0,
        ended_at: row.ended_at.map(|at| at.0),
        budget: row.budget,
        outputs: Cow::Borrowed(&row.outputs),
        head: Cow::Borrowed(&row.head),
        error: Cow::Borrowed(&row.error),
    })
}

/// The columns of a run.
pub(crate) struct RunCells<'r> {
    pub(crate) id: RunId,
    pub(crate) project: Project,
    pub(crate) created_at: Timestamp,
    pub(crate) plan: &'r [u8],
    pub(crate) begin: &'r [u8],
    pub(crate) state: i16,
    pub(crate) last_seq: i64,
    pub(crate) change: &'r [u8],
}

/// A run from its columns.
pub(crate) fn run_row(cells: RunCells<'_>, partitions: u16) -> Result<RunRow, Failed> {
    let begin: Begin<'_> = from_json(cells.begin)?;
    let change: Change<'_> = from_json(cells.change)?;
    Ok(RunRow {
        project: cells.project,
        id: cells.id,
        partition: PartitionId::of(cells.id, partitions),
        snapshot: begin.snapshot,
        plan: text(cells.plan)?,
        state: known(u8::try_from(cells.state).ok().and_then(RunState::from_code), "state of a run")?,
        last_seq: Seq(cells.last_seq.cast_unsigned()),
        inputs: begin.inputs.into_owned(),
        outputs: change.outputs.into_owned(),
        error: change.error.into_owned(),
        head: change.head.into_owned(),
        priority: begin.priority,
        labels: begin.labels.into_owned(),
        submitted_by: begin.by.into_owned(),
        traceparent: begin.traceparent.into_owned(),
        budget: change.budget,
        created_at: cells.created_at,
        updated_at: Timestamp(change.updated_at),
        ended_at: change.ended_at.map(Timestamp),
    })
}

/// The rest of a step.
pub(crate) fn of_step(row: &StepRow) -> Vec<u8> {
    to_json(&Step {
        path: row.path.clone(),
        attempt: row.attempt,
        generation: row.generation,
        pool: row.pool.clone(),
        effect: row.effect,
        priority: row.priority,
        out_seq: row.out_seq,
        dispatch_event: row.dispatch_event,
        clean_attempt: row.clean_attempt,
        at: [row.ready_at, row.dispatched_at, row.started_at, row.ended_at, row.wake_at].map(|at| at.map(|at| at.0)),
        error: Cow::Borrowed(&row.error),
        output: Cow::Borrowed(&row.output),
    })
}

/// A step from its columns.
pub(crate) fn step_row(ix: StepIx, state: i16, dispatch: DispatchNo, detail: &[u8]) -> Result<StepRow, Failed> {
    let rest: Step<'_> = from_json(detail)?;
    let [ready_at, dispatched_at, started_at, ended_at, wake_at] = rest.at.map(|at| at.map(Timestamp));
    Ok(StepRow {
        ix,
        path: rest.path,
        state: step_state(state)?,
        dispatch,
        attempt: rest.attempt,
        generation: rest.generation,
        pool: rest.pool,
        effect: rest.effect,
        priority: rest.priority,
        out_seq: rest.out_seq,
        dispatch_event: rest.dispatch_event,
        clean_attempt: rest.clean_attempt,
        ready_at,
        dispatched_at,
        started_at,
        ended_at,
        wake_at,
        error: rest.error.into_owned(),
        output: rest.output.into_owned(),
    })
}

/// By what runs are found by a label: a label may be of any length.
pub(crate) fn label_hash(project: &Project, key: &str, value: &str) -> i64 {
    let text = format!("{project}\n{}\n{key}\n{value}", key.len());
    let Digest(digest) = Digest::of(text.as_bytes());
    i64::from_be_bytes(digest[..8].try_into().expect("8 of 32 bytes"))
}

/// Text that was stored as bytes.
pub(crate) fn text(bytes: &[u8]) -> Result<String, Failed> {
    std::str::from_utf8(bytes).map(str::to_owned).map_err(Failed::corrupt)
}

/// A digest from its bytes.
pub(crate) fn digest(bytes: &[u8]) -> Result<Digest, Failed> {
    bytes.try_into().map(Digest).map_err(|_| Failed::corrupt("a digest is not of 32 bytes"))
}

/// As JSON, in bytes.
pub(crate) fn to_json<T: Serialize>(value: &T) -> Vec<u8> {
    serde_json::to_vec(value).expect("plain words, strings and numbers are JSON")
}

/// What [`to_json`] wrote.
pub(crate) fn from_json<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Failed> {
    serde_json::from_slice(bytes).map_err(Failed::corrupt)
}

/// The state of a step by its code.
pub(crate) fn step_state(code: i16) -> Result<StepState, Failed> {
    known(u8::try_from(code).ok().and_then(StepState::from_code), "state of a step")
}

fn known<T>(value: Option<T>, what: &str) -> Result<T, Failed> {
    value.ok_or_else(|| Failed::corrupt(format!("a stored {what} is not known")))
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use aidt_store::conformance::build::{full_run_row, full_step_row, run_id, run_row, step_row as plain_step};

    fn text_of(bytes: Vec<u8>) -> String {
        String::from_utf8(bytes).unwrap()
    }

    /// What older and newer builds read. A field may be added, never changed.
    #[test]
    fn the_details_are_as_they_were_released() {
        let run = run_row(run_id(0, 1), 0);
        assert_eq!(text_of(of_begin(&run)), format!(r#"{{"snapshot":"{}","by":"somebody"}}"#, run.snapshot));
        assert_eq!(text_of(of_change(&run)), r#"{"at":2000}"#);
        let step = plain_step(2, StepState::Dispatched, 1);
        let (what, when) = (r#""effect":"read","seq":1,"event":1"#, r#""at":[null,null,null,null,null]"#);
        let expected = format!(r#"{{"path":"step[2]","try":1,"gen":1,"pool":"default",{what},{when}}}"#);
        assert_eq!(text_of(of_step(&step)), expected);
    }

    #[test]
    fn rows_come_back_and_unknown_fields_are_passed_over() {
        let later = |bytes: Vec<u8>| format!("{{\"later\":[1],{}", &text_of(bytes)[1..]).into_bytes();
        let run = full_run_row(run_id(3, 1), 7);
        let (begin, change) = (later(of_begin(&run)), later(of_change(&run)));
        let cells = RunCells {
            id: run.id,
            project: run.project.clone(),
            created_at: run.created_at,
            plan: run.plan.as_bytes(),
            begin: &begin,
            state: run.state.code().into(),
            last_seq: 7,
            change: &change,
        };
        assert_eq!(run_row_of(cells), run);
        let step = full_step_row(4, StepState::Unknown, 9);
        let read = step_row(step.ix, step.state.code().into(), step.dispatch, &later(of_step(&step))).unwrap();
        assert_eq!(read, step);
    }

    fn run_row_of(cells: RunCells<'_>) -> RunRow {
        super::run_row(cells, aidt_store::conformance::PARTITIONS).unwrap()
    }
}
