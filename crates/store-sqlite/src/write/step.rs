//! Rows of steps.

use super::Tx;
use crate::error::Failed;
use crate::rows::{RefColumns, effect_code, error_text};
use aidt_domain::{PartitionId, StepRow, StepState};
use rusqlite::params;

/// Inserts or replaces the row of a step. A row that is there is cheaper to update than to insert in
/// vain, so what is probably there is updated first.
pub(super) fn write(tx: &mut Tx<'_>, run: i64, partition: PartitionId, row: &StepRow) -> Result<(), Failed> {
    if is_first(row) {
        if !insert(tx, run, partition, row)? {
            update(tx, run, row)?;
        }
    } else if !update(tx, run, row)? {
        insert(tx, run, partition, row)?;
    }
    Ok(())
}

/// Looks like the first row of a step: just ready, handed out for the first time, or never handed out at all.
fn is_first(row: &StepRow) -> bool {
    match row.state {
        StepState::Ready | StepState::Skipped => row.dispatch.0 == 0,
        StepState::Dispatched => row.dispatch.0 == 1,
        _ => false,
    }
}

/// Whether it was there.
fn update(tx: &mut Tx<'_>, run: i64, row: &StepRow) -> Result<bool, Failed> {
    let output = RefColumns::of(row.output.as_ref());
    let rows = tx.execute(
        "UPDATE steps SET state = ?3, dispatch = ?4, attempt = ?5, generation = ?6, effect = ?7, priority = ?8, \
         out_seq = ?9, dispatch_event = ?10, clean_attempt = ?11, ready_at = ?12, dispatched_at = ?13, \
         started_at = ?14, ended_at = ?15, wake_at = ?16, output_segment = ?17, output_offset = ?18, \
         output_len = ?19, output_digest = ?20, output_labels = ?21, pool = ?22, path = ?23, error = ?24 \
         WHERE run = ?1 AND ix = ?2",
        params![
            run,
            row.ix.0,
            row.state.code(),
            row.dispatch.0,
            row.attempt.0,
            row.generation.0,
            effect_code(row.effect),
            row.priority,
            row.out_seq.0.cast_signed(),
            row.dispatch_event.0.cast_signed(),
            row.clean_attempt.map(|attempt| attempt.0),
            row.ready_at.map(|at| at.0),
            row.dispatched_at.map(|at| at.0),
            row.started_at.map(|at| at.0),
            row.ended_at.map(|at| at.0),
            row.wake_at.map(|at| at.0),
            output.segment,
            output.offset,
            output.len,
            output.digest,
            output.labels,
            row.pool.as_ref().map(|pool| pool.as_str()),
            row.path.as_str(),
            error_text(row.error.as_ref())
        ],
    )?;
    Ok(rows == 1)
}

/// Whether it was not there yet.
fn insert(tx: &mut Tx<'_>, run: i64, partition: PartitionId, row: &StepRow) -> Result<bool, Failed> {
    let output = RefColumns::of(row.output.as_ref());
    let rows = tx.execute(
        "INSERT INTO steps (run, ix, partition, state, dispatch, attempt, generation, effect, priority, out_seq, \
         dispatch_event, clean_attempt, ready_at, dispatched_at, started_at, ended_at, wake_at, output_segment, \
         output_offset, output_len, output_digest, output_labels, pool, path, error) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20, ?21, \
         ?22, ?23, ?24, ?25) ON CONFLICT (run, ix) DO NOTHING",
        params![
            run,
            row.ix.0,
            partition.0,
            row.state.code(),
            row.dispatch.0,
            row.attempt.0,
            row.generation.0,
            effect_code(row.effect),
            row.priority,
            row.out_seq.0.cast_signed(),
            row.dispatch_event.0.cast_signed(),
            row.clean_attempt.map(|attempt| attempt.0),
            row.ready_at.map(|at| at.0),
            row.dispatched_at.map(|at| at.0),
            row.started_at.map(|at| at.0),
            row.ended_at.map(|at| at.0),
            row.wake_at.map(|at| at.0),
            output.segment,
            output.offset,
            output.len,
            output.digest,
            output.labels,
            row.pool.as_ref().map(|pool| pool.as_str()),
            row.path.as_str(),
            error_text(row.error.as_ref())
        ],
    )?;
    Ok(rows == 1)
}
