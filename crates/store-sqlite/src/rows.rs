//! Domain values as columns, and back.

use crate::error::Failed;
use aidt_domain::{
    Attempt, Budget, Digest, DispatchNo, Effect, Failure, Generation, Labels, OutSeq, OutputRef, PartitionId, Pool,
    Project, RunId, RunRow, RunState, Seq, StepIx, StepPath, StepRow, StepState, Timestamp,
};
use rusqlite::Row;
use rusqlite::types::FromSql;
use std::collections::BTreeMap;
use uuid::Uuid;

/// What [`run_row`] reads, of `run_details d` and `runs r`.
macro_rules! run_columns {
    () => {
        "d.id, d.project, d.partition, d.snapshot, d.plan, r.state, r.last_seq, d.inputs_segment, \
         d.inputs_offset, d.inputs_len, d.inputs_digest, d.inputs_labels, r.outputs_segment, r.outputs_offset, \
         r.outputs_len, r.outputs_digest, r.outputs_labels, r.error, r.head, d.priority, d.labels, d.submitted_by, \
         d.traceparent, r.tokens_reserved, r.tokens_used, r.cost_reserved, r.cost_used, r.calls_reserved, \
         r.calls_used, d.created_at, r.updated_at, r.ended_at"
    };
}
pub(crate) use run_columns;

/// What [`step_row`] reads, of `steps s`.
macro_rules! step_columns {
    () => {
        "s.ix, s.path, s.state, s.dispatch, s.attempt, s.generation, s.pool, s.effect, s.priority, s.out_seq, \
         s.dispatch_event, s.clean_attempt, s.ready_at, s.dispatched_at, s.started_at, s.ended_at, s.wake_at, \
         s.error, s.output_segment, s.output_offset, s.output_len, s.output_digest, s.output_labels"
    };
}
pub(crate) use step_columns;

/// Reads a row's cells one after the other.
pub(crate) struct Cells<'r, 's> {
    row: &'r Row<'s>,
    at: usize,
}

impl<'r, 's> Cells<'r, 's> {
    pub(crate) fn of(row: &'r Row<'s>) -> Self {
        Self { row, at: 0 }
    }

    pub(crate) fn next<T: FromSql>(&mut self) -> Result<T, Failed> {
        self.at += 1;
        Ok(self.row.get(self.at - 1)?)
    }

    pub(crate) fn unsigned(&mut self) -> Result<u64, Failed> {
        Ok(self.next::<i64>()?.cast_unsigned())
    }

    pub(crate) fn bytes(&mut self) -> Result<bytes::Bytes, Failed> {
        Ok(self.next::<Vec<u8>>()?.into())
    }

    pub(crate) fn time(&mut self) -> Result<Timestamp, Failed> {
        Ok(Timestamp(self.next()?))
    }

    fn time_if_any(&mut self) -> Result<Option<Timestamp>, Failed> {
        Ok(self.next::<Option<i64>>()?.map(Timestamp))
    }

    pub(crate) fn uuid(&mut self) -> Result<Uuid, Failed> {
        Ok(Uuid::from_bytes(self.next()?))
    }

    pub(crate) fn run(&mut self) -> Result<RunId, Failed> {
        Ok(RunId(self.uuid()?))
    }

    pub(crate) fn project(&mut self) -> Result<Project, Failed> {
        Project::new(&self.next::<String>()?).map_err(Failed::corrupt)
    }

    pub(crate) fn digest(&mut self) -> Result<Digest, Failed> {
        digest(&self.next::<Vec<u8>>()?)
    }

    fn output_ref(&mut self) -> Result<Option<OutputRef>, Failed> {
        let segment: Option<i64> = self.next()?;
        let (offset, len): (Option<u32>, Option<u32>) = (self.next()?, self.next()?);
        let (bytes, labels): (Option<Vec<u8>>, Option<String>) = (self.next()?, self.next()?);
        let Some(segment) = segment else { return Ok(None) };
        let (Some(offset), Some(len), Some(bytes)) = (offset, len, bytes) else {
            return Err(Failed::corrupt("a reference to a payload lacks a part"));
        };
        let labels = labels.map_or(Ok(Labels::NONE), |text| from_json(&text))?;
        let segment = Seq(segment.cast_unsigned());
        Ok(Some(OutputRef { segment, offset, len, digest: digest(&bytes)?, labels }))
    }

    fn failure(&mut self) -> Result<Option<Failure>, Failed> {
        self.next::<Option<String>>()?.map(|text| from_json(&text)).transpose()
    }

    fn budget(&mut self) -> Result<Budget, Failed> {
        Ok(Budget {
            tokens_reserved: self.unsigned()?,
            tokens_used: self.unsigned()?,
            cost_reserved: self.unsigned()?,
            cost_used: self.unsigned()?,
            calls_reserved: self.unsigned()?,
            calls_used: self.unsigned()?,
        })
    }
}

/// Reads [`run_columns`].
pub(crate) fn run_row(row: &Row<'_>) -> Result<RunRow, Failed> {
    let mut cells = Cells::of(row);
    Ok(RunRow {
        id: cells.run()?,
        project: cells.project()?,
        partition: PartitionId(cells.next()?),
        snapshot: cells.digest()?,
        plan: cells.next()?,
        state: known(RunState::from_code(cells.next()?), "state of a run")?,
        last_seq: Seq(cells.unsigned()?),
        inputs: cells.output_ref()?,
        outputs: cells.output_ref()?,
        error: cells.failure()?,
        head: cells.next()?,
        priority: cells.next()?,
        labels: labels_of_text(cells.next()?)?,
        submitted_by: cells.next()?,
        traceparent: cells.next()?,
        budget: cells.budget()?,
        created_at: cells.time()?,
        updated_at: cells.time()?,
        ended_at: cells.time_if_any()?,
    })
}

/// Reads [`step_columns`].
pub(crate) fn step_row(row: &Row<'_>) -> Result<StepRow, Failed> {
    let mut cells = Cells::of(row);
    Ok(StepRow {
        ix: StepIx(cells.next()?),
        path: StepPath::new(&cells.next::<String>()?).map_err(Failed::corrupt)?,
        state: known(StepState::from_code(cells.next()?), "state of a step")?,
        dispatch: DispatchNo(cells.next()?),
        attempt: Attempt(cells.next()?),
        generation: Generation(cells.next()?),
        pool: cells.next::<Option<String>>()?.map(|name| Pool::new(&name)).transpose().map_err(Failed::corrupt)?,
        effect: effect_of_code(cells.next()?)?,
        priority: cells.next()?,
        out_seq: OutSeq(cells.unsigned()?),
        dispatch_event: Seq(cells.unsigned()?),
        clean_attempt: cells.next::<Option<u32>>()?.map(Attempt),
        ready_at: cells.time_if_any()?,
        dispatched_at: cells.time_if_any()?,
        started_at: cells.time_if_any()?,
        ended_at: cells.time_if_any()?,
        wake_at: cells.time_if_any()?,
        error: cells.failure()?,
        output: cells.output_ref()?,
    })
}

/// A reference to a payload as its five columns; all null when there is none.
#[derive(Default)]
pub(crate) struct RefColumns<'a> {
    pub(crate) segment: Option<i64>,
    pub(crate) offset: Option<u32>,
    pub(crate) len: Option<u32>,
    pub(crate) digest: Option<&'a [u8]>,
    pub(crate) labels: Option<String>,
}

impl<'a> RefColumns<'a> {
    pub(crate) fn of(at: Option<&'a OutputRef>) -> Self {
        let Some(at) = at else { return Self::default() };
        Self {
            segment: Some(at.segment.0.cast_signed()),
            offset: Some(at.offset),
            len: Some(at.len),
            digest: Some(&at.digest.0),
            labels: (!at.labels.is_empty()).then(|| to_json(&at.labels)),
        }
    }
}

/// A failure as JSON.
pub(crate) fn error_text(error: Option<&Failure>) -> Option<String> {
    error.map(to_json)
}

/// A run's labels as a JSON object; null when there are none.
pub(crate) fn text_of_labels(labels: &BTreeMap<String, String>) -> Option<String> {
    (!labels.is_empty()).then(|| to_json(labels))
}

/// What [`text_of_labels`] wrote.
pub(crate) fn labels_of_text(text: Option<String>) -> Result<BTreeMap<String, String>, Failed> {
    text.map_or(Ok(BTreeMap::new()), |text| from_json(&text))
}

/// By what runs are found by a label: a label may be of any length.
pub(crate) fn label_hash(project: &Project, key: &str, value: &str) -> i64 {
    let text = format!("{project}\n{}\n{key}\n{value}", key.len());
    let Digest(digest) = Digest::of(text.as_bytes());
    i64::from_be_bytes(digest[..8].try_into().expect("8 of 32 bytes"))
}

/// Stored as a number; never renumber.
pub(crate) fn effect_code(effect: Effect) -> u8 {
    match effect {
        Effect::Read => 1,
        Effect::Idempotent => 2,
        Effect::Once => 3,
    }
}

fn effect_of_code(code: u8) -> Result<Effect, Failed> {
    let effect = match code {
        1 => Some(Effect::Read),
        2 => Some(Effect::Idempotent),
        3 => Some(Effect::Once),
        _ => None,
    };
    known(effect, "effect")
}

/// A digest from its bytes.
pub(crate) fn digest(bytes: &[u8]) -> Result<Digest, Failed> {
    let bytes = bytes.try_into();
    bytes.map(Digest).map_err(|_| Failed::corrupt("a digest is not of 32 bytes"))
}

pub(crate) fn known<T>(value: Option<T>, what: &str) -> Result<T, Failed> {
    value.ok_or_else(|| Failed::corrupt(format!("a stored {what} is not known")))
}

fn to_json<T: serde::Serialize>(value: &T) -> String {
    serde_json::to_string(value).expect("plain strings and words are JSON")
}

fn from_json<T: serde::de::DeserializeOwned>(text: &str) -> Result<T, Failed> {
    serde_json::from_str(text).map_err(Failed::corrupt)
}

/// A number of a query as SQLite counts: what is beyond its reach is at its end.
pub(crate) fn bound(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
