//! Live channels: what is said now to whoever listens now.

use crate::mailbox::Mailbox;
use crate::port::Live;
use async_trait::async_trait;
use bytes::Bytes;
use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

type Channels = BTreeMap<String, Vec<Arc<Mailbox>>>;

#[derive(Debug, Default)]
pub(super) struct Fanout {
    channels: RwLock<Channels>,
}

impl Fanout {
    /// Without a subscriber: one look-up, nothing allocated.
    pub(super) fn publish(&self, channel: &str, message: Bytes) {
        let Some(listening) = self.read().get(channel).cloned() else {
            return;
        };
        // The lock is released: a woken subscriber may want it.
        for mailbox in listening {
            mailbox.put(message.clone());
        }
    }

    pub(super) fn subscribe(self: &Arc<Self>, channel: &str) -> MemoryLive {
        let mailbox = Arc::new(Mailbox::default());
        self.write().entry(channel.to_owned()).or_default().push(Arc::clone(&mailbox));
        MemoryLive { fanout: Arc::clone(self), channel: channel.to_owned(), mailbox }
    }

    pub(super) fn end(&self) {
        // After the lock: the subscribers' wakers run in there.
        let ended = std::mem::take(&mut *self.write());
        ended.into_values().flatten().for_each(|mailbox| mailbox.close());
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
    mailbox: Arc<Mailbox>,
}

#[async_trait]
impl Live for MemoryLive {
    async fn next(&mut self) -> Option<Bytes> {
        self.mailbox.next().await
    }
}

impl Drop for MemoryLive {
    fn drop(&mut self) {
        let mut channels = self.fanout.write();
        if let Some(listening) = channels.get_mut(&self.channel) {
            listening.retain(|other| !Arc::ptr_eq(other, &self.mailbox));
            if listening.is_empty() {
                channels.remove(&self.channel);
            }
        }
    }
}
