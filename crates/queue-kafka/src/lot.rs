//! Where a pool's steps go.
//!
//! The port gives bytes only, so steps go to partitions in turn. Each partition of a batch costs a request of
//! its own, which is most of what a message costs; but what shares a partition shares a consumer. So where
//! steps are few they go one by one, to find whoever is free; where they are many, and so short, they go in
//! bulk.

use std::sync::{Arc, Mutex, PoisonError};
use tokio::time::Instant;

/// Steps a second that are many, and how many may come at once before they are.
const MANY: f64 = 1_000.0;
const AT_ONCE: f64 = 256.0;
/// In bulk this many share a partition.
const BULK: usize = 64;

/// A pool's topic, and whose turn it is.
#[derive(Debug)]
pub(crate) struct Lot {
    topic: Arc<str>,
    partitions: i32,
    turn: Mutex<Turn>,
}

#[derive(Debug)]
struct Turn {
    next: i32,
    /// Steps of late: a bucket that leaks as many as are not yet many.
    level: f64,
    at: Option<Instant>,
}

impl Lot {
    /// `seed` says where to begin, so that not every process begins at the same partition.
    pub(crate) fn new(topic: Arc<str>, partitions: i32, seed: i64) -> Self {
        let next = i32::try_from(seed.rem_euclid(i64::from(partitions))).unwrap_or_default();
        Self { topic, partitions, turn: Mutex::new(Turn { next, level: 0.0, at: None }) }
    }

    pub(crate) fn topic(&self) -> &Arc<str> {
        &self.topic
    }

    /// Partitions for so many messages.
    pub(crate) fn spread(&self, count: usize, now: Instant) -> impl Iterator<Item = i32> + use<> {
        let mut turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        let passed = turn.at.map_or(0.0, |at| now.saturating_duration_since(at).as_secs_f64());
        let busy = (turn.level - passed * MANY).max(0.0);
        (turn.level, turn.at) = (busy + count as f64, Some(now));
        let least = if busy > AT_ONCE { BULK } else { 1 };
        // A bucket that is very full would say "many" for long after.
        turn.level = turn.level.min(2.0 * AT_ONCE);
        let partitions = self.partitions;
        let chunk = count.div_ceil(2 * usize::try_from(partitions).unwrap_or(1)).max(least);
        let first = turn.next;
        let chunks = i32::try_from(count.div_ceil(chunk)).unwrap_or_default();
        turn.next = (first + chunks.rem_euclid(partitions)).rem_euclid(partitions);
        (0..count).map(move |n| (first + i32::try_from(n / chunk).unwrap_or_default()) % partitions)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::{BTreeMap, BTreeSet};
    use std::time::Duration;

    fn lot(partitions: i32) -> Lot {
        Lot::new("t".into(), partitions, i64::MAX)
    }

    #[test]
    fn a_batch_spreads_evenly_whatever_the_number_of_partitions() {
        for partitions in [1, 2, 7, 14, 16, 21] {
            let (lot, mut now, mut count) = (lot(partitions), Instant::now(), BTreeMap::new());
            for size in [1, 3, 16, 100, 1_000] {
                now += Duration::from_secs(1);
                for to in lot.spread(size, now) {
                    assert!((0..partitions).contains(&to));
                    *count.entry(to).or_insert(0) += 1;
                }
            }
            assert_eq!(count.len(), usize::try_from(partitions).unwrap());
            let (least, most) = (count.values().min().unwrap(), count.values().max().unwrap());
            assert!(most - least <= 40, "{count:?}");
        }
    }

    #[test]
    fn few_steps_find_as_many_partitions_as_they_are() {
        let to: BTreeSet<_> = lot(16).spread(16, Instant::now()).collect();
        assert_eq!(to.len(), 16);
    }

    #[test]
    fn many_steps_go_in_bulk_until_they_are_few_again() {
        let (lot, now) = (lot(16), Instant::now());
        let partitions = |ms, count| lot.spread(count, now + Duration::from_millis(ms)).collect::<BTreeSet<_>>().len();
        assert_eq!(partitions(0, 300), 16, "a burst is not yet many");
        assert_eq!(partitions(10, 256), 4);
        assert_eq!(partitions(20, 16), 1);
        assert_eq!(partitions(21, 16), 1);
        assert_eq!(partitions(1_021, 16), 16);
    }

    #[test]
    fn bulks_take_turns() {
        let (lot, now) = (lot(16), Instant::now());
        lot.spread(1_000, now).for_each(drop);
        let to: BTreeSet<_> = (0..16).flat_map(|_| lot.spread(8, now)).collect();
        assert_eq!(to.len(), 16);
    }
}
