//! The owner's transaction.

use super::{Tx, put_inbox, run, step};
use crate::error::Failed;
use aidt_domain::{PartitionId, Project, RunId, StepIx};
use aidt_store::{Batch, BurnResult, Commit, DeadLetter, Kind, Turn, appended};
use rusqlite::params;

/// Behind the fence, everything that the batches hold.
pub(crate) fn commit(tx: &mut Tx<'_>, batches: &[Batch]) -> Result<Commit, Failed> {
    let mut held = Vec::with_capacity(batches.len());
    for batch in batches {
        if held.iter().any(|other: &&Batch| other.partition == batch.partition) {
            let message = format!("partition {} comes twice in one transaction", batch.partition);
            return Err(Failed::Said(Kind::Invalid, message));
        }
        if fence(tx, batch)? {
            held.push(batch);
        }
    }
    let mut commit = Commit::default();
    for batch in held {
        write(tx, batch, &mut commit.burns)?;
        commit.held.push(batch.partition);
    }
    Ok(commit)
}

/// The partition's row changes only while the owner holds its epoch.
fn fence(tx: &mut Tx<'_>, batch: &Batch) -> Result<bool, Failed> {
    let rows = tx.execute(
        "UPDATE partitions SET published = ?3, out_seq = ?4, cursor = ?5, batch_id = ?6, incarnation = ?7 \
         WHERE id = ?1 AND epoch = ?2",
        params![
            batch.partition.0,
            batch.epoch.0.cast_signed(),
            batch.published.0.cast_signed(),
            batch.out_seq.0.cast_signed(),
            batch.cursor,
            batch.batch_id.0.cast_signed(),
            batch.incarnation
        ],
    )?;
    Ok(rows == 1)
}

fn write(tx: &mut Tx<'_>, batch: &Batch, burns: &mut Vec<BurnResult>) -> Result<(), Failed> {
    let (turn, partition) = (&batch.turn, batch.partition);
    let counts = appended(batch, tx.partitions)?;
    for new in &turn.new_runs {
        run::insert(tx, &new.row, counts[&new.row.id])?;
    }
    for row in &turn.runs {
        run::update(tx, row, counts[&row.id])?;
    }
    write_segments(tx, turn)?;
    for (id, row) in &turn.steps {
        let number = known(tx, *id)?;
        step::write(tx, number, partition, row)?;
    }
    write_timers(tx, turn, partition)?;
    for seq in &turn.inbox_done {
        let seq = i64::try_from(*seq).unwrap_or(i64::MAX);
        tx.execute("DELETE FROM inbox WHERE seq = ?1 AND partition = ?2", params![seq, partition.0])?;
    }
    for (id, step, dispatch) in &turn.burns {
        let number = known(tx, *id)?;
        let key = params![number, step.0, dispatch.0];
        tx.execute("INSERT INTO claims (run, ix, dispatch) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING", key)?;
        let sql = "SELECT process IS NULL FROM claims WHERE run = ?1 AND ix = ?2 AND dispatch = ?3";
        let won = tx.one(sql, key, |row| row.get(0))?.unwrap_or(false);
        burns.push(BurnResult { run: *id, step: *step, dispatch: *dispatch, won });
    }
    for row in &turn.inbox_put {
        put_inbox(tx, row)?;
    }
    put_dead_letters(tx, &turn.dead_letters)
}

fn write_segments(tx: &mut Tx<'_>, turn: &Turn) -> Result<(), Failed> {
    for segment in &turn.segments {
        let number = known(tx, segment.run)?;
        tx.execute(
            "INSERT INTO segments (run, first_seq, count, events, payloads) VALUES (?1, ?2, ?3, ?4, ?5)",
            params![
                number,
                segment.first_seq.0.cast_signed(),
                segment.count,
                &segment.events[..],
                &segment.payloads[..]
            ],
        )?;
    }
    Ok(())
}

fn write_timers(tx: &mut Tx<'_>, turn: &Turn, partition: PartitionId) -> Result<(), Failed> {
    for (run, step) in &turn.timers_cleared {
        if let Some(number) = tx.number(*run)? {
            tx.execute("DELETE FROM timers WHERE run = ?1 AND ix = ?2", params![number, timer_ix(*step)])?;
        }
    }
    for timer in &turn.timers_set {
        let number = known(tx, timer.run)?;
        tx.execute(
            "INSERT INTO timers (run, ix, partition, at) VALUES (?1, ?2, ?3, ?4) \
             ON CONFLICT (run, ix) DO UPDATE SET partition = ?3, at = ?4",
            params![number, timer_ix(timer.step), partition.0, timer.at.0],
        )?;
    }
    Ok(())
}

/// Keeps what nothing could be done with.
pub(crate) fn put_dead_letters(tx: &mut Tx<'_>, letters: &[DeadLetter]) -> Result<(), Failed> {
    for letter in letters {
        tx.execute(
            "INSERT INTO dead_letters (at, inlet, project, run, reason, headers, bytes) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
            params![
                tx.now().0,
                letter.inlet,
                letter.project.as_ref().map(Project::as_str),
                letter.run.as_ref().map(|run| run.0.as_bytes()),
                letter.reason,
                serde_json::to_string(&letter.headers).expect("text is JSON"),
                &letter.bytes[..]
            ],
        )?;
    }
    Ok(())
}

/// The run's own timer stands at -1.
fn timer_ix(step: Option<StepIx>) -> i64 {
    step.map_or(-1, |step| i64::from(step.0))
}

fn known(tx: &mut Tx<'_>, run: RunId) -> Result<i64, Failed> {
    tx.number(run)?.ok_or_else(|| Failed::Said(Kind::Invalid, format!("there is no {run} to change")))
}
