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

#[derive(Debug)]
struct Shared {
    taken: Taken,
    left: usize,
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
    /// Messages with entries of a newer format, and since when the oldest is held.
    newer: Option<(usize, Instant)>,
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
    /// first that is held.
    pub(crate) fn hold(&mut self, now: Instant) -> bool {
        let held = self.newer.get_or_insert((0, now));
        held.0 += 1;
        held.0 == 1
    }

    /// When held messages are given back to the broker.
    pub(crate) fn held_since(&self) -> Option<Instant> {
        self.newer.map(|(_, since)| since)
    }

    /// Gives what is held, and with it all that is not acked, back to the broker.
    pub(crate) fn give_back(&mut self) {
        if let Some((held, _)) = self.newer.take() {
            self.open = self.open.saturating_sub(held);
            self.desk.reopen();
        }
    }

    /// Messages taken and not acked.
    pub(crate) fn open_messages(&self) -> usize {
        self.open
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
        assert_eq!(side.open_messages(), 2);
        side.done(part);
        side.done(whole);
        assert!(!side.desk.is_settled());
        assert_eq!(side.open_messages(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn only_the_first_held_message_is_worth_a_line() {
        let mut side = PoolSide::new(Pool::new("p").unwrap());
        side.open(taken(1), 1);
        side.open(taken(2), 1);
        assert!(side.hold(Instant::now()));
        assert!(!side.hold(Instant::now()));
        assert!(side.held_since().is_some());
        side.give_back();
        assert_eq!((side.open_messages(), side.held_since()), (0, None));
    }
}
