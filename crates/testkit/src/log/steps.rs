//! A pool's steps, shared by those who read them.

use super::lane::Lane;
use super::{Record, Shared, ended};
use aidt_domain::{Pool, even_share_of};
use aidt_queue::{Delivery, QueueError, Readers, Steps, Tag};
use async_trait::async_trait;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

const PARTITIONS: usize = 4;
/// How often in a thousand a stream that is dropped is one that vanished, a partition that is given up one whose acks
/// come too late for the next, and an ack one that is not committed yet.
const VANISHES: u64 = 500;
const LATE: u64 = 500;
const UNCOMMITTED: u64 = 500;

/// Bits of a tag that hold the offset; above them is the partition.
const OFFSET_BITS: u32 = 48;

/// A pool's partitions and the streams that read them.
#[derive(Debug, Default)]
pub(super) struct Topic {
    logs: [Vec<Record>; PARTITIONS],
    committed: [usize; PARTITIONS],
    written: usize,
    /// What each stream reads, by itself: two may read the same.
    streams: BTreeMap<u64, BTreeMap<usize, Lane>>,
}

impl Topic {
    pub(super) fn write(&mut self, record: Record) {
        self.logs[self.written % PARTITIONS].push(record);
        self.written += 1;
    }

    pub(super) fn streams(&self) -> impl Iterator<Item = u64> {
        self.streams.keys().copied()
    }

    /// A stream reads these from now on: what it had it still has, the rest from where whoever had it committed.
    fn read(&mut self, stream: u64, partitions: &BTreeSet<usize>) {
        let Self { logs, committed, streams, .. } = self;
        let lanes = streams.entry(stream).or_default();
        lanes.retain(|partition, _| partitions.contains(partition));
        for partition in partitions {
            let anew = || Lane::new(committed[*partition], logs[*partition].len());
            lanes.entry(*partition).or_insert_with(anew);
        }
    }

    /// A stream reads all of its partitions again, from where they are committed.
    pub(super) fn read_again(&mut self, stream: u64) {
        let mine = self.streams.get_mut(&stream).map(std::mem::take).unwrap_or_default();
        self.read(stream, &mine.into_keys().collect());
    }

    /// Also back, if another that reads the same was further.
    fn commit(&mut self, stream: u64) {
        for (partition, lane) in self.streams.get(&stream).into_iter().flatten() {
            self.committed[*partition] = lane.mark();
        }
    }

    fn take(&mut self, stream: u64, max: usize, in_hand: &mut BTreeSet<Tag>) -> Vec<Delivery> {
        let mut taken = Vec::new();
        for (partition, lane) in self.streams.get_mut(&stream).into_iter().flatten() {
            while let Some(record) = self.logs[*partition].get(lane.next).filter(|_| taken.len() < max) {
                let offset = lane.next;
                lane.next += 1;
                let tag = Tag((*partition as u64) << OFFSET_BITS | offset as u64);
                // Given up, had again and still being worked on here: one ack is for both.
                if in_hand.insert(tag) {
                    taken.push(record.delivery(tag, lane.is_old(offset)));
                }
            }
        }
        taken
    }

    /// What is another's by now is not this stream's to ack.
    fn ack(&mut self, stream: u64, tag: Tag) {
        let (partition, offset) = (tag.0 >> OFFSET_BITS, tag.0 & ((1 << OFFSET_BITS) - 1));
        let lane = self.streams.get_mut(&stream).and_then(|lanes| lanes.get_mut(&(partition as usize)));
        if let Some(lane) = lane {
            lane.ack(offset as usize);
        }
    }
}

/// A stream of steps.
#[derive(Debug)]
pub(super) struct LogSteps {
    shared: Arc<Shared>,
    pool: Pool,
    life: u64,
    number: u64,
    prefetch: usize,
    /// Delivered and not acked, also of partitions that are another's by now.
    in_hand: BTreeSet<Tag>,
    /// It knows what to read.
    told: bool,
}

impl LogSteps {
    pub(super) fn open(shared: Arc<Shared>, pool: Pool, prefetch: u32) -> Self {
        let mut state = shared.state();
        let (life, number) = (state.life, state.next_stream);
        state.next_stream += 1;
        drop(state);
        Self { shared, pool, life, number, prefetch: bound(prefetch), in_hand: BTreeSet::new(), told: false }
    }

    fn read(&mut self, partitions: &BTreeSet<usize>) {
        self.told = true;
        let mut state = self.shared.state();
        if state.life != self.life {
            return;
        }
        let late = state.hits(LATE);
        let topic = state.pools.entry(self.pool.clone()).or_default();
        if !late {
            topic.commit(self.number);
        }
        topic.read(self.number, partitions);
        drop(state);
        self.shared.changed.notify_waiters();
    }

    fn look(&mut self, max: usize) -> Result<Vec<Delivery>, QueueError> {
        if !self.told {
            self.read(&(0..PARTITIONS).collect());
        }
        let mut state = self.shared.state();
        if state.life != self.life {
            return Err(ended("recv"));
        }
        let topic = state.pools.entry(self.pool.clone()).or_default();
        let room = self.prefetch.saturating_sub(self.in_hand.len());
        Ok(topic.take(self.number, max.max(1).min(room), &mut self.in_hand))
    }
}

fn bound(prefetch: u32) -> usize {
    usize::try_from(prefetch).unwrap_or(usize::MAX).max(1)
}

#[async_trait]
impl Steps for LogSteps {
    async fn recv(&mut self, max: usize) -> Result<Vec<Delivery>, QueueError> {
        let shared = Arc::clone(&self.shared);
        loop {
            // Before the look: a change between look and wait must not be missed.
            let changed = shared.changed.notified();
            let taken = self.look(max)?;
            if !taken.is_empty() {
                return Ok(taken);
            }
            changed.await;
        }
    }

    async fn ack(&mut self, tags: &[Tag]) -> Result<(), QueueError> {
        let mut state = self.shared.state();
        let of_this_life = state.life == self.life;
        let commits = !state.hits(UNCOMMITTED);
        for tag in tags {
            if self.in_hand.remove(tag)
                && of_this_life
                && let Some(topic) = state.pools.get_mut(&self.pool)
            {
                topic.ack(self.number, *tag);
            }
        }
        if let (true, true, Some(topic)) = (of_this_life, commits, state.pools.get_mut(&self.pool)) {
            topic.commit(self.number);
        }
        Ok(())
    }

    fn set_prefetch(&mut self, prefetch: u32) -> bool {
        self.prefetch = bound(prefetch);
        true
    }

    fn share(&mut self, readers: &Readers) {
        let share = even_share_of(readers.me, &readers.all, PARTITIONS as u32);
        self.read(&share.into_iter().map(|partition| partition as usize).collect());
    }
}

impl Drop for LogSteps {
    fn drop(&mut self) {
        let mut state = self.shared.state();
        if state.life != self.life {
            return;
        }
        let vanishes = state.hits(VANISHES);
        let Some(topic) = state.pools.get_mut(&self.pool) else { return };
        if !vanishes {
            topic.commit(self.number);
        }
        topic.streams.remove(&self.number);
    }
}
