//! A pool's steps, shared by a group.

use super::lane::Lane;
use super::{Record, Shared, ended};
use aidt_domain::Pool;
use aidt_queue::{Delivery, QueueError, Steps, Tag};
use async_trait::async_trait;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, sleep_until};

const PARTITIONS: usize = 4;
/// A member that vanished is missed after this.
const SESSION: Duration = Duration::from_secs(6);
/// How often in a thousand a stream that is dropped is one that vanished, and an ack one that is not committed yet.
const VANISHES: u64 = 500;
const UNCOMMITTED: u64 = 500;

/// Bits of a tag that hold the offset; above them is the partition.
const OFFSET_BITS: u32 = 48;

/// A pool's partitions and the group that reads them.
#[derive(Debug, Default)]
pub(super) struct Topic {
    logs: [Vec<Record>; PARTITIONS],
    committed: [usize; PARTITIONS],
    written: usize,
    group: BTreeMap<u64, Member>,
}

#[derive(Debug, Default)]
struct Member {
    lanes: BTreeMap<usize, Lane>,
    /// It vanished, and is missed then.
    missed_at: Option<Instant>,
}

impl Topic {
    pub(super) fn write(&mut self, record: Record) {
        self.logs[self.written % PARTITIONS].push(record);
        self.written += 1;
    }

    pub(super) fn members(&self) -> impl Iterator<Item = u64> {
        self.group.keys().copied()
    }

    /// Takes a member for dead; what it did not commit comes again.
    pub(super) fn miss(&mut self, member: u64) {
        if self.group.remove(&member).is_some() {
            self.share_out();
        }
    }

    fn join(&mut self, member: u64) {
        self.group.insert(member, Member::default());
        self.share_out();
    }

    fn leave(&mut self, member: u64) {
        self.commit(member);
        self.miss(member);
    }

    fn miss_the_vanished(&mut self, now: Instant) {
        let before = self.group.len();
        self.group.retain(|_, member| member.missed_at.is_none_or(|at| at > now));
        if self.group.len() < before {
            self.share_out();
        }
    }

    fn next_missed(&self) -> Option<Instant> {
        self.group.values().filter_map(|member| member.missed_at).min()
    }

    fn commit(&mut self, member: u64) {
        for (partition, lane) in self.group.get(&member).into_iter().flat_map(|m| &m.lanes) {
            self.committed[*partition] = lane.mark();
        }
    }

    /// Everybody gives back what it has, and gets its part of all.
    fn share_out(&mut self) {
        let there = self.group.iter().filter(|(_, m)| m.missed_at.is_none()).map(|(id, _)| *id);
        for member in there.collect::<Vec<_>>() {
            self.commit(member);
        }
        let count = self.group.len();
        for (n, member) in self.group.values_mut().enumerate() {
            let mine = (0..PARTITIONS).filter(|p| p * count / PARTITIONS == n);
            member.lanes = mine.map(|p| (p, Lane::new(self.committed[p], self.logs[p].len()))).collect();
        }
    }

    fn take(&mut self, member: u64, max: usize, in_hand: &mut BTreeSet<Tag>) -> Vec<Delivery> {
        let mut taken = Vec::new();
        for (partition, lane) in self.group.get_mut(&member).into_iter().flat_map(|m| &mut m.lanes) {
            while let Some(record) = self.logs[*partition].get(lane.next).filter(|_| taken.len() < max) {
                let offset = lane.next;
                lane.next += 1;
                let tag = Tag((*partition as u64) << OFFSET_BITS | offset as u64);
                // Read again after it was shared out anew, and still being worked on here: one ack is for both.
                if in_hand.insert(tag) {
                    taken.push(record.delivery(tag, lane.is_old(offset)));
                }
            }
        }
        taken
    }

    /// What is another's by now is not this member's to ack.
    fn ack(&mut self, member: u64, tag: Tag) {
        let (partition, offset) = (tag.0 >> OFFSET_BITS, tag.0 & ((1 << OFFSET_BITS) - 1));
        let lane = self.group.get_mut(&member).and_then(|m| m.lanes.get_mut(&(partition as usize)));
        if let Some(lane) = lane {
            lane.ack(offset as usize);
        }
    }
}

/// A stream of steps: a member of the group.
#[derive(Debug)]
pub(super) struct LogSteps {
    shared: Arc<Shared>,
    pool: Pool,
    life: u64,
    member: u64,
    prefetch: usize,
    /// Delivered and not acked, also of partitions that are another's by now.
    in_hand: BTreeSet<Tag>,
}

impl LogSteps {
    pub(super) fn join(shared: Arc<Shared>, pool: Pool, prefetch: u32) -> Self {
        let mut state = shared.state();
        let (life, member) = (state.life, state.next_member);
        state.next_member += 1;
        state.pools.entry(pool.clone()).or_default().join(member);
        drop(state);
        shared.changed.notify_waiters();
        Self { shared, pool, life, member, prefetch: bound(prefetch), in_hand: BTreeSet::new() }
    }

    /// What is there for this member, and until when to wait at most if there is nothing.
    fn look(&mut self, max: usize) -> Result<(Vec<Delivery>, Option<Instant>), QueueError> {
        let mut state = self.shared.state();
        if state.life != self.life {
            return Err(ended("recv"));
        }
        let topic = state.pools.entry(self.pool.clone()).or_default();
        topic.miss_the_vanished(Instant::now());
        let was_missed = !topic.group.contains_key(&self.member);
        if was_missed {
            topic.join(self.member);
        }
        let room = self.prefetch.saturating_sub(self.in_hand.len());
        let taken = topic.take(self.member, max.max(1).min(room), &mut self.in_hand);
        let until = topic.next_missed();
        drop(state);
        if was_missed {
            self.shared.changed.notify_waiters();
        }
        Ok((taken, until))
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
            let (taken, until) = self.look(max)?;
            if !taken.is_empty() {
                return Ok(taken);
            }
            match until {
                None => changed.await,
                Some(until) => tokio::select! {
                    biased;
                    () = changed => {}
                    () = sleep_until(until) => {}
                },
            }
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
                topic.ack(self.member, *tag);
            }
        }
        if let (true, true, Some(topic)) = (of_this_life, commits, state.pools.get_mut(&self.pool)) {
            topic.commit(self.member);
        }
        Ok(())
    }

    fn set_prefetch(&mut self, prefetch: u32) -> bool {
        self.prefetch = bound(prefetch);
        true
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
        match topic.group.get_mut(&self.member).filter(|_| vanishes) {
            Some(member) => member.missed_at = Some(Instant::now() + SESSION),
            None => topic.leave(self.member),
        }
        drop(state);
        self.shared.changed.notify_waiters();
    }
}
