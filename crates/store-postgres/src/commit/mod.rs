//! The owner's turn as one statement, so one round trip and one transaction.
//!
//! `WITH fenced …, held …, <what the turn writes> SELECT …`. All parts see the snapshot from before the statement;
//! what they write is of no other part's concern, but for three orders that are forced by reading another part:
//!
//! - Every part writes only rows of partitions that are in `held`, so the fence comes first. It locks in the order
//!   of the partitions' numbers: two owners that fight for several do not deadlock.
//! - `burned` comes after `stepped`: a claim locks the step's row, then writes its own; so does the owner.
//! - The last branch of the `SELECT` counts what was written, and ends the statement when a run does not stand
//!   where its batch believes it to.
//!
//! Only parts that have rows are in the text, so there are few texts, and each is prepared once a connection.

mod fence;
mod others;
mod runs;
mod steps;

use crate::error::{CONFLICT, Failed};
use crate::rows::Cells;
use crate::statement::{Place, Statement};
use aidt_domain::{DispatchNo, PartitionId, RunId, StepIx};
use aidt_store::{Batch, BurnResult, Commit, Turn};
use sqlx::postgres::{PgRow, Postgres};
use sqlx::{Encode, Type};
use std::collections::{BTreeMap, BTreeSet};

/// A row's partition is held; `u.partition` is the row's.
const HELD: &str = "u.partition = ANY (ARRAY(SELECT id FROM held))";

/// No burn, in the rows of the answer.
const NOTHING: &str = "NULL::uuid, NULL::bigint, NULL::bigint, NULL::boolean";

/// A batch with how many events it appends to each run.
pub(crate) struct Checked {
    pub(crate) batch: Batch,
    pub(crate) appended: BTreeMap<RunId, u64>,
}

/// The statement, as its parts are added.
struct Parts {
    statement: Statement,
    /// `name AS (…)`.
    withs: Vec<String>,
    /// What makes the statement end without having written, as `SELECT refuse(…), … WHERE …`.
    refusals: Vec<String>,
    burns: bool,
    rows: u64,
}

impl Parts {
    fn place<'q, T: Encode<'q, Postgres> + Type<Postgres>>(&mut self, value: T) -> Place {
        self.statement.place(value)
    }

    fn with(&mut self, name: &str, text: &str) {
        self.withs.push(format!("{name} AS ({text})"));
    }

    /// Ends the statement unless `written` holds all of these runs that are of held partitions.
    fn all_written(&mut self, written: &str, runs: Place, partitions: Place, why: &str) {
        let of_held = format!("unnest({runs}::uuid[], {partitions}::integer[]) AS u (id, partition) WHERE {HELD}");
        self.refusals.push(format!(
            "SELECT refuse('{CONFLICT}', '{why}: ' || (SELECT string_agg(u.id::text, ', ') FROM {of_held} \
             AND NOT EXISTS (SELECT FROM {written} w WHERE w.id = u.id))), {NOTHING} \
             WHERE (SELECT count(*) FROM {written}) <> (SELECT count(*) FROM {of_held})"
        ));
    }
}

/// Everything that the batches hold, behind their fences; and how many rows that is.
pub(crate) fn statement(batches: &[Checked], clock: Option<i64>) -> (Statement, u64) {
    let mut parts =
        Parts { statement: Statement::new(""), withs: Vec::new(), refusals: Vec::new(), burns: false, rows: 0 };
    fence::write(&mut parts, batches);
    runs::begin(&mut parts, batches);
    runs::change(&mut parts, batches);
    runs::must_exist(&mut parts, &named(batches));
    steps::segments(&mut parts, batches);
    steps::steps(&mut parts, batches);
    steps::burns(&mut parts, batches);
    others::timers(&mut parts, batches);
    others::inbox(&mut parts, batches, clock);
    others::dead_letters(&mut parts, batches, clock);

    let mut text = format!("WITH {}", parts.withs.join(", "));
    text.push_str(&format!(" SELECT id, {NOTHING} FROM held"));
    if parts.burns {
        text.push_str(" UNION ALL SELECT NULL, run, ix, dispatch, won FROM burned");
    }
    for refusal in &parts.refusals {
        text.push_str(" UNION ALL ");
        text.push_str(refusal);
    }
    parts.statement.say(text);
    (parts.statement, parts.rows)
}

/// Runs that must be there though nothing of their own row changes, with their partitions.
fn named(batches: &[Checked]) -> BTreeSet<(RunId, PartitionId)> {
    let mut named = BTreeSet::new();
    for Checked { batch, appended } in batches {
        let turn = &batch.turn;
        let others = turn.steps.iter().map(|(run, _)| *run).chain(turn.timers_set.iter().map(|timer| timer.run));
        let others = others.chain(turn.burns.iter().map(|burn| burn.0));
        named.extend(others.filter(|run| !appended.contains_key(run)).map(|run| (run, batch.partition)));
    }
    named
}

/// The rows of all batches, each with its partition as it is stored.
fn flat<'b, T: 'b>(batches: &'b [Checked], of: impl Fn(&'b Turn) -> &'b [T]) -> Vec<(i32, &'b T)> {
    let rows = batches.iter().flat_map(|checked| {
        let partition = i32::from(checked.batch.partition.0);
        of(&checked.batch.turn).iter().map(move |row| (partition, row))
    });
    rows.collect()
}

/// What the statement answered, in the order of the batches.
pub(crate) fn answer(batches: &[Checked], rows: &[PgRow]) -> Result<Commit, Failed> {
    let mut held = BTreeSet::new();
    let mut won: BTreeMap<(RunId, StepIx, DispatchNo), bool> = BTreeMap::new();
    for row in rows {
        let mut cells = Cells::of(row);
        if let Some(id) = cells.next::<Option<i32>>()? {
            held.insert(id);
        } else {
            won.insert((cells.run()?, cells.step()?, cells.dispatch()?), cells.next()?);
        }
    }
    let mut commit = Commit::default();
    for Checked { batch, .. } in batches {
        if !held.contains(&i32::from(batch.partition.0)) {
            continue;
        }
        commit.held.push(batch.partition);
        for &(run, step, dispatch) in &batch.turn.burns {
            let won = won.get(&(run, step, dispatch)).copied();
            let won = won.ok_or_else(|| Failed::corrupt("a burn was not answered"))?;
            commit.burns.push(BurnResult { run, step, dispatch, won });
        }
    }
    Ok(commit)
}
