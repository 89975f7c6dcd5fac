//! What waits for one subscriber, within bounds.

use bytes::Bytes;
use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;

/// Messages that a subscriber may lag behind before it loses the oldest.
pub const LIVE_BUFFER: usize = 256;

/// Bytes that it may lag behind: with more than one message waiting, the oldest go.
pub const LIVE_BYTES: usize = 4 * 1024 * 1024;

/// Messages that wait for one subscriber. Most are read at once: nothing is allocated before it lags.
#[derive(Debug, Default)]
pub struct Mailbox {
    letters: Mutex<Letters>,
    arrived: Notify,
}

#[derive(Debug, Default)]
struct Letters {
    waiting: VecDeque<Bytes>,
    bytes: usize,
    closed: bool,
}

impl Mailbox {
    /// Leaves a message; the oldest go when too many wait.
    pub fn put(&self, message: Bytes) {
        {
            let mut letters = self.letters();
            letters.bytes += message.len();
            letters.waiting.push_back(message);
            while letters.waiting.len() > LIVE_BUFFER || letters.bytes > LIVE_BYTES && letters.waiting.len() > 1 {
                let lost = letters.waiting.pop_front().map_or(0, |m| m.len());
                letters.bytes -= lost;
            }
        }
        self.arrived.notify_one();
    }

    /// No more messages will come.
    pub fn close(&self) {
        self.letters().closed = true;
        self.arrived.notify_one();
    }

    /// The next message; `None` when it was closed and there are no more. Cancel safe, for one reader.
    pub async fn next(&self) -> Option<Bytes> {
        loop {
            {
                let mut letters = self.letters();
                if let Some(message) = letters.waiting.pop_front() {
                    letters.bytes -= message.len();
                    return Some(message);
                }
                if letters.closed {
                    return None;
                }
            }
            self.arrived.notified().await;
        }
    }

    fn letters(&self) -> MutexGuard<'_, Letters> {
        self.letters.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
