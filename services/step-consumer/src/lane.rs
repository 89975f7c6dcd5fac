//! Work for a port, in order, one call at a time, retried in place.

use std::collections::VecDeque;
use std::time::Duration;
use tokio::time::Instant;

const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// Items that wait for one port. While a call is under way new items gather: the next call takes them
/// all, so batches grow with the load and nothing ever waits for a batch to fill.
#[derive(Debug)]
pub(crate) struct Lane<T> {
    waiting: VecDeque<T>,
    busy: bool,
    /// How many at the front are tried one by one, because together they were refused.
    singly: usize,
    failures: u32,
    paused_until: Option<Instant>,
}

impl<T> Default for Lane<T> {
    fn default() -> Self {
        Self { waiting: VecDeque::new(), busy: false, singly: 0, failures: 0, paused_until: None }
    }
}

impl<T> Lane<T> {
    pub(crate) fn push(&mut self, item: T) {
        self.waiting.push_back(item);
    }

    /// Nothing waits and no call is under way.
    pub(crate) fn is_idle(&self) -> bool {
        self.waiting.is_empty() && !self.busy
    }

    /// Items that wait for a call.
    pub(crate) fn len(&self) -> usize {
        self.waiting.len()
    }

    /// The next batch, if a call may be made now. It must come back by [`succeeded`](Self::succeeded),
    /// [`failed`](Self::failed) or [`refused`](Self::refused).
    pub(crate) fn take(&mut self, now: Instant, max: usize) -> Option<Vec<T>> {
        if self.busy || self.waiting.is_empty() || self.paused_until.is_some_and(|until| now < until) {
            return None;
        }
        self.paused_until = None;
        self.busy = true;
        let count = if self.singly > 0 { 1 } else { max.min(self.waiting.len()) };
        Some(self.waiting.drain(..count).collect())
    }

    /// The call succeeded.
    pub(crate) fn succeeded(&mut self) {
        self.busy = false;
        self.failures = 0;
        self.singly = self.singly.saturating_sub(1);
    }

    /// The call failed and may succeed later: the items go back to the front.
    pub(crate) fn failed(&mut self, items: Vec<T>, now: Instant) {
        self.give_back(items);
        self.pause(now);
    }

    /// The call can never succeed with these items. Together they are tried again one by one; a single
    /// one comes back when it was refused often enough, and is then out of the lane.
    pub(crate) fn refused(&mut self, mut items: Vec<T>, now: Instant) -> Option<T> {
        if items.len() == 1 && self.failures >= 3 {
            self.succeeded();
            return items.pop();
        }
        self.singly = self.singly.max(items.len());
        self.failed(items, now);
        None
    }

    /// When a pause ends that something waits behind.
    pub(crate) fn wakes_at(&self) -> Option<Instant> {
        self.paused_until.filter(|_| !self.busy && !self.waiting.is_empty())
    }

    fn give_back(&mut self, items: Vec<T>) {
        items.into_iter().rev().for_each(|item| self.waiting.push_front(item));
        self.busy = false;
    }

    fn pause(&mut self, now: Instant) {
        self.paused_until = Some(now + pause(self.failures));
        self.failures += 1;
    }
}

/// How long to wait after this many failures in a row.
pub(crate) fn pause(failures: u32) -> Duration {
    (FIRST_PAUSE * 2_u32.saturating_pow(failures.min(10))).min(LONGEST_PAUSE)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lane(items: std::ops::Range<u32>) -> Lane<u32> {
        let mut lane = Lane::default();
        items.for_each(|i| lane.push(i));
        lane
    }

    #[tokio::test(start_paused = true)]
    async fn what_gathers_during_a_call_is_the_next_batch() {
        let now = Instant::now();
        let mut lane = lane(0..1);
        assert_eq!(lane.take(now, 10), Some(vec![0]));
        (1..5).for_each(|i| lane.push(i));
        assert_eq!(lane.take(now, 10), None, "one call at a time");
        lane.succeeded();
        assert_eq!(lane.take(now, 3), Some(vec![1, 2, 3]));
        lane.succeeded();
        assert_eq!(lane.take(now, 3), Some(vec![4]));
        assert!(!lane.is_idle());
        lane.succeeded();
        assert!(lane.is_idle());
    }

    #[tokio::test(start_paused = true)]
    async fn a_failure_is_retried_in_place_and_in_order_after_a_growing_pause() {
        let mut now = Instant::now();
        let mut lane = lane(0..3);
        for pause_ms in [50, 100, 200] {
            let batch = lane.take(now, 2).unwrap();
            assert_eq!(batch, [0, 1]);
            lane.failed(batch, now);
            assert_eq!(lane.take(now, 2), None);
            now = lane.wakes_at().unwrap();
            assert_eq!(lane.paused_until, Some(now));
            assert_eq!(pause(lane.failures - 1), Duration::from_millis(pause_ms));
        }
        assert_eq!(pause(30), LONGEST_PAUSE);
    }

    #[tokio::test(start_paused = true)]
    async fn one_bad_item_is_found_and_the_others_go_on() {
        let mut now = Instant::now();
        let mut lane = lane(0..4);
        let (mut good, mut bad) = (Vec::new(), Vec::new());
        while !lane.is_idle() {
            let Some(batch) = lane.take(now, 10) else {
                now = lane.wakes_at().unwrap();
                continue;
            };
            if batch.contains(&2) {
                bad.extend(lane.refused(batch, now));
            } else {
                lane.succeeded();
                good.extend(batch);
            }
        }
        assert_eq!((good, bad), (vec![0, 1, 3], vec![2]));
    }
}
