//! Which messages may be acked: those whose every entry is done with.

use crate::pool::{PoolDesk, Taken};
use aidt_domain::Pool;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use tokio::time::Instant;

use crate::workers::CallNo;

/// A share in a message. Given back once the entry that it stands for is done with, durably.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ticket {
    /// The message had one entry.
    Whole(Taken),
    /// One of several entries of a message.
    Part(u64),
}

/// Most messages of a newer format that are held at once; behind more of them a pool waits.
const NEWER_ROOM: u32 = 256;

#[derive(Debug)]
struct Shared {
    taken: Taken,
    left: usize,
}

/// Messages with entries of a newer format, which are held and then given back.
#[derive(Debug)]
struct Newer {
    /// The opening of the stream that delivered them.
    opening: u64,
    held: u32,
    since: Instant,
}

/// One pool, as the loop sees it.
#[derive(Debug)]
pub(crate) struct PoolSide {
    pub(crate) pool: Pool,
    pub(crate) desk: Arc<PoolDesk>,
    /// Slots of this consumer.
    pub(crate) share: u32,
    /// Calls in hand that no worker has yet.
    pub(crate) unplaced: usize,
    /// Calls that wait for a slot.
    pub(crate) placing: VecDeque<CallNo>,
    /// Messages taken and not acked.
    open: usize,
    newer: Option<Newer>,
    /// Room for messages of a newer format beside those that can be worked on.
    newer_room: u32,
    shared: BTreeMap<u64, Shared>,
    next_shared: u64,
}

impl PoolSide {
    pub(crate) fn new(pool: Pool) -> Self {
        Self {
            pool,
            desk: Arc::default(),
            share: 0,
            unplaced: 0,
            placing: VecDeque::new(),
            open: 0,
            newer: None,
            newer_room: 0,
            shared: BTreeMap::new(),
            next_shared: 0,
        }
    }

    /// A message arrived with this many entries: a ticket for each.
    pub(crate) fn open(&mut self, taken: Taken, entries: usize) -> Ticket {
        self.open += 1;
        if entries == 1 {
            return Ticket::Whole(taken);
        }
        self.next_shared += 1;
        self.shared.insert(self.next_shared, Shared { taken, left: entries });
        Ticket::Part(self.next_shared)
    }

    /// One entry is done with.
    pub(crate) fn done(&mut self, ticket: Ticket) {
        let taken = match ticket {
            Ticket::Whole(taken) => taken,
            Ticket::Part(no) => {
                let Some(shared) = self.shared.get_mut(&no) else { return };
                shared.left -= 1;
                if shared.left > 0 {
                    return;
                }
                let taken = shared.taken;
                self.shared.remove(&no);
                taken
            }
        };
        self.open -= 1;
        self.desk.ack(taken);
    }

    /// An entry is of a newer format: its message is not acked by this process. Answers whether it is the
    /// first of its kind.
    pub(crate) fn hold(&mut self, taken: Taken, now: Instant) -> bool {
        let first = self.newer_room == 0;
        if self.newer.as_ref().is_some_and(|newer| newer.opening != taken.opening) {
            self.forget_newer();
        }
        let opening = taken.opening;
        let newer = self.newer.get_or_insert(Newer { opening, held: 0, since: now });
        newer.held += 1;
        self.newer_room = self.newer_room.max(newer.held).min(NEWER_ROOM);
        first
    }

    /// When held messages are given back to the broker.
    pub(crate) fn held_since(&self) -> Option<Instant> {
        self.newer.as_ref().map(|newer| newer.since)
    }

    /// Gives what is held, and with it all that is not acked, back to the broker.
    pub(crate) fn give_back(&mut self) {
        self.forget_newer();
        self.desk.reopen();
    }

    fn forget_newer(&mut self) {
        if let Some(newer) = self.newer.take() {
            self.open = self.open.saturating_sub(newer.held as usize);
        }
    }

    /// What the stream may hold unacked: a message for each slot, and beside them what is held for newer
    /// processes. Never 0 while something of it is in hand: closing the stream gives everything back.
    pub(crate) fn prefetch(&self) -> u32 {
        match (self.share, self.open) {
            (0, 0) => 0,
            (share, _) => share.max(1) + self.newer_room,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use aidt_queue::Tag;

    fn taken(tag: u64) -> Taken {
        Taken { opening: 1, tag: Tag(tag) }
    }

    #[test]
    fn a_message_is_acked_when_its_last_entry_is_done() {
        let mut side = PoolSide::new(Pool::new("p").unwrap());
        let part = side.open(taken(1), 3);
        let whole = side.open(taken(2), 1);
        side.done(part);
        side.done(part);
        assert!(side.desk.is_settled());
        assert_eq!(side.open, 2);
        side.done(part);
        side.done(whole);
        assert!(!side.desk.is_settled());
        assert_eq!(side.open, 0);
    }

    #[tokio::test(start_paused = true)]
    async fn only_the_first_held_message_is_worth_a_line() {
        let mut side = PoolSide::new(Pool::new("p").unwrap());
        side.open(taken(1), 1);
        side.open(taken(2), 1);
        assert!(side.hold(taken(1), Instant::now()));
        assert!(!side.hold(taken(2), Instant::now()));
        assert!(side.held_since().is_some());
        assert_eq!(side.prefetch(), 3);
        side.give_back();
        assert_eq!((side.open, side.held_since(), side.prefetch()), (0, None, 0));
    }
}
