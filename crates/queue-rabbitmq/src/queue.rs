//! The adapter: its parts, and the port on top of them.

use crate::commands::RabbitCommands;
use crate::error::{Error, within};
use crate::incarnation::Incarnation;
use crate::intake::{Discarded, Intake};
use crate::ledger::Ledger;
use crate::link::{Link, Settings};
use crate::names::{Names, Target};
use crate::nudge::{self, Nudges};
use crate::options::Options;
use crate::publish::{self, Press, Publisher};
use crate::steps::{IdleStreams, RabbitSteps};
use crate::topology::Topology;
use crate::watch::Audience;
use aidt_domain::{PartitionId, Pool};
use aidt_queue::{Commands, Outgoing, Queue, QueueError, Steps};
use async_trait::async_trait;
use futures::stream::{FuturesUnordered, StreamExt as _};
use lapin::options::{QueueBindOptions, QueueDeclareOptions};
use lapin::types::{AMQPValue, FieldTable};
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

/// Messages of a partition that may be on their way to its owner. Under load each holds many commands.
const COMMANDS_PREFETCH: u16 = 64;

/// Nudges that wait for an owner; they repeat each other.
const NUDGES_KEPT: i32 = 1_000;

/// A [`Queue`] on RabbitMQ. Dropping it, or [`close`](Self::close), ends its connections and streams.
pub struct RabbitQueue {
    core: Arc<Core>,
    publisher: Publisher,
    nudges: Arc<Nudges>,
    tasks: Mutex<JoinSet<()>>,
}

/// What streams need of the adapter.
pub(crate) struct Core {
    names: Names,
    link: Link,
    topology: Arc<Topology>,
    discard: mpsc::UnboundedSender<Discarded>,
    idle: Arc<IdleStreams>,
    operation_timeout: Duration,
    closed: watch::Sender<bool>,
}

impl RabbitQueue {
    /// Connects; its tasks run in the runtime that this is called in, for as long as the queue lives.
    ///
    /// # Errors
    /// When the options are not sound, or no node answers in time.
    pub async fn connect(options: Options) -> Result<Arc<Self>, Error> {
        let uris = options.check()?;
        let settings = |what: &str| Settings {
            uris: uris.clone(),
            ca: options.ca.clone(),
            name: format!("{} {} {what}", options.prefix, options.process),
            connect_timeout: options.connect_timeout,
            operation_timeout: options.operation_timeout,
        };
        let mut tasks = JoinSet::new();
        let (link, kept_up) = Link::new(settings("consume"));
        tasks.spawn(kept_up);
        let (publish, kept_up) = Link::new(settings("publish"));
        tasks.spawn(kept_up);
        let (first, second) = tokio::join!(link.up(options.connect_timeout), publish.up(options.connect_timeout));
        first.and(second)?;

        let (names, timeout) = (Names::new(options.prefix), options.operation_timeout);
        let incarnation =
            Incarnation::new(names.clone(), link.clone(), publish.clone(), options.process, options.operation_timeout);
        let topology = Arc::new(Topology::new(names.clone(), link.clone(), incarnation, timeout));
        let audience = Arc::new(Audience::default());
        tasks.spawn(Arc::clone(&audience).follow(Arc::clone(&topology)));
        let (publisher, lanes) = publish::start(Press {
            names: names.clone(),
            link: publish.clone(),
            topology: Arc::clone(&topology),
            audience,
            clock: options.clock,
            operation_timeout: timeout,
            publish_timeout: options.publish_timeout,
            blocked_timeout: options.blocked_timeout,
        });
        lanes.into_iter().for_each(|lane| drop(tasks.spawn(lane)));
        let nudges = Arc::new(Nudges::default());
        let (sender, of) = (Arc::clone(&nudges), names.clone());
        tasks.spawn(async move { sender.send(publish, of, timeout).await });
        let (discard, discarded) = mpsc::unbounded_channel();
        tasks.spawn(close_channels(discarded, timeout));
        let idle = Arc::new(IdleStreams::default());
        let looked_after = Arc::clone(&idle);
        tasks.spawn(async move { looked_after.look_after().await });

        let closed = watch::Sender::new(false);
        let core = Core { names, link, topology, discard, idle, operation_timeout: timeout, closed };
        Ok(Arc::new(Self { core: Arc::new(core), publisher, nudges, tasks: Mutex::new(tasks) }))
    }

    /// Ends every stream and refuses every later operation with [`Kind::Closed`](aidt_queue::Kind::Closed).
    /// What is not acked goes back.
    pub fn close(&self) {
        self.core.closed.send_replace(true);
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner).abort_all();
    }

    fn open(&self) -> Result<(), Error> {
        if *self.core.closed.borrow() { Err(Error::Closed) } else { Ok(()) }
    }

    async fn publish(&self, envelopes: Vec<(Target, Outgoing)>) -> Result<(), Error> {
        self.open()?;
        self.publisher.publish(envelopes).await
    }
}

impl Drop for RabbitQueue {
    fn drop(&mut self) {
        self.close();
    }
}

impl Core {
    /// Waits until the queue is closed. Cancel safe.
    pub(crate) async fn closed(&self) {
        // An error means that the sender is gone, and it is in here.
        let _ = self.closed.subscribe().wait_for(|closed| *closed).await;
    }

    pub(crate) fn idle_streams(&self) -> &IdleStreams {
        &self.idle
    }

    /// Takes steps of a pool, at most `prefetch` messages at a time.
    pub(crate) async fn open_steps(
        &self,
        target: Target,
        prefetch: usize,
        ledger: Ledger,
    ) -> Result<Intake<()>, Error> {
        let listened = [((), target)];
        let prefetch = u16::try_from(prefetch).unwrap_or(u16::MAX);
        self.listen(&listened, prefetch, ledger).await
    }

    /// Takes commands of these partitions, and nudges.
    pub(crate) async fn open_commands(&self, partitions: &BTreeSet<PartitionId>) -> Result<Intake<PartitionId>, Error> {
        let listened: Vec<_> = partitions.iter().map(|p| (*p, Target::Commands(*p))).collect();
        let mut intake = self.listen(&listened, COMMANDS_PREFETCH, Ledger::default()).await?;
        self.overhear_nudges(&mut intake).await?;
        Ok(intake)
    }

    /// Listens to these queues; to those that are gone, once they are declared anew.
    async fn listen<K>(&self, listened: &[(K, Target)], prefetch: u16, ledger: Ledger) -> Result<Intake<K>, Error>
    where
        K: Copy + Send + 'static,
    {
        let targets: Vec<Target> = listened.iter().map(|(_, target)| target.clone()).collect();
        self.topology.ensure(&targets).await?;
        match self.try_to_listen(listened, prefetch, ledger.next()).await {
            Err(error) if error.is_missing() => {
                self.topology.restore(&targets).await?;
                self.try_to_listen(listened, prefetch, ledger.next()).await
            }
            listening => listening,
        }
    }

    async fn try_to_listen<K>(
        &self,
        listened: &[(K, Target)],
        prefetch: u16,
        ledger: Ledger,
    ) -> Result<Intake<K>, Error>
    where
        K: Copy + Send + 'static,
    {
        let losses = self.topology.incarnation().changes();
        let channel = self.link.channel().await?;
        let discard = self.discard.clone();
        let mut intake = Intake::new(channel, prefetch, ledger, discard, losses, self.operation_timeout).await?;
        for (key, target) in listened {
            intake.listen(*key, self.names.queue(target)).await?;
        }
        Ok(intake)
    }

    async fn overhear_nudges(&self, intake: &mut Intake<PartitionId>) -> Result<(), Error> {
        let channel = intake.channel().clone();
        nudge::declare(&channel, &self.names, self.operation_timeout).await?;
        let options = QueueDeclareOptions { exclusive: true, auto_delete: true, ..QueueDeclareOptions::default() };
        let mut bounded = FieldTable::default();
        bounded.insert("x-max-length".into(), AMQPValue::LongInt(NUDGES_KEPT));
        let declared = channel.queue_declare("".into(), options, bounded);
        let queue = within("declaring a queue of nudges", self.operation_timeout, declared).await?;
        let name = queue.name().clone();
        let (options, none) = (QueueBindOptions::default(), FieldTable::default());
        let bound = channel.queue_bind(name.clone(), self.names.nudge(), "".into(), options, none);
        within("binding a queue of nudges", self.operation_timeout, bound).await?;
        intake.overhear(name.as_str().to_owned()).await
    }
}

/// Closes channels for as long as it runs, so that the broker has back at once what they took.
async fn close_channels(mut discarded: mpsc::UnboundedReceiver<Discarded>, timeout: Duration) {
    let mut closing = FuturesUnordered::new();
    loop {
        tokio::select! {
            biased;
            Some(()) = closing.next() => {}
            next = discarded.recv() => match next {
                Some(discarded) => closing.push(async move {
                    let closed = discarded.channel.close(200, "done".into());
                    if let Err(error) = within("closing a channel", timeout, closed).await {
                        tracing::debug!(%error, "a channel ended otherwise");
                    }
                }),
                None => return,
            },
        }
    }
}

#[async_trait]
impl Queue for RabbitQueue {
    fn system(&self) -> &'static str {
        "rabbitmq"
    }

    async fn incarnation(&self) -> Result<String, QueueError> {
        let read = async {
            self.open()?;
            self.core.topology.incarnation().current().await
        };
        read.await.map_err(|error| error.of("incarnation"))
    }

    async fn publish_steps(&self, steps: Vec<(Pool, Outgoing)>) -> Result<(), QueueError> {
        let envelopes = steps.into_iter().map(|(pool, step)| (Target::Steps(pool), step)).collect();
        self.publish(envelopes).await.map_err(|error| error.of("publish_steps"))
    }

    async fn publish_commands(&self, commands: Vec<(PartitionId, Outgoing)>) -> Result<(), QueueError> {
        let envelopes = commands.into_iter().map(|(partition, c)| (Target::Commands(partition), c)).collect();
        self.publish(envelopes).await.map_err(|error| error.of("publish_commands"))
    }

    async fn nudge(&self, partitions: &[PartitionId]) {
        self.nudges.add(partitions);
    }

    async fn steps(&self, pool: &Pool, prefetch: u32) -> Result<Box<dyn Steps>, QueueError> {
        let open = async {
            self.open()?;
            RabbitSteps::open(Arc::clone(&self.core), Target::Steps(pool.clone()), prefetch).await
        };
        open.await.map(|stream| Box::new(stream) as _).map_err(|error| error.of("steps"))
    }

    async fn commands(&self, partitions: &[(PartitionId, i64)]) -> Result<Box<dyn Commands>, QueueError> {
        let partitions = partitions.iter().map(|(partition, _)| *partition).collect();
        let open = async {
            self.open()?;
            RabbitCommands::open(Arc::clone(&self.core), partitions).await
        };
        open.await.map(|stream| Box::new(stream) as _).map_err(|error| error.of("commands"))
    }
}
