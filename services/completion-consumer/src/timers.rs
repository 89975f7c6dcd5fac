//! What is due when, of one partition. Timer rows are kept in memory up to a horizon.

use aidt_domain::{RunId, StepIx, Timestamp};
use aidt_store::TimerRow;
use std::collections::{BTreeMap, BTreeSet};

type Key = (RunId, Option<StepIx>);

/// Timers of one partition.
#[derive(Debug, Default)]
pub(crate) struct Timers {
    /// Rows that are due before the horizon.
    due: BTreeSet<(Timestamp, Key)>,
    at: BTreeMap<Key, Timestamp>,
    /// Rows due up to here are in memory.
    horizon: Timestamp,
}

impl Timers {
    /// Takes in what the store has up to `horizon`.
    pub(crate) fn refill(&mut self, rows: Vec<TimerRow>, horizon: Timestamp) {
        self.horizon = horizon;
        for row in rows {
            // Whatever the horizon: more rows of one instant than fit a piece put it before them all.
            self.keep((row.run, row.step), row.at);
        }
    }

    /// Nothing in memory is due, though there may be rows that are.
    pub(crate) fn is_behind(&self, now: Timestamp) -> bool {
        self.horizon < now && self.due.first().is_none_or(|(at, _)| *at > now)
    }

    fn keep(&mut self, key: Key, at: Timestamp) {
        self.clear(key);
        self.due.insert((at, key));
        self.at.insert(key, at);
    }

    pub(crate) fn horizon(&self) -> Timestamp {
        self.horizon
    }

    pub(crate) fn set(&mut self, key: Key, at: Timestamp) {
        self.clear(key);
        if at <= self.horizon {
            self.keep(key, at);
        }
    }

    pub(crate) fn clear(&mut self, key: Key) {
        if let Some(at) = self.at.remove(&key) {
            self.due.remove(&(at, key));
        }
    }

    /// When the next one is due.
    pub(crate) fn next(&self) -> Option<Timestamp> {
        self.due.first().map(|(at, _)| *at)
    }

    /// Takes the rows that are due, at most `max`.
    pub(crate) fn take_due(&mut self, now: Timestamp, max: usize) -> Vec<Key> {
        let mut taken = Vec::new();
        while taken.len() < max
            && let Some(&(at, key)) = self.due.first()
            && at <= now
        {
            self.clear(key);
            taken.push(key);
        }
        taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    #[test]
    fn a_later_word_replaces_an_earlier_one_and_the_horizon_bounds_memory() {
        let mut timers = Timers::default();
        timers.refill(vec![], Timestamp(100));
        let key = (RunId(Uuid::nil()), None);
        timers.set(key, Timestamp(10));
        timers.set(key, Timestamp(20));
        assert_eq!(timers.take_due(Timestamp(15), 9), []);
        assert_eq!(timers.next(), Some(Timestamp(20)));
        timers.set(key, Timestamp(101));
        assert_eq!(timers.next(), None);
        assert!(timers.is_behind(Timestamp(101)) && !timers.is_behind(Timestamp(100)));
        let rows = vec![TimerRow { at: Timestamp(200), run: key.0, step: None }];
        timers.refill(rows, Timestamp(199));
        assert_eq!(timers.take_due(Timestamp(200), 9), [key]);
    }
}
