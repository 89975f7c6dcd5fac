//! A message in memory, and what a stream holds of them.

use crate::port::{Delivery, Outgoing, Tag};
use aidt_domain::Timestamp;
use bytes::Bytes;
use std::collections::{BTreeMap, VecDeque};

/// A message, queued or delivered. Its number rises with each publication and doubles as its tag, so
/// what is given back finds its old place.
#[derive(Debug)]
pub(super) struct Message {
    number: u64,
    body: Bytes,
    published_at: Timestamp,
    doubtful: bool,
}

impl Message {
    pub(super) fn new(number: u64, out: Outgoing, published_at: Timestamp) -> Self {
        Self { number, body: out.body, published_at, doubtful: out.republished }
    }

    fn delivery(&self) -> Delivery {
        Delivery {
            tag: Tag(self.number),
            body: self.body.clone(),
            published_at: Some(self.published_at),
            doubtful: self.doubtful,
        }
    }
}

/// What a stream took and did not ack. Lives in the stream, so acking needs no lock.
#[derive(Debug, Default)]
pub(super) struct Held<K> {
    /// How often the queue had been wiped when these were taken.
    life: u64,
    unacked: BTreeMap<Tag, (K, Message)>,
}

impl<K: Copy + PartialEq> Held<K> {
    pub(super) fn len(&self) -> usize {
        self.unacked.len()
    }

    /// Forgets what a wipe has lost since.
    pub(super) fn follow(&mut self, life: u64) {
        if self.life != life {
            self.life = life;
            self.unacked.clear();
        }
    }

    pub(super) fn hold(&mut self, key: K, message: Message) -> Delivery {
        let delivery = message.delivery();
        self.unacked.insert(delivery.tag, (key, message));
        delivery
    }

    pub(super) fn ack(&mut self, key: K, tag: Tag) {
        if self.unacked.get(&tag).is_some_and(|(held, _)| *held == key) {
            self.unacked.remove(&tag);
        }
    }

    /// Everything unacked, now doubtful, oldest first; nothing of an earlier life.
    pub(super) fn give_back(&mut self, life: u64) -> impl Iterator<Item = (K, Message)> + use<K> {
        self.follow(life);
        std::mem::take(&mut self.unacked)
            .into_values()
            .map(|(key, message)| (key, Message { doubtful: true, ..message }))
    }
}

/// Puts messages back where they stood.
pub(super) fn restore(queue: &mut VecDeque<Message>, messages: impl Iterator<Item = Message>) {
    queue.extend(messages);
    // Two sorted runs: the sort finds them and merges.
    queue.make_contiguous().sort_by_key(|message| message.number);
}
