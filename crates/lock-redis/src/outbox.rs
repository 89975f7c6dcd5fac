//! Publishing: callers leave messages here and go on; one task sends what has gathered as one pipeline.

use crate::link::{Link, Up};
use bytes::Bytes;
use redis::RedisResult;
use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use tokio::sync::{Notify, watch};

/// Bytes of messages and channels that may wait for being sent. More are refused: they are hints, and
/// Redis does not keep up.
pub const OUTBOX_BYTES: usize = 16 * 1024 * 1024;

/// What one pipeline carries at most, so that a lease does not wait long behind it.
const PIPELINE: (usize, usize) = (1024, 1024 * 1024);

#[derive(Default)]
pub(crate) struct Outbox {
    waiting: Mutex<Waiting>,
    added: Notify,
    /// How many messages have left: sent or given up.
    left: watch::Sender<u64>,
}

#[derive(Default)]
struct Waiting {
    messages: VecDeque<(Vec<u8>, Bytes)>,
    bytes: usize,
    /// How many messages were ever added.
    added: u64,
}

impl Outbox {
    /// `false` if it is full.
    pub(crate) fn add(&self, channel: Vec<u8>, message: Bytes) -> bool {
        let size = channel.len() + message.len();
        {
            let mut waiting = self.waiting();
            if waiting.bytes + size > OUTBOX_BYTES {
                return false;
            }
            waiting.bytes += size;
            waiting.added += 1;
            waiting.messages.push_back((channel, message));
        }
        self.added.notify_one();
        true
    }

    /// Returns when all that was added before has left. Cancel safe.
    pub(crate) async fn flushed(&self) {
        let added = self.waiting().added;
        // The sender is a field of this: it cannot be gone.
        let _ = self.left.subscribe().wait_for(|left| *left >= added).await;
    }

    /// Sends, for as long as it is polled. What cannot be sent is dropped: it is of now, not of later.
    pub(crate) async fn send(&self, link: Link) {
        let mut failing = false;
        loop {
            let batch = self.take();
            if batch.is_empty() {
                self.added.notified().await;
                continue;
            }
            let sent = match link.get() {
                Ok(mut up) => {
                    let sent = publish(&mut up, &batch).await;
                    if let Err(error) = &sent
                        && (error.is_unrecoverable_error() || error.is_timeout())
                    {
                        link.give_up(up.generation, error.clone());
                    }
                    sent.map_err(Some)
                }
                Err(down) => Err(down.0),
            };
            if let (Err(error), false) = (&sent, failing) {
                let error = error.as_ref().map(|e| e as &dyn std::error::Error);
                tracing::warn!(error, "cannot publish; who listens has to look by itself");
            }
            failing = sent.is_err();
            self.left.send_modify(|left| *left += batch.len() as u64);
        }
    }

    fn take(&self) -> Vec<(Vec<u8>, Bytes)> {
        let mut waiting = self.waiting();
        let (mut batch, mut bytes) = (Vec::new(), 0);
        while batch.len() < PIPELINE.0 && bytes < PIPELINE.1 {
            let Some((channel, message)) = waiting.messages.pop_front() else { break };
            bytes += channel.len() + message.len();
            batch.push((channel, message));
        }
        waiting.bytes -= bytes;
        batch
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn publish(up: &mut Up, batch: &[(Vec<u8>, Bytes)]) -> RedisResult<()> {
    let mut pipeline = redis::Pipeline::with_capacity(batch.len());
    for (channel, message) in batch {
        pipeline.cmd("PUBLISH").arg(channel.as_slice()).arg(message.as_ref()).ignore();
    }
    pipeline.query_async(&mut up.connection).await
}
