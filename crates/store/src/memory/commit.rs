//! The owner's transaction: everything is checked before anything is written, so it is all or nothing.

use super::state::{Holder, Run, State};
use super::{MemoryStore, Result};
use crate::check::appended;
use crate::types::{Batch, BurnResult, Commit, TimerRow, Turn};
use crate::{Kind, StoreError};
use aidt_domain::{PartitionId, RunId, RunRow, Seq, StepIx, StepRow, StepState};
use std::collections::{BTreeMap, BTreeSet};

impl MemoryStore {
    pub(super) fn commit_batches(&self, batches: Vec<Batch>) -> Result<Commit> {
        let mut state = self.state();
        let mut held = Vec::new();
        for batch in batches {
            self.check_partition("commit", batch.partition)?;
            if held.iter().any(|other: &Batch| other.partition == batch.partition) {
                let message = format!("partition {} comes twice in one transaction", batch.partition);
                return Err(StoreError::new("commit", Kind::Invalid, message));
            }
            if state.partitions[usize::from(batch.partition.0)].epoch == batch.epoch {
                let counts = appended(&batch, self.partitions)?;
                check(&state, &batch.turn, &counts)?;
                held.push(batch);
            }
        }
        let mut commit = Commit::default();
        for batch in held {
            commit.held.push(batch.partition);
            write_partition(&mut state, &batch);
            write_turn(&mut state, batch.partition, batch.turn, &mut commit.burns);
        }
        Ok(commit)
    }
}

/// Each run must stand where the turn believes it to.
fn check(state: &State, turn: &Turn, counts: &BTreeMap<RunId, u64>) -> Result<()> {
    let before = |row: &RunRow| Seq(row.last_seq.0.wrapping_sub(counts[&row.id]));
    for row in turn.new_runs.iter().map(|new| &new.row) {
        if state.runs.contains_key(&row.id) || before(row) != Seq(0) {
            return Err(conflict(format!("{} is there already, or its history does not begin at 1", row.id)));
        }
    }
    for row in &turn.runs {
        let old = state.runs.get(&row.id).map(|run| &run.row);
        if old.is_some_and(|old| !same_beginning(old, row)) {
            let message = format!("{} changes in what it began with", row.id);
            return Err(StoreError::new("commit", Kind::Invalid, message));
        }
        let stored = old.map(|old| old.last_seq);
        if stored != Some(before(row)) {
            let message = format!("{} stands at event {stored:?}, not at {}", row.id, before(row));
            return Err(conflict(message));
        }
    }
    let new: BTreeSet<RunId> = turn.new_runs.iter().map(|new| new.row.id).collect();
    let named = turn.steps.iter().map(|(run, _)| run).chain(turn.timers_set.iter().map(|timer| &timer.run));
    for run in named.chain(turn.burns.iter().map(|burn| &burn.0)) {
        if !state.runs.contains_key(run) && !new.contains(run) {
            return Err(StoreError::new("commit", Kind::Invalid, format!("there is no {run} to change")));
        }
    }
    Ok(())
}

/// What a run begins with never changes, so that an adapter need not write it again.
fn same_beginning(old: &RunRow, new: &RunRow) -> bool {
    let of = |row: &RunRow| {
        (row.project.clone(), row.snapshot, row.plan.clone(), row.inputs.clone(), row.priority, row.created_at)
    };
    of(old) == of(new)
        && old.labels == new.labels
        && old.submitted_by == new.submitted_by
        && old.traceparent == new.traceparent
}

fn write_partition(state: &mut State, batch: &Batch) {
    let row = &mut state.partitions[usize::from(batch.partition.0)];
    row.published = batch.published;
    row.out_seq = batch.out_seq;
    row.cursor = batch.cursor;
    row.batch_id = batch.batch_id;
    row.incarnation.clone_from(&batch.incarnation);
}

fn write_turn(state: &mut State, partition: PartitionId, turn: Turn, burns: &mut Vec<BurnResult>) {
    for new in turn.new_runs {
        let number = state.run_numbers.last_key_value().map_or(1, |(number, _)| number + 1);
        state.run_numbers.insert(number, new.row.id);
        let run = Run { number, row: new.row, steps: BTreeMap::new(), segments: BTreeMap::new() };
        state.runs.insert(run.row.id, run);
    }
    for row in turn.runs {
        let run = stored(state, row.id);
        run.row = row;
    }
    for segment in turn.segments {
        stored(state, segment.run).segments.insert(segment.first_seq, segment);
    }
    for (run, row) in turn.steps {
        write_step(state, partition, run, row);
    }
    for key in turn.timers_cleared {
        clear_timer(state, key);
    }
    for timer in turn.timers_set {
        clear_timer(state, (timer.run, timer.step));
        state.timers.insert((partition, timer));
        state.timer_of.insert((timer.run, timer.step), (partition, timer));
    }
    for seq in turn.inbox_done {
        if let Some(row) = state.inbox.remove(&(partition, seq)) {
            state.inbox_ids.remove(&row.id);
        }
    }
    for (run, step, dispatch) in turn.burns {
        let holder = state.claims.get(&(run, step, dispatch));
        let won = holder.is_none_or(|holder| holder.process.is_none());
        state.claims.entry((run, step, dispatch)).or_insert(Holder { process: None, stop: false });
        burns.push(BurnResult { run, step, dispatch, won });
    }
    for row in turn.inbox_put {
        state.put_inbox(row);
    }
    for letter in turn.dead_letters {
        state.put_dead_letter(letter);
    }
}

fn write_step(state: &mut State, partition: PartitionId, run: RunId, row: StepRow) {
    let open = row.state.is_out() || row.state == StepState::Ready;
    let key = (partition, stored(state, run).number, row.ix);
    stored(state, run).steps.insert(row.ix, row);
    if open {
        state.open.insert(key);
    } else {
        state.open.remove(&key);
    }
}

fn clear_timer(state: &mut State, key: (RunId, Option<StepIx>)) {
    if let Some(old) = state.timer_of.remove(&key) {
        state.timers.remove::<(PartitionId, TimerRow)>(&old);
    }
}

fn stored(state: &mut State, run: RunId) -> &mut Run {
    state.runs.get_mut(&run).expect("checked before the first write")
}

fn conflict(message: String) -> StoreError {
    StoreError::new("commit", Kind::Conflict, message)
}
