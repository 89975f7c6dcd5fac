//! Who listens to what, and handing each their messages. No I/O: [`crate::live`] tells Redis.

use aidt_lock::{Live, Mailbox};
use async_trait::async_trait;
use bytes::Bytes;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::{Notify, oneshot};

/// Subscriptions by channel, whatever the state of the connection.
#[derive(Default)]
pub(crate) struct Fanout {
    channels: Mutex<Channels>,
    /// Wakes the task that tells Redis.
    changed: Notify,
}

#[derive(Default)]
struct Channels {
    by_name: BTreeMap<Arc<str>, Channel>,
    /// The connection whose words count; 0 is none.
    generation: u64,
    /// To be subscribed.
    joining: BTreeSet<Arc<str>>,
    /// To be unsubscribed, unless somebody came meanwhile.
    leaving: BTreeSet<Arc<str>>,
}

#[derive(Default)]
struct Channel {
    listening: Vec<Arc<Mailbox>>,
    /// Who came since Redis was last asked.
    waiting: Vec<Waiter>,
    /// For whom Redis has been asked, and has yet to confirm.
    asked: Vec<Waiter>,
}

struct Waiter {
    mailbox: Arc<Mailbox>,
    confirmed: oneshot::Sender<()>,
}

impl Channel {
    fn is_unused(&self) -> bool {
        self.listening.is_empty() && self.waiting.is_empty() && self.asked.is_empty()
    }
}

/// What Redis has to be told.
#[derive(Default)]
pub(crate) struct Changes {
    pub(crate) join: Vec<Arc<str>>,
    pub(crate) leave: Vec<Arc<str>>,
}

impl Fanout {
    /// Asks for a subscription: the receiver resolves when Redis has confirmed it, and fails when the
    /// connection broke before. `None` without a connection.
    pub(crate) fn subscribe(self: &Arc<Self>, name: &str) -> Option<(Subscription, oneshot::Receiver<()>)> {
        let mailbox = Arc::new(Mailbox::default());
        let (confirmed, receiver) = oneshot::channel();
        let name: Arc<str> = name.into();
        {
            let mut channels = self.channels();
            if channels.generation == 0 {
                return None;
            }
            let channel = channels.by_name.entry(name.clone()).or_default();
            channel.waiting.push(Waiter { mailbox: mailbox.clone(), confirmed });
            channels.joining.insert(name.clone());
        }
        self.changed.notify_one();
        Some((Subscription { fanout: self.clone(), name, mailbox }, receiver))
    }

    /// A new connection, which has no subscriptions yet: all are to be made.
    pub(crate) fn connected(&self, generation: u64) {
        {
            let mut channels = self.channels();
            channels.generation = generation;
            channels.leaving.clear();
            channels.joining = channels.by_name.keys().cloned().collect();
        }
        self.changed.notify_one();
    }

    /// Who waits for a confirmation will not get it. Who listens goes on listening.
    pub(crate) fn disconnected(&self) {
        let mut failed = Vec::new();
        let mut channels = self.channels();
        channels.generation = 0;
        channels.joining.clear();
        channels.leaving.clear();
        channels.by_name.retain(|_, channel| {
            failed.append(&mut channel.waiting);
            failed.append(&mut channel.asked);
            !channel.is_unused()
        });
        drop(channels);
        // Their wakers run outside the lock.
        drop(failed);
    }

    /// What there is to tell Redis, when there is something. Cancel safe.
    pub(crate) async fn changes(&self) -> Changes {
        loop {
            let changes = self.take_changes();
            if !changes.join.is_empty() || !changes.leave.is_empty() {
                return changes;
            }
            self.changed.notified().await;
        }
    }

    fn take_changes(&self) -> Changes {
        let mut channels = self.channels();
        let Channels { by_name, joining, leaving, .. } = &mut *channels;
        let mut changes = Changes::default();
        for name in std::mem::take(joining) {
            let Some(channel) = by_name.get_mut(&name) else { continue };
            channel.asked.append(&mut channel.waiting);
            changes.join.push(name);
        }
        for name in std::mem::take(leaving) {
            if !by_name.contains_key(&name) {
                changes.leave.push(name);
            }
        }
        changes
    }

    /// Redis has confirmed: what it sends from now on is for those who asked.
    pub(crate) fn confirmed(&self, generation: u64, name: &str) {
        let mut channels = self.channels();
        if channels.generation != generation {
            return;
        }
        let Some(channel) = channels.by_name.get_mut(name) else { return };
        let mut confirmed = Vec::new();
        for waiter in std::mem::take(&mut channel.asked) {
            channel.listening.push(waiter.mailbox);
            confirmed.push(waiter.confirmed);
        }
        drop(channels);
        // An error says that the asker left; dropping its subscription cleans up.
        for asker in confirmed {
            let _ = asker.send(());
        }
    }

    /// A message for whoever listens now.
    pub(crate) fn deliver(&self, generation: u64, name: &str, message: Bytes) {
        let channels = self.channels();
        if channels.generation != generation {
            return;
        }
        let listening = channels.by_name.get(name).map(|c| c.listening.clone()).unwrap_or_default();
        drop(channels);
        for mailbox in listening {
            mailbox.put(message.clone());
        }
    }

    /// Ends all subscriptions, for good.
    pub(crate) fn end(&self) {
        self.disconnected();
        let all = std::mem::take(&mut self.channels().by_name);
        for mailbox in all.into_values().flat_map(|channel| channel.listening) {
            mailbox.close();
        }
    }

    fn leave(&self, name: &Arc<str>, mailbox: &Arc<Mailbox>) {
        let mut channels = self.channels();
        let Some(channel) = channels.by_name.get_mut(name) else { return };
        channel.listening.retain(|other| !Arc::ptr_eq(other, mailbox));
        channel.waiting.retain(|other| !Arc::ptr_eq(&other.mailbox, mailbox));
        channel.asked.retain(|other| !Arc::ptr_eq(&other.mailbox, mailbox));
        if channel.is_unused() {
            channels.by_name.remove(name);
            if channels.generation != 0 {
                channels.leaving.insert(name.clone());
                drop(channels);
                self.changed.notify_one();
            }
        }
    }

    #[cfg(test)]
    fn len(&self) -> usize {
        self.channels().by_name.len()
    }

    fn channels(&self) -> MutexGuard<'_, Channels> {
        self.channels.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One subscriber; dropping it leaves the channel.
pub(crate) struct Subscription {
    fanout: Arc<Fanout>,
    name: Arc<str>,
    mailbox: Arc<Mailbox>,
}

#[async_trait]
impl Live for Subscription {
    async fn next(&mut self) -> Option<Bytes> {
        self.mailbox.next().await
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.fanout.leave(&self.name, &self.mailbox);
    }
}

#[cfg(test)]
mod tests;
