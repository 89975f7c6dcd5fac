//! What of one Kafka partition was fetched, and up to where it is acked.

use std::collections::VecDeque;

/// A partition that is read.
#[derive(Debug)]
pub(crate) struct Lane {
    /// What lies below this was there before this stream was: somebody may have had it. `None`: not known.
    end: Option<i64>,
    /// Fetched from the lowest that is not acked on; acked ones stay until all below them are.
    window: VecDeque<(i64, bool)>,
    /// The offset after the last that was fetched.
    next: Option<i64>,
}

impl Lane {
    /// A partition that ended at `end` when it was assigned, to be read from `start`, if that is known.
    pub(crate) fn new(start: Option<i64>, end: Option<i64>) -> Self {
        Self { end, window: VecDeque::new(), next: start }
    }

    /// Was this there before the stream was?
    pub(crate) fn is_old(&self, offset: i64) -> bool {
        self.end.is_none_or(|end| offset < end)
    }

    pub(crate) fn knows_end(&self) -> bool {
        self.end.is_some()
    }

    pub(crate) fn set_end(&mut self, end: i64) {
        self.end = Some(end);
    }

    /// A message was fetched. `false`: offsets went back, so this is another topic.
    pub(crate) fn arrive(&mut self, offset: i64) -> bool {
        if self.next.is_some_and(|next| offset < next) {
            return false;
        }
        self.window.push_back((offset, false));
        self.next = Some(offset + 1);
        true
    }

    /// A message is done with. `true`: the watermark has moved.
    pub(crate) fn ack(&mut self, offset: i64) -> bool {
        let Ok(at) = self.window.binary_search_by_key(&offset, |(o, _)| *o) else { return false };
        self.window[at].1 = true;
        let mut moved = false;
        while self.window.front().is_some_and(|(_, acked)| *acked) {
            self.window.pop_front();
            moved = true;
        }
        moved
    }

    /// Everything below is acked: where to read on. `None`: nothing was fetched yet.
    pub(crate) fn watermark(&self) -> Option<i64> {
        self.window.front().map(|(offset, _)| *offset).or(self.next)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_watermark_stays_below_what_is_not_acked() {
        let mut lane = Lane::new(None, Some(0));
        assert_eq!(lane.watermark(), None);
        assert!((10..15).all(|offset| lane.arrive(offset)));
        assert!(!lane.ack(12), "10 is not acked");
        assert!(!lane.ack(14));
        assert_eq!(lane.watermark(), Some(10));
        assert!(lane.ack(10));
        assert_eq!(lane.watermark(), Some(11));
        assert!(lane.ack(11));
        assert_eq!(lane.watermark(), Some(13), "12 was acked before");
        assert!(lane.ack(13));
        assert_eq!(lane.watermark(), Some(15));
    }

    #[test]
    fn acking_twice_or_what_never_came_changes_nothing() {
        let mut lane = Lane::new(Some(3), Some(3));
        assert!(lane.arrive(3) && lane.arrive(7), "offsets may have gaps");
        assert!(!lane.ack(5) && !lane.ack(2) && !lane.ack(8));
        assert!(lane.ack(3));
        assert!(!lane.ack(3));
        assert_eq!(lane.watermark(), Some(7));
    }

    #[test]
    fn offsets_that_go_back_are_those_of_another_topic() {
        let mut lane = Lane::new(Some(5), Some(9));
        assert!(!lane.arrive(4));
        assert!(lane.arrive(5) && lane.arrive(6));
        assert!(!lane.arrive(6));
        assert_eq!(lane.watermark(), Some(5));
    }

    #[test]
    fn what_was_there_before_is_old() {
        let mut lane = Lane::new(None, None);
        assert!(lane.is_old(1_000), "not known is old");
        lane.set_end(7);
        assert!(lane.is_old(6) && !lane.is_old(7));
    }
}
