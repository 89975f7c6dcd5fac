//! Timers, commands and dead letters.

use super::{Checked, HELD, Parts, flat};
use crate::ports::put_dead_letters;
use aidt_domain::{RunId, StepIx};
use sqlx::postgres::PgBindIterExt;
use std::collections::{BTreeMap, BTreeSet};

/// The run's own timer stands at -1.
fn timer_ix(step: Option<StepIx>) -> i64 {
    step.map_or(-1, |step| i64::from(step.0))
}

/// Timers: in one turn, clearing comes before setting.
pub(super) fn timers(parts: &mut Parts, batches: &[Checked]) {
    let mut set: BTreeMap<(RunId, i64), (i32, i64)> = BTreeMap::new();
    for (partition, timer) in flat(batches, |turn| &turn.timers_set) {
        set.insert((timer.run, timer_ix(timer.step)), (partition, timer.at.0));
    }
    let cleared: BTreeSet<(RunId, i64, i32)> = flat(batches, |turn| &turn.timers_cleared)
        .into_iter()
        .map(|(partition, (run, step))| (*run, timer_ix(*step), partition))
        .filter(|(run, ix, _)| !set.contains_key(&(*run, *ix)))
        .collect();
    parts.rows += (set.len() + cleared.len()) as u64;
    if !cleared.is_empty() {
        let run = parts.place(cleared.iter().map(|row| row.0.0).bind_iter());
        let ix = parts.place(cleared.iter().map(|row| row.1).bind_iter());
        let partition = parts.place(cleared.iter().map(|row| row.2).bind_iter());
        parts.with(
            "cleared",
            &format!(
                "DELETE FROM timers t USING unnest({run}::uuid[], {ix}::bigint[], {partition}::integer[]) \
                 AS u (run, ix, partition) WHERE t.run = u.run AND t.ix = u.ix AND {HELD}"
            ),
        );
    }
    if !set.is_empty() {
        let run = parts.place(set.keys().map(|row| row.0.0).bind_iter());
        let ix = parts.place(set.keys().map(|row| row.1).bind_iter());
        let partition = parts.place(set.values().map(|row| row.0).bind_iter());
        let at = parts.place(set.values().map(|row| row.1).bind_iter());
        parts.with(
            "timed",
            &format!(
                "INSERT INTO timers (run, ix, partition, at) SELECT u.run, u.ix, u.partition, u.at \
                 FROM unnest({run}::uuid[], {ix}::bigint[], {partition}::integer[], {at}::bigint[]) \
                 AS u (run, ix, partition, at) WHERE {HELD} ON CONFLICT (run, ix) \
                 DO UPDATE SET partition = excluded.partition, at = excluded.at"
            ),
        );
    }
}

/// Commands: those applied leave, and those for others come, unless their id is there.
pub(super) fn inbox(parts: &mut Parts, batches: &[Checked], clock: Option<i64>) {
    let done = flat(batches, |turn| &turn.inbox_done);
    let put = flat(batches, |turn| &turn.inbox_put);
    parts.rows += (done.len() + put.len()) as u64;
    if !done.is_empty() {
        let seq = parts.place(done.iter().map(|(_, seq)| crate::rows::bound(**seq)).bind_iter());
        let partition = parts.place(done.iter().map(|(partition, _)| *partition).bind_iter());
        parts.with(
            "applied",
            &format!(
                "DELETE FROM inbox i USING unnest({partition}::integer[], {seq}::bigint[]) AS u (partition, seq) \
                 WHERE i.partition = u.partition AND i.seq = u.seq AND {HELD}"
            ),
        );
    }
    if !put.is_empty() {
        let partition = parts.place(put.iter().map(|(partition, _)| *partition).bind_iter());
        let to = parts.place(put.iter().map(|(_, row)| i32::from(row.partition.0)).bind_iter());
        let id = parts.place(put.iter().map(|(_, row)| row.id.0).bind_iter());
        let project = parts.place(put.iter().map(|(_, row)| row.project.as_str()).bind_iter());
        let run = parts.place(put.iter().map(|(_, row)| row.run.0).bind_iter());
        let command = parts.place(put.iter().map(|(_, row)| &row.command[..]).bind_iter());
        let at = parts.place(clock);
        parts.with(
            "put",
            &format!(
                "INSERT INTO inbox (partition, id, project, run, at, command) \
                 SELECT u.destination, u.id, u.project, u.run, now_ms({at}::bigint), u.command \
                 FROM unnest({partition}::integer[], {to}::integer[], {id}::uuid[], {project}::text[], \
                 {run}::uuid[], {command}::bytea[]) AS u (partition, destination, id, project, run, command) \
                 WHERE {HELD} ON CONFLICT (id) DO NOTHING"
            ),
        );
    }
}

/// What could not be applied.
pub(super) fn dead_letters(parts: &mut Parts, batches: &[Checked], clock: Option<i64>) {
    let letters = flat(batches, |turn| &turn.dead_letters);
    if letters.is_empty() {
        return;
    }
    parts.rows += letters.len() as u64;
    let partition = parts.place(letters.iter().map(|(partition, _)| *partition).bind_iter());
    let letters: Vec<_> = letters.into_iter().map(|(_, letter)| letter).collect();
    let text = put_dead_letters(&mut parts.statement, &letters, clock, Some((partition, HELD)));
    parts.with("buried", &text);
}
