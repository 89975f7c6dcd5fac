//! Rows of runs.

use super::Tx;
use crate::error::Failed;
use crate::rows::{RefColumns, error_text, label_hash, text_of_labels};
use aidt_domain::{RunRow, Seq};
use aidt_store::Kind;
use rusqlite::params;

/// A run that begins, with `count` events.
pub(super) fn insert(tx: &mut Tx<'_>, row: &RunRow, count: u64) -> Result<(), Failed> {
    if row.last_seq.0 != count {
        return Err(conflict(format!("the history of {} does not begin at 1", row.id)));
    }
    let inputs = RefColumns::of(row.inputs.as_ref());
    let rows = tx.execute(
        "INSERT INTO run_details (id, project, partition, snapshot, priority, created_at, inputs_segment, \
         inputs_offset, inputs_len, inputs_digest, inputs_labels, plan, submitted_by, traceparent, labels) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15) ON CONFLICT (id) DO NOTHING",
        params![
            row.id.0.as_bytes(),
            row.project.as_str(),
            row.partition.0,
            row.snapshot.0,
            row.priority,
            row.created_at.0,
            inputs.segment,
            inputs.offset,
            inputs.len,
            inputs.digest,
            inputs.labels,
            row.plan,
            row.submitted_by,
            row.traceparent,
            text_of_labels(&row.labels)
        ],
    )?;
    if rows == 0 {
        return Err(conflict(format!("{} is there already", row.id)));
    }
    let number = tx.numbered(row.id);
    for (key, value) in &row.labels {
        tx.execute(
            "INSERT INTO run_labels (hash, no) VALUES (?1, ?2) ON CONFLICT DO NOTHING",
            params![label_hash(&row.project, key, value), number],
        )?;
    }
    tx.execute(
        "INSERT INTO runs (no, state, last_seq, updated_at, tokens_reserved, tokens_used, cost_reserved, \
         cost_used, calls_reserved, calls_used) VALUES (?1, 0, 0, 0, 0, 0, 0, 0, 0, 0)",
        [number],
    )?;
    write(tx, row, number, 0)
}

/// A run that changed and got `count` more events.
pub(super) fn update(tx: &mut Tx<'_>, row: &RunRow, count: u64) -> Result<(), Failed> {
    let Some(number) = tx.number(row.id)? else {
        return Err(conflict(format!("there is no {} to change", row.id)));
    };
    let before = row.last_seq.0.checked_sub(count);
    let before = before.ok_or_else(|| conflict(format!("{} ends before its own segments", row.id)))?;
    write(tx, row, number, before)
}

/// Only where the stored history ends at `before`: so it has no gap, without being read.
fn write(tx: &mut Tx<'_>, row: &RunRow, number: i64, before: u64) -> Result<(), Failed> {
    let (outputs, budget) = (RefColumns::of(row.outputs.as_ref()), &row.budget);
    let rows = tx.execute(
        "UPDATE runs SET state = ?3, last_seq = ?4, updated_at = ?5, ended_at = ?6, tokens_reserved = ?7, \
         tokens_used = ?8, cost_reserved = ?9, cost_used = ?10, calls_reserved = ?11, calls_used = ?12, \
         outputs_segment = ?13, outputs_offset = ?14, outputs_len = ?15, outputs_digest = ?16, \
         outputs_labels = ?17, head = ?18, error = ?19 WHERE no = ?1 AND last_seq = ?2",
        params![
            number,
            before.cast_signed(),
            row.state.code(),
            row.last_seq.0.cast_signed(),
            row.updated_at.0,
            row.ended_at.map(|at| at.0),
            budget.tokens_reserved.cast_signed(),
            budget.tokens_used.cast_signed(),
            budget.cost_reserved.cast_signed(),
            budget.cost_used.cast_signed(),
            budget.calls_reserved.cast_signed(),
            budget.calls_used.cast_signed(),
            outputs.segment,
            outputs.offset,
            outputs.len,
            outputs.digest,
            outputs.labels,
            row.head,
            error_text(row.error.as_ref())
        ],
    )?;
    if rows == 1 {
        return Ok(());
    }
    Err(conflict(format!("{} does not stand at event {}", row.id, Seq(before))))
}

fn conflict(message: String) -> Failed {
    Failed::Said(Kind::Conflict, message)
}
