//! Rows of steps.

use super::Tx;
use crate::error::Failed;
use crate::rows::{RefColumns, effect_code, error_text};
use aidt_domain::{PartitionId, StepRow};
use rusqlite::params;

/// Inserts or replaces the row of a step.
pub(super) fn write(tx: &mut Tx<'_>, run: i64, partition: PartitionId, row: &StepRow) -> Result<(), Failed> {
    let output = RefColumns::of(row.output.as_ref());
    tx.execute(
        "INSERT INTO steps (run, ix, partition, state, dispatch, attempt, generation, effect, priority, out_seq, \
         dispatch_event, clean_attempt, ready_at, dispatched_at, started_at, ended_at, wake_at, output_segment, \
         output_offset, output_len, output_digest, output_labels, pool, path, error) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20, ?21, \
         ?22, ?23, ?24, ?25) \
         ON CONFLICT (run, ix) DO UPDATE SET state = ?4, dispatch = ?5, attempt = ?6, generation = ?7, \
         effect = ?8, priority = ?9, out_seq = ?10, dispatch_event = ?11, clean_attempt = ?12, ready_at = ?13, \
         dispatched_at = ?14, started_at = ?15, ended_at = ?16, wake_at = ?17, output_segment = ?18, \
         output_offset = ?19, output_len = ?20, output_digest = ?21, output_labels = ?22, pool = ?23, \
         path = ?24, error = ?25",
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
    Ok(())
}
