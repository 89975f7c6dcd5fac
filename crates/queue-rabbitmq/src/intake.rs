//! The consuming side: one channel, its consumers, and what they brought.

use crate::error::{Error, within};
use crate::frame::{self, CONTENT_TYPE, Entry, Unreadable};
use crate::ledger::Ledger;
use crate::publish::PUBLISHED_AT;
use aidt_domain::Timestamp;
use aidt_queue::{Delivery, Tag};
use bytes::Bytes;
use futures::stream::{BoxStream, SelectAll, StreamExt as _};
use futures::{FutureExt as _, stream};
use lapin::options::{BasicAckOptions, BasicConsumeOptions, BasicQosOptions};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{BasicProperties, Channel};
use std::collections::VecDeque;
use std::time::Duration;
use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::watch;

/// A channel that is no longer wanted, with its consumers, which end first if they are dropped first.
pub(crate) struct Discarded {
    pub(crate) channel: Channel,
    _consumers: Box<dyn Send>,
}

/// What a consumer brings. `K` says which of the channel's queues it is.
enum Arrival<K: 'static> {
    Message(K, lapin::message::Delivery),
    /// Of a queue whose messages are not acked.
    Notice(lapin::message::Delivery),
    /// The queue is gone.
    Ended(String),
    Failed(lapin::Error),
}

/// A channel that takes messages. Dropped, it gives back what is not acked.
pub(crate) struct Intake<K: 'static> {
    channel: Channel,
    arrivals: SelectAll<BoxStream<'static, Arrival<K>>>,
    /// Arrived and not handed out.
    held: VecDeque<(K, Delivery)>,
    notices: Vec<Vec<u8>>,
    ledger: Ledger,
    discard: UnboundedSender<Discarded>,
    losses: watch::Receiver<u64>,
    timeout: Duration,
}

impl<K: Copy + Send + 'static> Intake<K> {
    /// Takes messages on this channel, at most `prefetch` of each queue at a time.
    pub(crate) async fn new(
        channel: Channel,
        prefetch: u16,
        ledger: Ledger,
        discard: UnboundedSender<Discarded>,
        losses: watch::Receiver<u64>,
        timeout: Duration,
    ) -> Result<Self, Error> {
        let qos = channel.basic_qos(prefetch, BasicQosOptions { global: false });
        within("limiting what is taken", timeout, qos).await?;
        let (arrivals, held, notices) = (SelectAll::new(), VecDeque::new(), Vec::new());
        Ok(Self { channel, arrivals, held, notices, ledger, discard, losses, timeout })
    }

    /// Listens to a queue.
    pub(crate) async fn listen(&mut self, key: K, queue: String) -> Result<(), Error> {
        self.consume(queue, false, move |delivery| Arrival::Message(key, delivery)).await
    }

    /// Listens to a queue whose messages need no ack and may be lost.
    pub(crate) async fn overhear(&mut self, queue: String) -> Result<(), Error> {
        self.consume(queue, true, Arrival::Notice).await
    }

    async fn consume(
        &mut self,
        queue: String,
        no_ack: bool,
        arrival: impl Fn(lapin::message::Delivery) -> Arrival<K> + Send + 'static,
    ) -> Result<(), Error> {
        let options = BasicConsumeOptions { no_ack, ..BasicConsumeOptions::default() };
        let asked = self.channel.basic_consume(queue.as_str().into(), "".into(), options, FieldTable::default());
        let consumer = within("listening to a queue", self.timeout, asked).await?;
        let arrivals = consumer.map(move |brought| brought.map_or_else(Arrival::Failed, &arrival));
        self.arrivals.push(arrivals.chain(stream::iter([Arrival::Ended(queue)])).boxed());
        Ok(())
    }

    /// Entries handed out and not acked.
    pub(crate) fn out(&self) -> usize {
        self.ledger.out()
    }

    pub(crate) fn channel(&self) -> &Channel {
        &self.channel
    }

    /// Takes in what is there, until `wanted` are held.
    pub(crate) fn gather(&mut self, wanted: usize) -> Result<(), Error> {
        while self.held.len() < wanted {
            match self.arrivals.next().now_or_never() {
                Some(arrival) => self.accept(arrival)?,
                None => break,
            }
        }
        Ok(())
    }

    /// Waits for something to take in. Cancel safe.
    pub(crate) async fn arrive(&mut self) -> Result<(), Error> {
        tokio::select! {
            biased;
            arrival = self.arrivals.next() => self.accept(arrival),
            _ = self.losses.changed() => Err(Error::Renewed),
        }
    }

    fn accept(&mut self, arrival: Option<Arrival<K>>) -> Result<(), Error> {
        match arrival {
            Some(Arrival::Message(key, message)) => self.hold(key, message),
            Some(Arrival::Notice(message)) => {
                self.ledger.saw(message.delivery_tag);
                self.notices.push(message.data);
            }
            // The connection or the channel tells why it ended; a queue just ends.
            Some(Arrival::Ended(queue)) if self.channel.status().connected() => return Err(Error::Deleted { queue }),
            Some(Arrival::Failed(source)) => return Err(Error::Amqp { what: "delivering messages", source }),
            Some(Arrival::Ended(_)) | None => return Err(Error::Down),
        }
        Ok(())
    }

    fn hold(&mut self, key: K, message: lapin::message::Delivery) {
        let (delivery, redelivered, properties) = (message.delivery_tag, message.redelivered, &message.properties);
        let published_at = published_at(properties);
        let framed = properties.content_type().as_ref().is_some_and(|of| of.as_str() == CONTENT_TYPE);
        let body = Bytes::from(message.data);
        let bare = |body| vec![Entry { body, republished: true }];
        let entries = match framed.then(|| frame::decode(body.clone())) {
            Some(Ok(entries)) => entries,
            // Whoever takes it decides what is wrong with it.
            None | Some(Err(Unreadable::Broken)) => bare(body),
            Some(Err(Unreadable::Newer(version))) => {
                tracing::warn!(version, "a message in a newer format is left to a newer process");
                drop(self.ledger.arrived(delivery, 1));
                return;
            }
        };
        let tags = self.ledger.arrived(delivery, entries.len());
        self.held.extend(tags.zip(entries).map(|(tag, entry)| {
            let doubtful = redelivered || entry.republished;
            (key, Delivery { tag, body: entry.body, published_at, doubtful })
        }));
    }

    /// Hands out at most `max` of what is held.
    pub(crate) fn hand_out(&mut self, max: usize) -> Vec<(K, Delivery)> {
        let count = max.min(self.held.len());
        self.ledger.handed_out(count);
        self.held.drain(..count).collect()
    }

    /// The bodies of messages that need no ack.
    pub(crate) fn notices(&mut self) -> Vec<Vec<u8>> {
        std::mem::take(&mut self.notices)
    }

    /// Arrived and not handed out.
    pub(crate) fn held(&self) -> usize {
        self.held.len()
    }

    /// The account, for the next channel of the same stream.
    pub(crate) fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// These are done. Their messages' acks are on their way when this returns: one that is lost is a
    /// message that comes again.
    pub(crate) fn ack(&mut self, tags: impl Iterator<Item = Tag>) -> Result<(), Error> {
        let acks = self.ledger.ack(&tags.collect::<Vec<_>>());
        let upto = acks.upto.map(|delivery| (delivery, true));
        for (delivery, multiple) in upto.into_iter().chain(acks.single.into_iter().map(|delivery| (delivery, false))) {
            // The first poll queues the frame; what is left is to see it written.
            let queued = self.channel.basic_ack(delivery, BasicAckOptions { multiple }).now_or_never();
            queued.unwrap_or(Ok(())).map_err(Error::amqp("acking messages"))?;
        }
        Ok(())
    }
}

impl<K: 'static> Drop for Intake<K> {
    fn drop(&mut self) {
        let consumers = Box::new(std::mem::take(&mut self.arrivals));
        // Without a task that closes it the channel closes by being dropped.
        let _ = self.discard.send(Discarded { channel: self.channel.clone(), _consumers: consumers });
    }
}

fn published_at(properties: &BasicProperties) -> Option<Timestamp> {
    match properties.headers().as_ref()?.inner().get(PUBLISHED_AT)? {
        AMQPValue::LongLongInt(ms) => Some(Timestamp(*ms)),
        _ => None,
    }
}
