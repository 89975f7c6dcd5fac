//! Where a stream and the thread that fetches for it meet.

use crate::error::Error;
use crate::lane::Lane;
use crate::part::Part;
use aidt_domain::Timestamp;
use bytes::Bytes;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::Thread;
use tokio::sync::{Notify, watch};

/// Fetched messages that nobody took, at most; then fetching pauses until few are left.
const MANY: usize = 4_096;
const FEW: usize = 512;
/// The same in bytes.
const MANY_BYTES: usize = 16 << 20;

/// A message as it was fetched.
#[derive(Debug)]
pub(crate) struct Message {
    pub(crate) partition: i32,
    pub(crate) offset: i64,
    pub(crate) body: Bytes,
    pub(crate) published_at: Option<Timestamp>,
    pub(crate) doubtful: bool,
    /// No message but a nudge.
    pub(crate) nudge: bool,
}

/// Which life of which topic a stream is of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Origin {
    pub(crate) topic: String,
    pub(crate) marker: i64,
}

/// What was fetched and not taken, and what is acked.
#[derive(Debug)]
pub(crate) struct Desk {
    origin: Origin,
    state: Mutex<State>,
    arrived: Notify,
    pump: OnceLock<Thread>,
    /// The thread that fetches has ended, and what was acked is committed.
    left: watch::Sender<bool>,
}

#[derive(Debug, Default)]
struct State {
    lanes: BTreeMap<i32, Lane>,
    ready: VecDeque<Message>,
    ready_bytes: usize,
    nudged: BTreeSet<i32>,
    /// Partitions whose watermark moved.
    moved: BTreeSet<i32>,
    /// Watermarks that the broker was told of and is not known to know.
    told: BTreeMap<i32, i64>,
    /// Below here everything is acked and may be deleted: what was told of last.
    trimmed: BTreeMap<i32, i64>,
    /// To be read from now on, as told last; `None`: nothing yet.
    part: Option<Part>,
    /// The thread has not heard of it.
    part_changed: bool,
    paused: bool,
    closing: bool,
    ended: Option<Ended>,
}

#[derive(Clone, Debug)]
enum Ended {
    Closed,
    Gone(String),
}

impl Desk {
    pub(crate) fn new(origin: Origin) -> Self {
        let (state, arrived, pump) = (Mutex::default(), Notify::new(), OnceLock::new());
        Self { origin, state, arrived, pump, left: watch::Sender::new(false) }
    }

    pub(crate) fn origin(&self) -> &Origin {
        &self.origin
    }

    /// Until something may be there. Cancel safe; for one waiter.
    pub(crate) async fn arrived(&self) {
        self.arrived.notified().await;
    }

    /// Takes at most `max` messages, and the partitions that were nudged.
    pub(crate) fn take(&self, max: usize) -> Result<(Vec<Message>, Vec<i32>), Error> {
        let mut state = self.state();
        match &state.ended {
            Some(Ended::Closed) => return Err(Error::Closed),
            Some(Ended::Gone(why)) => return Err(Error::Gone(why.clone())),
            None => {}
        }
        let count = max.min(state.ready.len());
        let taken: Vec<Message> = state.ready.drain(..count).collect();
        state.ready_bytes -= taken.iter().map(|m| m.body.len()).sum::<usize>();
        let nudged = std::mem::take(&mut state.nudged).into_iter().collect();
        let go_on = state.paused && state.ready.len() <= FEW;
        drop(state);
        if go_on {
            self.wake_pump();
        }
        Ok((taken, nudged))
    }

    /// Reads this part from now on.
    pub(crate) fn read(&self, part: Part) {
        let mut state = self.state();
        if state.part.as_ref() == Some(&part) {
            return;
        }
        (state.part, state.part_changed) = (Some(part), true);
        drop(state);
        self.wake_pump();
    }

    /// Whoever was told of nobody else reads everything.
    pub(crate) fn read_something(&self) {
        let told = self.state().part.is_some();
        if !told {
            self.read(Part::All);
        }
    }

    /// Done with these. What is no longer assigned is nobody's business here any more.
    pub(crate) fn ack(&self, done: impl Iterator<Item = (i32, i64)>) {
        let mut state = self.state();
        let State { lanes, moved, .. } = &mut *state;
        for (partition, offset) in done {
            if lanes.get_mut(&partition).is_some_and(|lane| lane.ack(offset)) {
                moved.insert(partition);
            }
        }
    }

    /// Where to read on, by partition.
    pub(crate) fn watermarks(&self) -> Vec<(i32, i64)> {
        self.state().lanes.iter().filter_map(|(p, lane)| Some((*p, lane.watermark()?))).collect()
    }

    /// Partitions with many messages that are acked and still there, and up to where they are.
    pub(crate) fn to_trim(&self, many: i64) -> Vec<(i32, i64)> {
        let marks = self.watermarks();
        let state = self.state();
        let last = |p: &i32| state.trimmed.get(p).copied().unwrap_or(0);
        marks.into_iter().filter(|(p, mark)| mark - last(p) >= many).collect()
    }

    pub(crate) fn trimmed(&self, marks: &[(i32, i64)]) {
        self.state().trimmed.extend(marks.iter().copied());
    }

    /// The stream is dropped: the thread gives back what it holds and ends.
    pub(crate) fn close(&self) {
        self.state().closing = true;
        self.wake_pump();
    }

    /// Until a desk that is closed has left nothing undone. Cancel safe.
    pub(crate) async fn left(&self) {
        // Its sender is part of this.
        let _ = self.left.subscribe().wait_for(|left| *left).await;
    }

    /// The queue is closed.
    pub(crate) fn shut(&self) {
        self.end(Ended::Closed);
    }

    /// The stream is of something that is no more.
    pub(crate) fn gone(&self, why: impl Into<String>) {
        self.end(Ended::Gone(why.into()));
    }

    fn end(&self, why: Ended) {
        self.state().ended.get_or_insert(why);
        self.arrived.notify_one();
    }

    fn wake_pump(&self) {
        if let Some(pump) = self.pump.get() {
            pump.unpark();
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // A panic of another holder leaves nothing half done: each critical section only moves messages.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What the fetching thread does.
impl Desk {
    pub(crate) fn pumped_by(&self, thread: Thread) {
        // Set once, by the thread that was made for this desk.
        let _ = self.pump.set(thread);
    }

    pub(crate) fn is_closing(&self) -> bool {
        self.state().closing
    }

    pub(crate) fn set_left(&self) {
        self.left.send_replace(true);
    }

    /// What is to be read, if that has changed since this was asked last.
    pub(crate) fn take_part(&self) -> Option<Part> {
        let mut state = self.state();
        if !std::mem::take(&mut state.part_changed) {
            return None;
        }
        state.part.clone()
    }

    /// Partitions to read from now on: where, if that is known, and where they ended then.
    pub(crate) fn assign(&self, partitions: impl Iterator<Item = (i32, Option<i64>, Option<i64>)>) {
        let mut state = self.state();
        for (partition, start, end) in partitions {
            state.lanes.insert(partition, Lane::new(start, end));
            state.trimmed.insert(partition, start.unwrap_or(0));
        }
    }

    /// Partitions that are another's from now on. Their watermarks that the broker is not known to know.
    pub(crate) fn revoke(&self, partitions: &BTreeSet<i32>) -> Vec<(i32, i64)> {
        let mut state = self.state();
        let owed = partitions.iter().filter(|p| state.moved.contains(p) || state.told.contains_key(p));
        let marks = owed.filter_map(|p| Some((*p, state.lanes.get(p)?.watermark()?))).collect();
        state.moved.retain(|p| !partitions.contains(p));
        state.lanes.retain(|p, _| !partitions.contains(p));
        state.told.retain(|p, _| !partitions.contains(p));
        state.ready.retain(|m| !partitions.contains(&m.partition));
        state.ready_bytes = state.ready.iter().map(|m| m.body.len()).sum();
        marks
    }

    /// Puts messages there for the stream; leaves the batch empty.
    pub(crate) fn arrive(&self, batch: &mut Vec<Message>) {
        let mut state = self.state();
        let mut back = false;
        for mut message in batch.drain(..) {
            // Fetched before it was revoked: it is another's.
            let Some(lane) = state.lanes.get_mut(&message.partition) else { continue };
            if !lane.arrive(message.offset) {
                back = true;
                break;
            }
            let old = lane.is_old(message.offset);
            if message.nudge {
                lane.ack(message.offset);
                state.moved.insert(message.partition);
                if !old {
                    state.nudged.insert(message.partition);
                }
                continue;
            }
            message.doubtful |= old;
            state.ready_bytes += message.body.len();
            state.ready.push_back(message);
        }
        drop(state);
        if back {
            self.gone("the topic's offsets went back");
        }
        self.arrived.notify_one();
    }

    /// Watermarks that moved since this was asked last.
    pub(crate) fn take_moved(&self) -> Vec<(i32, i64)> {
        let mut state = self.state();
        let State { lanes, moved, told, .. } = &mut *state;
        let moved = std::mem::take(moved);
        let marks: Vec<_> = moved.into_iter().filter_map(|p| Some((p, lanes.get(&p)?.watermark()?))).collect();
        told.extend(marks.iter().copied());
        marks
    }

    /// Partitions whose watermarks the broker was told of and is not known to know.
    pub(crate) fn told(&self) -> BTreeSet<i32> {
        self.state().told.keys().copied().collect()
    }

    /// What the broker knows of those: what it lacks is told again.
    pub(crate) fn confirm(&self, known: impl Iterator<Item = (i32, i64)>) {
        let mut state = self.state();
        let State { lanes, moved, told, .. } = &mut *state;
        for (partition, mark) in known {
            if told.remove(&partition).is_some_and(|told| told > mark) && lanes.contains_key(&partition) {
                moved.insert(partition);
            }
        }
    }

    /// Whether to pause now (`true`) or to go on (`false`), when that changes, and with which partitions.
    pub(crate) fn change_pace(&self) -> Option<(bool, Vec<i32>)> {
        let mut state = self.state();
        let full = state.ready.len() >= MANY || state.ready_bytes >= MANY_BYTES;
        let pause = if state.paused { full || state.ready.len() > FEW } else { full };
        // Paused again also while paused: partitions may have been assigned since.
        if pause == state.paused && !(pause && full) {
            return None;
        }
        state.paused = pause;
        Some((pause, state.lanes.keys().copied().collect()))
    }

    /// Partitions of which it is not known where they ended.
    pub(crate) fn endless(&self) -> Vec<i32> {
        self.state().lanes.iter().filter(|(_, lane)| !lane.knows_end()).map(|(p, _)| *p).collect()
    }

    pub(crate) fn set_ends(&self, ends: &BTreeMap<i32, i64>) {
        let mut state = self.state();
        for (partition, end) in ends {
            if let Some(lane) = state.lanes.get_mut(partition).filter(|lane| !lane.knows_end()) {
                lane.set_end(*end);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(offset: i64) -> Message {
        let (body, published_at) = (Bytes::new(), None);
        Message { partition: 3, offset, body, published_at, doubtful: false, nudge: false }
    }

    fn desk_with(messages: std::ops::Range<i64>) -> Desk {
        let desk = Desk::new(Origin { topic: "t".to_owned(), marker: 1 });
        desk.assign([(3, None, Some(0))].into_iter());
        desk.arrive(&mut messages.map(message).collect());
        desk
    }

    #[test]
    fn what_was_acked_is_told_of_when_a_partition_goes_and_later_acks_move_nothing() {
        let desk = desk_with(10..15);
        let (taken, _) = desk.take(3).unwrap();
        desk.ack([(3, 10)].into_iter());
        assert_eq!(desk.revoke(&[3].into()), [(3, 11)]);
        desk.ack(taken.iter().map(|m| (m.partition, m.offset)));
        desk.confirm([(3, -1)].into_iter());
        assert_eq!((desk.take_moved(), desk.watermarks()), (vec![], vec![]), "they are another's to tell of");
        assert!(desk.take(3).unwrap().0.is_empty(), "what nobody took is another's, too");
        assert_eq!(desk.revoke(&[3].into()), []);
    }

    #[test]
    fn a_partition_that_comes_back_begins_anew_and_acks_of_before_count() {
        let desk = desk_with(10..15);
        desk.take(5).unwrap();
        desk.revoke(&[3].into());
        desk.assign([(3, None, Some(15))].into_iter());
        desk.arrive(&mut (10..16).map(message).collect());
        let doubtful: Vec<bool> = desk.take(9).unwrap().0.iter().map(|m| m.doubtful).collect();
        assert_eq!(doubtful, [true, true, true, true, true, false]);
        desk.ack([(3, 10), (3, 11)].into_iter());
        assert_eq!(desk.take_moved(), [(3, 12)]);
    }

    #[test]
    fn what_was_not_committed_is_told_of_again() {
        let desk = desk_with(10..15);
        desk.ack([(3, 10)].into_iter());
        assert_eq!(desk.take_moved(), [(3, 11)]);
        assert_eq!(desk.take_moved(), []);
        desk.confirm([(3, -1), (4, -1)].into_iter());
        assert_eq!(desk.take_moved(), [(3, 11)], "nothing was committed");
        desk.ack([(3, 11)].into_iter());
        assert_eq!(desk.take_moved(), [(3, 12)]);
        desk.confirm([(3, 12)].into_iter());
        assert_eq!((desk.take_moved(), desk.told()), (vec![], BTreeSet::new()));
        assert_eq!(desk.revoke(&[3].into()), [], "nothing is owed");
    }

    #[test]
    fn what_was_told_and_may_not_be_known_is_told_of_once_more_when_a_partition_goes() {
        let desk = desk_with(10..15);
        desk.ack([(3, 10)].into_iter());
        assert_eq!(desk.take_moved(), [(3, 11)]);
        assert_eq!(desk.revoke(&[3].into()), [(3, 11)]);
    }
}
