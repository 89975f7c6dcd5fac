//! Steps, their history and their burns.

use super::{Checked, HELD, Parts, flat};
use crate::detail::of_step;
use aidt_domain::{DispatchNo, RunId, StepIx, StepRow};
use sqlx::postgres::PgBindIterExt;
use std::collections::{BTreeMap, BTreeSet};

/// History: only ever appended.
pub(super) fn segments(parts: &mut Parts, batches: &[Checked]) {
    let rows = flat(batches, |turn| &turn.segments);
    if rows.is_empty() {
        return;
    }
    parts.rows += rows.len() as u64;
    let run = parts.place(rows.iter().map(|(_, row)| row.run.0).bind_iter());
    let partition = parts.place(rows.iter().map(|(partition, _)| *partition).bind_iter());
    let first_seq = parts.place(rows.iter().map(|(_, row)| row.first_seq.0.cast_signed()).bind_iter());
    let count = parts.place(rows.iter().map(|(_, row)| row.count.cast_signed()).bind_iter());
    let events = parts.place(rows.iter().map(|(_, row)| &row.events[..]).bind_iter());
    let payloads = parts.place(rows.iter().map(|(_, row)| &row.payloads[..]).bind_iter());
    parts.with(
        "appended",
        &format!(
            "INSERT INTO segments (run, first_seq, count, events, payloads) \
             SELECT u.run, u.first_seq, u.count, u.events, u.payloads FROM unnest({run}::uuid[], \
             {partition}::integer[], {first_seq}::bigint[], {count}::integer[], {events}::bytea[], \
             {payloads}::bytea[]) AS u (run, partition, first_seq, count, events, payloads) WHERE {HELD}"
        ),
    );
}

/// Rows of steps, in the order in which claims lock them.
pub(super) fn steps(parts: &mut Parts, batches: &[Checked]) {
    let mut rows: BTreeMap<(RunId, StepIx), (i32, &StepRow)> = BTreeMap::new();
    for (partition, (run, row)) in flat(batches, |turn| &turn.steps) {
        rows.insert((*run, row.ix), (partition, row));
    }
    if rows.is_empty() {
        return;
    }
    parts.rows += rows.len() as u64;
    let run = parts.place(rows.keys().map(|(run, _)| run.0).bind_iter());
    let ix = parts.place(rows.keys().map(|(_, ix)| i64::from(ix.0)).bind_iter());
    let partition = parts.place(rows.values().map(|(partition, _)| *partition).bind_iter());
    let state = parts.place(rows.values().map(|(_, row)| i16::from(row.state.code())).bind_iter());
    let dispatch = parts.place(rows.values().map(|(_, row)| i64::from(row.dispatch.0)).bind_iter());
    let detail = parts.place(rows.values().map(|(_, row)| of_step(row)).bind_iter());
    parts.with(
        "stepped",
        &format!(
            "INSERT INTO steps (run, ix, partition, state, dispatch, detail) \
             SELECT u.run, u.ix, u.partition, u.state, u.dispatch, u.detail FROM unnest({run}::uuid[], \
             {ix}::bigint[], {partition}::integer[], {state}::smallint[], {dispatch}::bigint[], {detail}::bytea[]) \
             AS u (run, ix, partition, state, dispatch, detail) WHERE {HELD} \
             ON CONFLICT (run, ix) DO UPDATE SET partition = excluded.partition, state = excluded.state, \
             dispatch = excluded.dispatch, detail = excluded.detail RETURNING 1"
        ),
    );
}

/// Burns: whoever inserted first decides. A claim that came first stays, and is answered; also one that was
/// committed after this statement began. Must come after [`steps`].
pub(super) fn burns(parts: &mut Parts, batches: &[Checked]) {
    let rows: BTreeSet<(RunId, StepIx, DispatchNo, i32)> = flat(batches, |turn| &turn.burns)
        .into_iter()
        .map(|(partition, &(run, ix, dispatch))| (run, ix, dispatch, partition))
        .collect();
    if rows.is_empty() {
        return;
    }
    parts.rows += rows.len() as u64;
    parts.burns = true;
    let run = parts.place(rows.iter().map(|row| row.0.0).bind_iter());
    let ix = parts.place(rows.iter().map(|row| i64::from(row.1.0)).bind_iter());
    let dispatch = parts.place(rows.iter().map(|row| i64::from(row.2.0)).bind_iter());
    let partition = parts.place(rows.iter().map(|row| row.3).bind_iter());
    let with_steps = batches.iter().any(|checked| !checked.batch.turn.steps.is_empty());
    let after_steps = if with_steps { "AND (SELECT count(*) FROM stepped) >= 0" } else { "" };
    parts.with(
        "burned",
        &format!(
            "INSERT INTO claims (run, ix, dispatch) SELECT u.run, u.ix, u.dispatch FROM unnest({run}::uuid[], \
             {ix}::bigint[], {dispatch}::bigint[], {partition}::integer[]) AS u (run, ix, dispatch, partition) \
             WHERE {HELD} {after_steps} ON CONFLICT (run, ix, dispatch) DO UPDATE SET process = claims.process \
             RETURNING run, ix, dispatch, process IS NULL AS won"
        ),
    );
}
