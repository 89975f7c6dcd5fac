//! The owner's loads.

use super::{MemoryStore, Result};
use crate::types::{Batch, Claim, Commit, OpenStep, PartitionRow, PayloadAt, SegmentRow, StoredRun, TimerRow};
use crate::{Kind, RunLog, StoreError};
use aidt_domain::{DispatchNo, PartitionId, ProcessId, RunId, Seq, StepIx, StepState, Timestamp};
use async_trait::async_trait;
use bytes::Bytes;

#[async_trait]
impl RunLog for MemoryStore {
    fn partitions(&self) -> u16 {
        self.partitions
    }

    async fn now(&self) -> Result<Timestamp> {
        Ok(self.state().now)
    }

    async fn take(&self, partition: PartitionId, owner: ProcessId, format: u32) -> Result<PartitionRow> {
        self.check_partition("take", partition)?;
        let mut state = self.state();
        let row = &mut state.partitions[usize::from(partition.0)];
        if row.format > format {
            let message =
                format!("partition {partition} holds rows of format {}, this process reads {format}", row.format);
            return Err(StoreError::new("take", Kind::Conflict, message));
        }
        row.epoch = row.epoch.next();
        row.owner = Some(owner);
        row.format = format;
        Ok(row.clone())
    }

    async fn partition(&self, partition: PartitionId) -> Result<PartitionRow> {
        self.check_partition("partition", partition)?;
        Ok(self.state().partitions[usize::from(partition.0)].clone())
    }

    async fn open_dispatches(&self, partition: PartitionId) -> Result<Vec<OpenStep>> {
        Ok(self.state().open_of(partition, None, StepState::is_out).collect())
    }

    async fn ready(&self, partition: PartitionId, after: Option<(RunId, StepIx)>, limit: u32) -> Result<Vec<OpenStep>> {
        let state = self.state();
        let after = match after {
            None => None,
            Some((run, step)) => {
                let Some(stored) = state.runs.get(&run) else {
                    return Err(StoreError::new("ready", Kind::NotFound, format!("there is no {run}")));
                };
                Some((stored.number, step))
            }
        };
        let ready = state.open_of(partition, after, |step| step == StepState::Ready);
        Ok(ready.take(limit as usize).collect())
    }

    async fn timers(
        &self,
        partition: PartitionId,
        until: Timestamp,
        limit: u32,
    ) -> Result<(Vec<TimerRow>, Option<Timestamp>)> {
        let state = self.state();
        let mut all = state.timers.iter().filter(|(home, _)| *home == partition).map(|(_, timer)| *timer).peekable();
        let mut due = Vec::new();
        while due.len() < limit as usize
            && let Some(timer) = all.next_if(|timer| timer.at <= until)
        {
            due.push(timer);
        }
        Ok((due, all.peek().map(|timer| timer.at)))
    }

    async fn claims(&self, partition: PartitionId) -> Result<Vec<Claim>> {
        let state = self.state();
        let open = state.open_of(partition, None, StepState::is_out);
        Ok(open
            .filter_map(|OpenStep { run, step, dispatch }| {
                let holder = state.claims.get(&(run, step, dispatch))?;
                Some(Claim { run, step, dispatch, process: holder.process })
            })
            .collect())
    }

    async fn ask_to_stop(&self, claims: &[(RunId, StepIx, DispatchNo)]) -> Result<()> {
        let mut state = self.state();
        for key in claims {
            if let Some(holder) = state.claims.get_mut(key) {
                holder.stop = true;
            }
        }
        Ok(())
    }

    async fn load(&self, runs: &[RunId]) -> Result<Vec<StoredRun>> {
        let state = self.state();
        let found = runs.iter().filter_map(|run| state.runs.get(run));
        Ok(found.map(|run| StoredRun { row: run.row.clone(), steps: run.steps.values().cloned().collect() }).collect())
    }

    async fn payloads(&self, at: &[PayloadAt]) -> Result<Vec<Bytes>> {
        let state = self.state();
        at.iter().map(|at| state.payload("payloads", at)).collect()
    }

    async fn segment(&self, run: RunId, seq: Seq) -> Result<SegmentRow> {
        let state = self.state();
        let found = state.runs.get(&run).and_then(|run| run.segments.range(..=seq).next_back());
        found
            .map(|(_, segment)| segment)
            .filter(|segment| seq.0 - segment.first_seq.0 < u64::from(segment.count))
            .cloned()
            .ok_or_else(|| StoreError::new("segment", Kind::NotFound, format!("{run} has no event {seq}")))
    }

    async fn commit(&self, batches: Vec<Batch>) -> Result<Commit> {
        self.commit_batches(batches)
    }
}
