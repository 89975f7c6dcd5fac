//! The commands of some partitions, each from a cursor.

use super::lane::Lane;
use super::{Shared, ended};
use aidt_domain::PartitionId;
use aidt_queue::{Commands, Delivery, QueueError, Tag};
use async_trait::async_trait;
use std::collections::BTreeMap;
use std::sync::Arc;

type Taken = (Vec<(PartitionId, Delivery)>, Vec<PartitionId>);

/// A stream of commands.
#[derive(Debug)]
pub(super) struct LogCommands {
    shared: Arc<Shared>,
    life: u64,
    lanes: BTreeMap<PartitionId, Lane>,
    /// The last one taken from: the next is another.
    turn: PartitionId,
}

impl LogCommands {
    pub(super) fn open(shared: Arc<Shared>, partitions: &[(PartitionId, i64)]) -> Result<Self, QueueError> {
        let state = shared.state();
        let mut lanes = BTreeMap::new();
        for (partition, cursor) in partitions {
            let end = state.commands.get(partition).map_or(0, Vec::len);
            let start = usize::try_from(*cursor).unwrap_or_default();
            if start > end {
                return Err(ended("commands"));
            }
            lanes.insert(*partition, Lane::new(start, end));
        }
        let life = state.life;
        drop(state);
        Ok(Self { shared, life, lanes, turn: PartitionId::default() })
    }

    fn take(&mut self, max: usize) -> Result<Taken, QueueError> {
        let state = self.shared.state();
        if state.life != self.life {
            return Err(ended("recv"));
        }
        let (mut taken, mut nudged) = (Vec::new(), Vec::new());
        let (upto, after): (Vec<_>, Vec<_>) = self.lanes.iter_mut().partition(|(p, _)| **p <= self.turn);
        for (partition, lane) in after.into_iter().chain(upto) {
            let log = state.commands.get(partition).map_or(&[][..], Vec::as_slice);
            while let Some(record) = log.get(lane.next).filter(|_| taken.len() < max) {
                let offset = lane.next;
                lane.next += 1;
                if !record.nudge {
                    taken.push((*partition, record.delivery(Tag(offset as u64), lane.is_old(offset))));
                    self.turn = *partition;
                    continue;
                }
                lane.ack(offset);
                if !lane.is_old(offset) && nudged.last() != Some(partition) {
                    nudged.push(*partition);
                }
            }
        }
        Ok((taken, nudged))
    }
}

#[async_trait]
impl Commands for LogCommands {
    async fn recv(&mut self, max: usize) -> Result<Taken, QueueError> {
        let shared = Arc::clone(&self.shared);
        loop {
            // Before the look: a change between look and wait must not be missed.
            let changed = shared.changed.notified();
            let (taken, nudged) = self.take(max.max(1))?;
            if !taken.is_empty() || !nudged.is_empty() {
                return Ok((taken, nudged));
            }
            changed.await;
        }
    }

    async fn ack(&mut self, tags: &[(PartitionId, Tag)]) -> Result<(), QueueError> {
        for (partition, tag) in tags {
            if let Some(lane) = self.lanes.get_mut(partition) {
                lane.ack(usize::try_from(tag.0).expect("an offset"));
            }
        }
        Ok(())
    }

    fn cursors(&self) -> Vec<(PartitionId, i64)> {
        self.lanes.iter().map(|(p, lane)| (*p, i64::try_from(lane.mark()).expect("an offset"))).collect()
    }
}
