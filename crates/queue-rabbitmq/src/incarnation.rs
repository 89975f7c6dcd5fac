//! The incarnation: a text in a queue of its own, which every process reads and whoever finds a queue
//! lost writes anew.
//!
//! It is read by taking the message and putting it back. A reader that is frozen in between keeps it
//! until the broker takes it for dead (up to three heartbeats); until then the others cannot tell, and say
//! so. With the queue the mark is gone, so a broker that was wiped entirely has a new one, too.

use crate::error::{Error, within};
use crate::link::Link;
use crate::names::Names;
use crate::topology::{Desk, declare_quorum};
use aidt_domain::ProcessId;
use lapin::options::{BasicAckOptions, BasicGetOptions, BasicNackOptions, BasicPublishOptions, ConfirmSelectOptions};
use lapin::types::AMQPValue;
use lapin::{BasicProperties, Channel, Confirmation};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::{Mutex, watch};
use tokio::time::{Instant, sleep};

/// Owners ask once a second, and for each partition that they take.
const FRESH_FOR: Duration = Duration::from_millis(500);

/// Another reader has it for a millisecond or two.
const TRY_AGAIN: Duration = Duration::from_millis(10);
const TRIES: u32 = 30;

/// Longer than a dead reader can keep it. Whoever declared the queue died before writing into it, or
/// somebody purged it.
const EMPTY_FOR_GOOD: Duration = Duration::from_secs(30);

/// Two queues of one process, in a test, do not write the same.
static WRITTEN: AtomicU64 = AtomicU64::new(0);

/// The mark of one prefix.
pub(crate) struct Incarnation {
    names: Names,
    /// Publishing has its own link: a broker in need does not read from it.
    link: Link,
    publish: Link,
    process: ProcessId,
    timeout: Duration,
    seen: Mutex<Seen>,
    /// How often another one was seen or written.
    changes: watch::Sender<u64>,
}

#[derive(Default)]
struct Seen {
    latest: Option<(String, Instant)>,
    empty_since: Option<Instant>,
    /// The queue's name, once it is there.
    queue: Option<String>,
}

impl Incarnation {
    pub(crate) fn new(names: Names, link: Link, publish: Link, process: ProcessId, timeout: Duration) -> Self {
        Self { names, link, publish, process, timeout, seen: Mutex::default(), changes: watch::Sender::new(0) }
    }

    /// The mark, at most half a second old. Cancel safe.
    pub(crate) async fn current(&self) -> Result<String, Error> {
        let mut seen = self.seen.lock().await;
        if let Some((text, at)) = &seen.latest
            && at.elapsed() < FRESH_FOR
        {
            return Ok(text.clone());
        }
        let text = self.read(&mut seen).await?;
        if seen.latest.as_ref().is_some_and(|(before, _)| *before != text) {
            self.changes.send_modify(|changes| *changes += 1);
        }
        seen.latest = Some((text.clone(), Instant::now()));
        Ok(text)
    }

    /// Writes a new mark, whatever the old one is.
    pub(crate) async fn renew(&self) -> Result<(), Error> {
        let mut seen = self.seen.lock().await;
        seen.latest = None;
        self.write(&mut seen).await?;
        self.changes.send_modify(|changes| *changes += 1);
        Ok(())
    }

    /// Tells when another one is seen from now on.
    pub(crate) fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    async fn read(&self, seen: &mut Seen) -> Result<String, Error> {
        for _ in 0..TRIES {
            let queue = self.queue(seen).await?;
            let channel = self.link.channel().await?;
            match self.take(&channel, &queue).await {
                Ok(Some(text)) => {
                    seen.empty_since = None;
                    return Ok(text);
                }
                Ok(None) => sleep(TRY_AGAIN).await,
                Err(error) if error.is_missing() => seen.queue = None,
                Err(error) => return Err(error),
            }
        }
        let since = *seen.empty_since.get_or_insert_with(Instant::now);
        if since.elapsed() > EMPTY_FOR_GOOD {
            seen.empty_since = None;
            self.write(seen).await?;
        }
        Err(Error::Incarnation { queue: self.queue(seen).await? })
    }

    /// Takes the text and puts it back.
    async fn take(&self, channel: &Channel, queue: &str) -> Result<Option<String>, Error> {
        loop {
            let asked = channel.basic_get(queue.into(), BasicGetOptions { no_ack: false });
            let Some(got) = within("reading the incarnation", self.timeout, asked).await? else {
                return Ok(None);
            };
            if got.message_count > 0 {
                // A newer one stands behind it: it was put back after that was written.
                let dropped = got.delivery.acker.ack(BasicAckOptions::default());
                within("dropping an old incarnation", self.timeout, dropped).await?;
                continue;
            }
            let back = got.delivery.acker.nack(BasicNackOptions { requeue: true, multiple: false });
            within("putting the incarnation back", self.timeout, back).await?;
            return Ok(Some(String::from_utf8_lossy(&got.delivery.data).into_owned()));
        }
    }

    /// The queue of the mark. Where there is none it is declared, with a mark in it.
    async fn queue(&self, seen: &mut Seen) -> Result<String, Error> {
        if let Some(queue) = &seen.queue {
            return Ok(queue.clone());
        }
        let queue = self.names.incarnation();
        let mut desk = Desk::new(&self.link, self.timeout);
        if desk.look_at_queue(queue.as_str().into()).await?.is_none() {
            let latest_only =
                [("x-max-length", AMQPValue::LongInt(1)), ("x-overflow", AMQPValue::LongString("drop-head".into()))];
            declare_quorum(&self.link, &queue, &latest_only, self.timeout).await?;
            self.publish(&queue).await?;
        }
        seen.queue = Some(queue.clone());
        Ok(queue)
    }

    async fn write(&self, seen: &mut Seen) -> Result<(), Error> {
        let queue = self.queue(seen).await?;
        match self.publish(&queue).await {
            Err(Error::Unroutable { .. }) => {
                seen.queue = None;
                self.queue(seen).await.map(|_| ())
            }
            published => published,
        }
    }

    async fn publish(&self, queue: &str) -> Result<(), Error> {
        let text = format!("{}-{}", self.process, WRITTEN.fetch_add(1, Ordering::Relaxed));
        if self.publish.connection()?.status().blocked() {
            return Err(Error::Blocked(Duration::ZERO));
        }
        let channel = self.publish.channel().await?;
        let select = channel.confirm_select(ConfirmSelectOptions::default());
        within("asking for confirms", self.timeout, select).await?;
        let options = BasicPublishOptions { mandatory: true, ..BasicPublishOptions::default() };
        let properties = BasicProperties::default().with_delivery_mode(2);
        let published =
            async { channel.basic_publish("".into(), queue.into(), options, text.as_bytes(), properties).await?.await };
        match within("writing the incarnation", self.timeout, published).await? {
            Confirmation::Ack(None) => {
                tracing::info!(incarnation = text, "a new incarnation of the queues");
                Ok(())
            }
            Confirmation::Ack(Some(_)) => Err(Error::Unroutable { queue: queue.to_owned() }),
            Confirmation::Nack(_) | Confirmation::NotRequested => Err(Error::Refused { queue: queue.to_owned() }),
        }
    }
}
