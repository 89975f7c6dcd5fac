//! Rows of runs.

use super::{Checked, HELD, NOTHING, Parts, flat};
use crate::detail::{label_hash, of_begin, of_change};
use crate::error::INVALID;
use aidt_domain::{PartitionId, RunId, RunRow};
use sqlx::postgres::PgBindIterExt;
use std::collections::BTreeSet;

/// Runs that begin: they must not be there, and their history begins at event 1.
pub(super) fn begin(parts: &mut Parts, batches: &[Checked]) {
    let rows: Vec<(i32, &RunRow)> =
        flat(batches, |turn| &turn.new_runs).into_iter().map(|(partition, new)| (partition, &new.row)).collect();
    if rows.is_empty() {
        return;
    }
    parts.rows += 2 * rows.len() as u64;
    let id = parts.place(rows.iter().map(|(_, row)| row.id.0).bind_iter());
    let partition = parts.place(rows.iter().map(|(partition, _)| *partition).bind_iter());
    let project = parts.place(rows.iter().map(|(_, row)| row.project.as_str()).bind_iter());
    let created_at = parts.place(rows.iter().map(|(_, row)| row.created_at.0).bind_iter());
    let plan = parts.place(rows.iter().map(|(_, row)| row.plan.as_bytes()).bind_iter());
    let begin = parts.place(rows.iter().map(|(_, row)| of_begin(row)).bind_iter());
    let state = parts.place(rows.iter().map(|(_, row)| i16::from(row.state.code())).bind_iter());
    let last_seq = parts.place(rows.iter().map(|(_, row)| row.last_seq.0.cast_signed()).bind_iter());
    let change = parts.place(rows.iter().map(|(_, row)| of_change(row)).bind_iter());
    parts.with(
        "detailed",
        &format!(
            "INSERT INTO run_details (id, project, created_at, plan, detail) \
             SELECT u.id, u.project, u.created_at, u.plan, u.detail FROM unnest({id}::uuid[], \
             {partition}::integer[], {project}::text[], {created_at}::bigint[], {plan}::bytea[], {begin}::bytea[]) \
             AS u (id, partition, project, created_at, plan, detail) WHERE {HELD} ON CONFLICT (id) DO NOTHING"
        ),
    );
    parts.with(
        "begun",
        &format!(
            "INSERT INTO runs (id, state, last_seq, detail) SELECT u.id, u.state, u.last_seq, u.detail \
             FROM unnest({id}::uuid[], {partition}::integer[], {state}::smallint[], {last_seq}::bigint[], \
             {change}::bytea[]) AS u (id, partition, state, last_seq, detail) WHERE {HELD} \
             ON CONFLICT (id) DO NOTHING RETURNING id"
        ),
    );
    parts.all_written("begun", id, partition, "runs that should begin are there already");
    labels(parts, &rows);
}

fn labels(parts: &mut Parts, rows: &[(i32, &RunRow)]) {
    let mut labels = Vec::new();
    for (partition, row) in rows {
        for (key, value) in &row.labels {
            labels.push((label_hash(&row.project, key, value), row.created_at.0, row.id.0, *partition));
        }
    }
    if labels.is_empty() {
        return;
    }
    parts.rows += labels.len() as u64;
    let hash = parts.place(labels.iter().map(|label| label.0).bind_iter());
    let created_at = parts.place(labels.iter().map(|label| label.1).bind_iter());
    let run = parts.place(labels.iter().map(|label| label.2).bind_iter());
    let partition = parts.place(labels.iter().map(|label| label.3).bind_iter());
    parts.with(
        "labelled",
        &format!(
            "INSERT INTO run_labels (hash, created_at, run) SELECT u.hash, u.created_at, u.run FROM \
             unnest({hash}::bigint[], {created_at}::bigint[], {run}::uuid[], {partition}::integer[]) \
             AS u (hash, created_at, run, partition) WHERE {HELD} ON CONFLICT DO NOTHING"
        ),
    );
}

/// Runs that changed: only where the stored history ends before the turn's events, so that it has no gap.
pub(super) fn change(parts: &mut Parts, batches: &[Checked]) {
    let mut rows: Vec<(i32, &RunRow, i64)> = Vec::new();
    for checked in batches {
        let partition = i32::from(checked.batch.partition.0);
        for row in &checked.batch.turn.runs {
            // Below 0 where the segments are longer than the history: no row stands there.
            let before = row.last_seq.0.cast_signed().wrapping_sub(checked.appended[&row.id].cast_signed());
            rows.push((partition, row, before));
        }
    }
    if rows.is_empty() {
        return;
    }
    parts.rows += rows.len() as u64;
    let id = parts.place(rows.iter().map(|row| row.1.id.0).bind_iter());
    let partition = parts.place(rows.iter().map(|row| row.0).bind_iter());
    let before = parts.place(rows.iter().map(|row| row.2).bind_iter());
    let last_seq = parts.place(rows.iter().map(|row| row.1.last_seq.0.cast_signed()).bind_iter());
    let state = parts.place(rows.iter().map(|row| i16::from(row.1.state.code())).bind_iter());
    let detail = parts.place(rows.iter().map(|row| of_change(row.1)).bind_iter());
    parts.with(
        "changed",
        &format!(
            "UPDATE runs r SET state = u.state, last_seq = u.last_seq, detail = u.detail \
             FROM unnest({id}::uuid[], {partition}::integer[], {before}::bigint[], {last_seq}::bigint[], \
             {state}::smallint[], {detail}::bytea[]) AS u (id, partition, before, last_seq, state, detail) \
             WHERE r.id = u.id AND r.last_seq = u.before AND {HELD} RETURNING r.id"
        ),
    );
    parts.all_written("changed", id, partition, "runs do not stand where the turn begins");
}

/// Runs that only others' rows speak of must be there.
pub(super) fn must_exist(parts: &mut Parts, named: &BTreeSet<(RunId, PartitionId)>) {
    if named.is_empty() {
        return;
    }
    let run = parts.place(named.iter().map(|(run, _)| run.0).bind_iter());
    let partition = parts.place(named.iter().map(|(_, partition)| i32::from(partition.0)).bind_iter());
    parts.refusals.push(format!(
        "SELECT refuse('{INVALID}', 'there is no run ' || u.run || ' to change'), {NOTHING} \
         FROM unnest({run}::uuid[], {partition}::integer[]) AS u (run, partition) \
         WHERE {HELD} AND NOT EXISTS (SELECT FROM runs r WHERE r.id = u.run)"
    ));
}
