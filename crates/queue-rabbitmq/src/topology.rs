//! Queues: declared when they are first needed, and noticed when they are gone.
//!
//! An exchange that carries nothing stands beside each queue that was ever declared. A queue that is
//! missing while its exchange is there was lost, and with it what it held: a new incarnation is written
//! before the queue is declared again, so that nobody takes the empty queue for the old one. A queue that
//! nobody ever knew (a new pool) is declared without.

use crate::error::{Error, within};
use crate::incarnation::Incarnation;
use crate::link::Link;
use crate::names::{Names, Target};
use lapin::options::{ExchangeDeclareOptions, QueueDeclareOptions};
use lapin::types::{AMQPValue, FieldTable, ShortString};
use lapin::{Channel, ExchangeKind};
use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// The queues of one prefix.
pub(crate) struct Topology {
    names: Names,
    link: Link,
    incarnation: Incarnation,
    timeout: Duration,
    /// Queues that stood, with their exchange, when this process looked last.
    sound: Mutex<BTreeSet<Target>>,
    /// One at a time looks and declares: what several notice at once is one loss.
    turn: tokio::sync::Mutex<()>,
}

impl Topology {
    pub(crate) fn new(names: Names, link: Link, incarnation: Incarnation, timeout: Duration) -> Self {
        let (sound, turn) = (Mutex::default(), tokio::sync::Mutex::default());
        Self { names, link, incarnation, timeout, sound, turn }
    }

    pub(crate) fn incarnation(&self) -> &Incarnation {
        &self.incarnation
    }

    /// Sees to it that these queues are there, unless they were when last looked at.
    pub(crate) async fn ensure(&self, targets: &[Target]) -> Result<(), Error> {
        let unknown: Vec<Target> = {
            let sound = self.sound();
            targets.iter().filter(|target| !sound.contains(target)).cloned().collect()
        };
        if unknown.is_empty() { Ok(()) } else { self.restore(&unknown).await }
    }

    /// Looks whether these queues are there, and declares those that are not.
    pub(crate) async fn restore(&self, targets: &[Target]) -> Result<(), Error> {
        let _turn = self.turn.lock().await;
        let mut desk = Desk::new(&self.link, self.timeout);
        let mut missing = Vec::new();
        for target in targets {
            if desk.look_at_queue(self.names.queue(target).into()).await?.is_none() {
                self.sound().remove(target);
                missing.push(target);
            }
        }
        let mut lost = Vec::new();
        for target in &missing {
            if desk.has_exchange(self.names.mark(target)).await? {
                lost.push(self.names.queue(target));
            }
        }
        if !lost.is_empty() {
            tracing::warn!(queues = ?lost, "queues are gone, and what they held: all that is unclaimed goes again");
            self.incarnation.renew().await?;
        }
        for target in missing {
            let queue = self.names.queue(target);
            declare_quorum(&self.link, &queue, &[], self.timeout).await?;
            tracing::info!(queue, "declared");
        }
        for target in targets {
            desk.declare_exchange(self.names.mark(target)).await?;
            self.sound().insert(target.clone());
        }
        Ok(())
    }

    /// How many consumers listen to a queue; `None`: the queue is gone.
    pub(crate) async fn consumers(&self, target: &Target) -> Result<Option<usize>, Error> {
        let mut desk = Desk::new(&self.link, self.timeout);
        desk.look_at_queue(self.names.queue(target).into()).await
    }

    fn sound(&self) -> MutexGuard<'_, BTreeSet<Target>> {
        self.sound.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A channel for questions. The broker closes it when the answer is no.
pub(crate) struct Desk<'a> {
    link: &'a Link,
    timeout: Duration,
    channel: Option<Channel>,
}

impl<'a> Desk<'a> {
    pub(crate) fn new(link: &'a Link, timeout: Duration) -> Self {
        Self { link, timeout, channel: None }
    }

    async fn channel(&mut self) -> Result<Channel, Error> {
        match &self.channel {
            Some(channel) => Ok(channel.clone()),
            None => Ok(self.channel.insert(self.link.channel().await?).clone()),
        }
    }

    /// The number of its consumers; `None`: it is not there.
    pub(crate) async fn look_at_queue(&mut self, queue: ShortString) -> Result<Option<usize>, Error> {
        let options = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
        let channel = self.channel().await?;
        let asked = channel.queue_declare(queue, options, FieldTable::default());
        let answer = within("looking at a queue", self.timeout, asked).await;
        Ok(self.absent(answer)?.map(|queue| queue.consumer_count() as usize))
    }

    async fn has_exchange(&mut self, exchange: ShortString) -> Result<bool, Error> {
        let options = ExchangeDeclareOptions { passive: true, ..ExchangeDeclareOptions::default() };
        let channel = self.channel().await?;
        let asked = channel.exchange_declare(exchange, ExchangeKind::Direct, options, FieldTable::default());
        let answer = within("looking at an exchange", self.timeout, asked).await;
        Ok(self.absent(answer)?.is_some())
    }

    async fn declare_exchange(&mut self, exchange: ShortString) -> Result<(), Error> {
        let options = ExchangeDeclareOptions { durable: true, ..ExchangeDeclareOptions::default() };
        let channel = self.channel().await?;
        let asked = channel.exchange_declare(exchange, ExchangeKind::Direct, options, FieldTable::default());
        within("declaring an exchange", self.timeout, asked).await
    }

    fn absent<T>(&mut self, answer: Result<T, Error>) -> Result<Option<T>, Error> {
        match answer {
            Ok(there) => Ok(Some(there)),
            Err(error) if error.is_missing() => {
                self.channel = None;
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }
}

/// How often a message may come back before the broker drops it: never. 4.0 and later take -1 for that and
/// default to 20; 3.10 takes -1 too, and drops what comes back once. All understand a large number.
const DELIVERY_LIMIT: i64 = (1 << 53) - 1;

/// Declares a quorum queue.
pub(crate) async fn declare_quorum(
    link: &Link,
    queue: &str,
    arguments: &[(&str, AMQPValue)],
    timeout: Duration,
) -> Result<(), Error> {
    let mut table = FieldTable::default();
    table.insert("x-queue-type".into(), AMQPValue::LongString("quorum".into()));
    table.insert("x-delivery-limit".into(), AMQPValue::LongLongInt(DELIVERY_LIMIT));
    for (name, value) in arguments {
        table.insert((*name).into(), value.clone());
    }
    let channel = link.channel().await?;
    let options = QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() };
    within("declaring a queue", timeout, channel.queue_declare(queue.into(), options, table)).await.map(|_| ())
}
