//! What of a channel's messages is not acked: entry by entry, to be acked message by message.

use crate::frame::MAX_ENTRIES;
use aidt_queue::Tag;
use std::collections::{BTreeMap, BTreeSet};

/// Bits of a tag that number the entries of a message.
const ENTRY_BITS: u32 = MAX_ENTRIES.trailing_zeros();

/// The account of one channel. Delivery tags count from 1 in the order in which the broker sent; several
/// consumers on a channel bring them here in another.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    /// Added to delivery tags, so that those of an earlier channel of the stream mean nothing here.
    base: u64,
    /// Messages not acked, and which of their entries are not.
    open: BTreeMap<u64, u64>,
    /// Every message up to here has arrived.
    floor: u64,
    /// Arrived beyond it.
    ahead: BTreeSet<u64>,
    /// Entries handed out and not acked.
    out: usize,
}

/// What to tell the broker.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Acks {
    /// All up to this delivery tag.
    pub(crate) upto: Option<u64>,
    /// And these.
    pub(crate) single: Vec<u64>,
}

impl Ledger {
    /// An empty account for the next channel of a stream.
    pub(crate) fn next(&self) -> Self {
        let latest = self.ahead.last().copied().unwrap_or(self.floor);
        Self { base: self.base + latest, ..Self::default() }
    }

    /// A message with this many entries has arrived; gives their tags.
    pub(crate) fn arrived(&mut self, delivery: u64, entries: usize) -> impl Iterator<Item = Tag> + use<> {
        self.saw(delivery);
        let all = u64::MAX.checked_shr(u64::BITS.saturating_sub(entries as u32)).unwrap_or(0);
        self.open.insert(delivery, all);
        let first = (self.base + delivery) << ENTRY_BITS;
        (0..entries as u64).map(move |entry| Tag(first | entry))
    }

    /// A message that needs no ack has arrived.
    pub(crate) fn saw(&mut self, delivery: u64) {
        self.ahead.insert(delivery);
        while self.ahead.first() == Some(&(self.floor + 1)) {
            self.ahead.pop_first();
            self.floor += 1;
        }
    }

    /// This many entries are handed out.
    pub(crate) fn handed_out(&mut self, entries: usize) {
        self.out += entries;
    }

    /// Entries handed out and not acked.
    pub(crate) fn out(&self) -> usize {
        self.out
    }

    /// These are done; gives the messages that are done with them. Tags of anything else mean nothing.
    pub(crate) fn ack(&mut self, tags: &[Tag]) -> Acks {
        let mut done = BTreeSet::new();
        for tag in tags {
            let (delivery, bit) = ((tag.0 >> ENTRY_BITS).wrapping_sub(self.base), 1 << (tag.0 % MAX_ENTRIES as u64));
            let Some(entries) = self.open.get_mut(&delivery).filter(|entries| **entries & bit != 0) else { continue };
            *entries &= !bit;
            self.out = self.out.saturating_sub(1);
            if *entries == 0 {
                self.open.remove(&delivery);
                done.insert(delivery);
            }
        }
        // What has not arrived yet, and what is open, must not be acked along.
        let below = self.open.first_key_value().map_or(u64::MAX, |(open, _)| *open).min(self.floor + 1);
        let single = done.split_off(&below);
        Acks { upto: done.last().copied(), single: single.into_iter().collect() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arrive(ledger: &mut Ledger, delivery: u64, entries: usize) -> Vec<Tag> {
        let tags: Vec<_> = ledger.arrived(delivery, entries).collect();
        ledger.handed_out(entries);
        tags
    }

    fn acks(upto: Option<u64>, single: &[u64]) -> Acks {
        Acks { upto, single: single.to_vec() }
    }

    #[test]
    fn a_message_is_done_with_its_last_entry() {
        let mut ledger = Ledger::default();
        let tags = arrive(&mut ledger, 1, 3);
        assert_eq!(ledger.ack(&tags[..2]), acks(None, &[]));
        assert_eq!(ledger.out(), 1);
        assert_eq!(ledger.ack(&tags), acks(Some(1), &[]));
        assert_eq!(ledger.ack(&tags), acks(None, &[]));
        assert_eq!(ledger.out(), 0);
    }

    #[test]
    fn a_full_message_has_a_bit_for_each_entry() {
        let mut ledger = Ledger::default();
        let tags = arrive(&mut ledger, 1, MAX_ENTRIES);
        assert_eq!(ledger.ack(&tags[1..]), acks(None, &[]));
        assert_eq!(ledger.ack(&tags[..1]), acks(Some(1), &[]));
    }

    #[test]
    fn nothing_that_is_open_is_acked_along() {
        let mut ledger = Ledger::default();
        let tags: Vec<_> = (1..=5).flat_map(|n| arrive(&mut ledger, n, 1)).collect();
        assert_eq!(ledger.ack(&[tags[0], tags[1], tags[3]]), acks(Some(2), &[4]));
        assert_eq!(ledger.ack(&[tags[4], tags[2]]), acks(Some(5), &[]));
    }

    #[test]
    fn nothing_that_has_not_arrived_is_acked_along() {
        let mut ledger = Ledger::default();
        let later = arrive(&mut ledger, 3, 1);
        assert_eq!(ledger.ack(&later), acks(None, &[3]));
        let second = arrive(&mut ledger, 2, 1);
        assert_eq!(ledger.ack(&second), acks(None, &[2]));
        ledger.saw(1);
        let fourth = arrive(&mut ledger, 4, 1);
        assert_eq!(ledger.ack(&fourth), acks(Some(4), &[]));
    }

    #[test]
    fn tags_of_an_earlier_channel_ack_nothing() {
        let mut old = Ledger::default();
        let tags: Vec<_> = (1..=2).flat_map(|n| arrive(&mut old, n, 2)).collect();
        let mut new = old.next();
        let fresh = arrive(&mut new, 1, 2);
        assert_eq!(new.ack(&tags), acks(None, &[]));
        assert_eq!(new.ack(&fresh), acks(Some(1), &[]));
    }
}
