//! The commands of all partitions, behind one lock: an owner's turn takes from all of its partitions
//! at once, so finer locks would only be more of them.

use super::message::{Held, Message, restore};
use super::{closed, locked};
use crate::port::{Commands, Delivery, Outgoing, QueueError, Tag};
use aidt_domain::{PartitionId, Timestamp};
use async_trait::async_trait;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex};
use tokio::sync::Notify;

/// What a look into the queue found: commands, and the partitions that were nudged.
type Taken = (Vec<(PartitionId, Delivery)>, Vec<PartitionId>);

#[derive(Debug, Default)]
pub(super) struct CommandQueue {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    lanes: BTreeMap<PartitionId, VecDeque<Message>>,
    listeners: BTreeMap<u64, Listener>,
    next_number: u64,
    next_listener: u64,
    life: u64,
    closed: bool,
}

/// An open stream. Of two on one partition each is told of each nudge, since only one of them is the
/// owner; a command goes to one, and comes back when that one is dropped.
#[derive(Debug)]
struct Listener {
    partitions: BTreeSet<PartitionId>,
    nudged: BTreeSet<PartitionId>,
    wake: Arc<Notify>,
}

impl State {
    /// Who must look because these partitions are no longer empty.
    fn listening_to(&self, filled: &BTreeSet<PartitionId>) -> Vec<Arc<Notify>> {
        let concerned = self.listeners.values().filter(|l| !l.partitions.is_disjoint(filled));
        concerned.map(|l| Arc::clone(&l.wake)).collect()
    }
}

fn wake(streams: &[Arc<Notify>]) {
    streams.iter().for_each(|stream| stream.notify_one());
}

impl CommandQueue {
    pub(super) fn push(&self, commands: Vec<(PartitionId, Outgoing)>, now: Timestamp) -> Result<(), QueueError> {
        let mut state = locked(&self.state);
        if state.closed {
            return Err(closed("publish_commands"));
        }
        let mut filled = BTreeSet::new();
        for (partition, out) in commands {
            let number = state.next_number;
            state.next_number += 1;
            let lane = state.lanes.entry(partition).or_default();
            if lane.is_empty() {
                filled.insert(partition);
            }
            lane.push_back(Message::new(number, out, now));
        }
        let streams = state.listening_to(&filled);
        drop(state);
        wake(&streams);
        Ok(())
    }

    pub(super) fn nudge(&self, partitions: &[PartitionId]) {
        let mut state = locked(&self.state);
        let mut streams = Vec::new();
        for listener in state.listeners.values_mut() {
            let before = listener.nudged.len();
            let mine = partitions.iter().filter(|p| listener.partitions.contains(p));
            listener.nudged.extend(mine);
            if listener.nudged.len() > before {
                streams.push(Arc::clone(&listener.wake));
            }
        }
        drop(state);
        wake(&streams);
    }

    /// Takes at most `max` commands, from the partition after `turn` on, so that a busy partition does
    /// not starve the others.
    fn take(
        &self,
        id: u64,
        max: usize,
        turn: &mut PartitionId,
        held: &mut Held<PartitionId>,
    ) -> Result<Option<Taken>, QueueError> {
        let mut state = locked(&self.state);
        if state.closed {
            return Err(closed("recv"));
        }
        held.follow(state.life);
        let State { lanes, listeners, .. } = &mut *state;
        let listener = listeners.get_mut(&id).expect("registered until its stream is dropped");
        let nudged: Vec<_> = std::mem::take(&mut listener.nudged).into_iter().collect();
        let (upto, after): (Vec<_>, Vec<_>) = listener.partitions.iter().partition(|p| *p <= turn);
        let mut taken = Vec::new();
        for partition in after.into_iter().chain(upto).copied() {
            let room = max.max(1) - taken.len();
            if room == 0 {
                break;
            }
            let Some(lane) = lanes.get_mut(&partition).filter(|lane| !lane.is_empty()) else {
                continue;
            };
            let messages = lane.drain(..room.min(lane.len()));
            taken.extend(messages.map(|message| (partition, held.hold(partition, message))));
            *turn = partition;
        }
        Ok((!taken.is_empty() || !nudged.is_empty()).then_some((taken, nudged)))
    }

    fn leave(&self, id: u64, held: &mut Held<PartitionId>) {
        let mut state = locked(&self.state);
        state.listeners.remove(&id);
        let mut back: BTreeMap<PartitionId, Vec<Message>> = BTreeMap::new();
        for (partition, message) in held.give_back(state.life) {
            back.entry(partition).or_default().push(message);
        }
        let partitions = back.keys().copied().collect();
        for (partition, messages) in back {
            restore(state.lanes.entry(partition).or_default(), messages.into_iter());
        }
        let streams = state.listening_to(&partitions);
        drop(state);
        wake(&streams);
    }

    pub(super) fn wipe(&self) {
        let mut state = locked(&self.state);
        state.life += 1;
        state.lanes.clear();
        state.listeners.values_mut().for_each(|listener| listener.nudged.clear());
    }

    pub(super) fn close(&self) {
        let mut state = locked(&self.state);
        state.closed = true;
        let streams: Vec<_> = state.listeners.values().map(|l| Arc::clone(&l.wake)).collect();
        drop(state);
        wake(&streams);
    }

    pub(super) fn len(&self, partition: PartitionId) -> usize {
        locked(&self.state).lanes.get(&partition).map_or(0, VecDeque::len)
    }
}

/// A stream of some partitions' commands.
#[derive(Debug)]
pub(super) struct MemoryCommands {
    queue: Arc<CommandQueue>,
    id: u64,
    wake: Arc<Notify>,
    turn: PartitionId,
    held: Held<PartitionId>,
}

impl MemoryCommands {
    pub(super) fn open(
        queue: Arc<CommandQueue>,
        partitions: impl Iterator<Item = PartitionId>,
    ) -> Result<Self, QueueError> {
        let wake = Arc::new(Notify::new());
        let mut state = locked(&queue.state);
        if state.closed {
            return Err(closed("commands"));
        }
        let id = state.next_listener;
        state.next_listener += 1;
        let listener = Listener { partitions: partitions.collect(), nudged: BTreeSet::new(), wake: Arc::clone(&wake) };
        state.listeners.insert(id, listener);
        drop(state);
        Ok(Self { queue, id, wake, turn: PartitionId::default(), held: Held::default() })
    }
}

#[async_trait]
impl Commands for MemoryCommands {
    async fn recv(&mut self, max: usize) -> Result<Taken, QueueError> {
        loop {
            match self.queue.take(self.id, max, &mut self.turn, &mut self.held)? {
                Some(taken) => return Ok(taken),
                // Only this stream waits here, so a wake-up since the look is stored, not lost.
                None => self.wake.notified().await,
            }
        }
    }

    async fn ack(&mut self, tags: &[(PartitionId, Tag)]) -> Result<(), QueueError> {
        tags.iter().for_each(|(partition, tag)| self.held.ack(*partition, *tag));
        Ok(())
    }
}

impl Drop for MemoryCommands {
    fn drop(&mut self) {
        self.queue.leave(self.id, &mut self.held);
    }
}
