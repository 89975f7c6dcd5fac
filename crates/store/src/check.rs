//! What every adapter checks of a batch before it writes anything.

use crate::error::{Kind, StoreError};
use crate::types::Batch;
use aidt_domain::{PartitionId, RunId, Seq};
use std::collections::BTreeMap;

/// Checks that a batch keeps to its own partition and that its history has no gap in itself, and
/// answers how many events it appends to each run that it changes.
///
/// The adapter then writes each run's row only where the stored `last_seq` is the new one less that
/// number (`Conflict` otherwise), so that history is gapless without reading anything.
///
/// # Errors
/// `Invalid`: the batch can never be written as it stands.
pub fn appended(batch: &Batch, partitions: u16) -> Result<BTreeMap<RunId, u64>, StoreError> {
    let turn = &batch.turn;
    let mut runs = BTreeMap::new();
    for row in turn.new_runs.iter().map(|new| &new.row).chain(&turn.runs) {
        belongs(row.id, batch.partition, partitions)?;
        if row.partition != batch.partition {
            return Err(invalid(format!(
                "the row of {} names partition {}, not {}",
                row.id, row.partition, batch.partition
            )));
        }
        if runs.insert(row.id, (row.last_seq, 0)).is_some() {
            return Err(invalid(format!("{} changes twice in one turn", row.id)));
        }
    }
    append_segments(batch, &mut runs)?;
    let others = turn.steps.iter().map(|(run, _)| *run).chain(turn.timers_set.iter().map(|t| t.run));
    for run in others.chain(turn.burns.iter().map(|burn| burn.0)) {
        belongs(run, batch.partition, partitions)?;
    }
    for row in &turn.inbox_put {
        if row.partition.0 >= partitions {
            return Err(invalid(format!("command {} is for partition {}, of {partitions}", row.id, row.partition)));
        }
    }
    Ok(runs.into_iter().map(|(run, (_, count))| (run, count)).collect())
}

/// Segments of a run follow one another and end at its row's `last_seq`.
fn append_segments(batch: &Batch, runs: &mut BTreeMap<RunId, (Seq, u64)>) -> Result<(), StoreError> {
    let mut next: BTreeMap<RunId, u64> = BTreeMap::new();
    for segment in &batch.turn.segments {
        let Some((_, count)) = runs.get_mut(&segment.run) else {
            return Err(invalid(format!("a segment of {} comes without the run's row", segment.run)));
        };
        let follows = *next.get(&segment.run).unwrap_or(&segment.first_seq.0);
        if segment.count == 0 || segment.first_seq.0 == 0 || segment.first_seq.0 != follows {
            return Err(invalid(format!(
                "the segment of {} from event {} with {} events does not follow event {}",
                segment.run,
                segment.first_seq,
                segment.count,
                follows.saturating_sub(1)
            )));
        }
        *count += u64::from(segment.count);
        next.insert(segment.run, follows + u64::from(segment.count));
    }
    for (run, next) in next {
        if runs[&run].0.0 != next - 1 {
            return Err(invalid(format!(
                "the row of {run} says last event {}, its segments end at {}",
                runs[&run].0,
                next - 1
            )));
        }
    }
    Ok(())
}

fn belongs(run: RunId, partition: PartitionId, partitions: u16) -> Result<(), StoreError> {
    let home = PartitionId::of(run, partitions);
    if home == partition {
        return Ok(());
    }
    Err(invalid(format!("{run} belongs to partition {home}, not {partition}")))
}

fn invalid(message: String) -> StoreError {
    StoreError::new("commit", Kind::Invalid, message)
}
