//! Live channels: what is said now to whoever listens now.

use crate::port::Live;
use async_trait::async_trait;
use bytes::Bytes;
use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use tokio::sync::broadcast::{self, error::RecvError};

/// Messages that a subscriber may lag behind before it loses the oldest. With messages of a few KiB at
/// most (a sequence number, 4 KiB of text) that bounds a channel to about 1 MiB, whoever sleeps.
pub const LIVE_BUFFER: usize = 256;

type Channels = BTreeMap<String, broadcast::Sender<Bytes>>;

#[derive(Debug, Default)]
pub(super) struct Fanout {
    channels: RwLock<Channels>,
}

impl Fanout {
    /// Without a subscriber: one look-up, nothing allocated.
    pub(super) fn publish(&self, channel: &str, message: Bytes) {
        let Some(sender) = self.read().get(channel).cloned() else {
            return;
        };
        // The lock is released: a woken subscriber may want it. An error says that the last one left.
        let _ = sender.send(message);
    }

    pub(super) fn subscribe(self: &Arc<Self>, channel: &str) -> MemoryLive {
        let mut channels = self.write();
        let receiver = match channels.get(channel) {
            Some(sender) => sender.subscribe(),
            None => {
                let (sender, receiver) = broadcast::channel(LIVE_BUFFER);
                channels.insert(channel.to_owned(), sender);
                receiver
            }
        };
        MemoryLive { fanout: Arc::clone(self), channel: channel.to_owned(), receiver: Some(receiver) }
    }

    pub(super) fn end(&self) {
        // Dropped after the lock: the subscribers' wakers run in there.
        let ended = std::mem::take(&mut *self.write());
        drop(ended);
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.read().len()
    }

    fn read(&self) -> RwLockReadGuard<'_, Channels> {
        self.channels.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Channels> {
        self.channels.write().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A subscription. Dropping the last one of a channel removes the channel.
#[derive(Debug)]
pub(super) struct MemoryLive {
    fanout: Arc<Fanout>,
    channel: String,
    /// `None` only while dropping.
    receiver: Option<broadcast::Receiver<Bytes>>,
}

#[async_trait]
impl Live for MemoryLive {
    async fn next(&mut self) -> Option<Bytes> {
        let receiver = self.receiver.as_mut()?;
        loop {
            match receiver.recv().await {
                Ok(message) => return Some(message),
                Err(RecvError::Lagged(_)) => {}
                Err(RecvError::Closed) => return None,
            }
        }
    }
}

impl Drop for MemoryLive {
    fn drop(&mut self) {
        let mut channels = self.fanout.write();
        self.receiver = None;
        if channels.get(&self.channel).is_some_and(|sender| sender.receiver_count() == 0) {
            channels.remove(&self.channel);
        }
    }
}
