//! One pool's steps, shared by any number of streams.

use super::message::{Held, Message, restore};
use super::{closed, locked};
use crate::port::{Delivery, Outgoing, QueueError, Steps, Tag};
use aidt_domain::Timestamp;
use async_trait::async_trait;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use tokio::sync::Notify;

/// A pool's queue.
///
/// Wake-ups: whoever makes the queue not empty wakes one stream, and a stream that leaves something
/// behind wakes the next. A stream without room does not listen to `filled`, so it swallows no wake-up.
#[derive(Debug, Default)]
pub(super) struct PoolQueue {
    state: Mutex<State>,
    filled: Notify,
    /// Wiped or closed: every stream looks again.
    reset: Notify,
}

#[derive(Debug, Default)]
struct State {
    ready: VecDeque<Message>,
    next_number: u64,
    life: u64,
    closed: bool,
}

/// What a look into the queue found.
enum Look {
    Taken(Vec<Delivery>),
    Empty,
    NoRoom,
}

impl PoolQueue {
    pub(super) fn push(&self, batch: impl Iterator<Item = Outgoing>, now: Timestamp) -> Result<(), QueueError> {
        let mut state = locked(&self.state);
        if state.closed {
            return Err(closed("publish_steps"));
        }
        let was_empty = state.ready.is_empty();
        for out in batch {
            let number = state.next_number;
            state.next_number += 1;
            state.ready.push_back(Message::new(number, out, now));
        }
        let filled = was_empty && !state.ready.is_empty();
        drop(state);
        if filled {
            self.filled.notify_one();
        }
        Ok(())
    }

    fn take(&self, max: usize, prefetch: usize, held: &mut Held<()>) -> Result<Look, QueueError> {
        let mut state = locked(&self.state);
        if state.closed {
            return Err(closed("recv"));
        }
        held.follow(state.life);
        let room = prefetch.saturating_sub(held.len());
        if room == 0 {
            return Ok(Look::NoRoom);
        }
        let count = room.min(max.max(1)).min(state.ready.len());
        if count == 0 {
            return Ok(Look::Empty);
        }
        let taken = state.ready.drain(..count).map(|message| held.hold((), message)).collect();
        let left_some = !state.ready.is_empty();
        drop(state);
        if left_some {
            self.filled.notify_one();
        }
        Ok(Look::Taken(taken))
    }

    fn give_back(&self, held: &mut Held<()>) {
        let mut state = locked(&self.state);
        let was_empty = state.ready.is_empty();
        let messages = held.give_back(state.life);
        restore(&mut state.ready, messages.map(|((), message)| message));
        let filled = was_empty && !state.ready.is_empty();
        drop(state);
        if filled {
            self.filled.notify_one();
        }
    }

    pub(super) fn wipe(&self) {
        let mut state = locked(&self.state);
        state.life += 1;
        state.ready.clear();
        drop(state);
        self.reset.notify_waiters();
    }

    pub(super) fn close(&self) {
        locked(&self.state).closed = true;
        self.reset.notify_waiters();
    }

    pub(super) fn len(&self) -> usize {
        locked(&self.state).ready.len()
    }
}

/// A stream of a pool's steps.
#[derive(Debug)]
pub(super) struct MemorySteps {
    queue: Arc<PoolQueue>,
    prefetch: usize,
    held: Held<()>,
}

impl MemorySteps {
    pub(super) fn open(queue: Arc<PoolQueue>, prefetch: u32) -> Self {
        Self { queue, prefetch: bound(prefetch), held: Held::default() }
    }
}

fn bound(prefetch: u32) -> usize {
    usize::try_from(prefetch).unwrap_or(usize::MAX).max(1)
}

#[async_trait]
impl Steps for MemorySteps {
    async fn recv(&mut self, max: usize) -> Result<Vec<Delivery>, QueueError> {
        let Self { queue, prefetch, held } = self;
        loop {
            // Before the look: a reset between look and wait must not be missed.
            let reset = queue.reset.notified();
            match queue.take(max, *prefetch, held)? {
                Look::Taken(deliveries) => return Ok(deliveries),
                Look::NoRoom => reset.await,
                Look::Empty => tokio::select! {
                    biased;
                    () = reset => {}
                    () = queue.filled.notified() => {}
                },
            }
        }
    }

    async fn ack(&mut self, tags: &[Tag]) -> Result<(), QueueError> {
        tags.iter().for_each(|tag| self.held.ack((), *tag));
        Ok(())
    }

    fn set_prefetch(&mut self, prefetch: u32) -> bool {
        self.prefetch = bound(prefetch);
        true
    }
}

impl Drop for MemorySteps {
    fn drop(&mut self) {
        self.queue.give_back(&mut self.held);
    }
}
