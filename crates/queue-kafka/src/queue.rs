//! The port.

use crate::commands::KafkaCommands;
use crate::desk::{Desk, Origin};
use crate::error::Error;
use crate::keeper::{Keeper, Life};
use crate::lot::Lot;
use crate::options::Options;
use crate::publisher::{Outcome, Publisher, Record};
use crate::pump::{self, Reading};
use crate::steps::KafkaSteps;
use aidt_domain::{PartitionId, Pool};
use aidt_queue::{Commands, Kind, Outgoing, Queue, QueueError, Steps};
use async_trait::async_trait;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// Before messages are tried again whose topic was made a moment ago.
const PAUSE: Duration = Duration::from_millis(20);

/// A [`Queue`] on Apache Kafka. Dropping it does not block; streams that are open go on.
#[derive(Debug)]
pub struct KafkaQueue {
    options: Options,
    commands: Arc<str>,
    keeper: Arc<Keeper>,
    publisher: Publisher,
    pools: Mutex<BTreeMap<Pool, Arc<Lot>>>,
    /// The life that was told last: cursors are of it.
    told: Mutex<Option<Life>>,
    closed: AtomicBool,
}

impl KafkaQueue {
    /// Connects, and makes the topic of commands if it is not there. Needs a runtime of tokio with time.
    ///
    /// # Errors
    /// When the options are wrong, or no broker answers in time.
    pub async fn connect(options: Options) -> Result<Arc<Self>, Error> {
        options.check()?;
        let publisher = Publisher::new(&options)?;
        let keeper = Keeper::start(options.clone()).await?;
        Ok(Arc::new(Self {
            commands: options.commands_topic().into(),
            keeper,
            publisher,
            options,
            pools: Mutex::default(),
            told: Mutex::default(),
            closed: AtomicBool::new(false),
        }))
    }

    /// Ends every stream and refuses every later operation with [`Kind::Closed`].
    pub fn close(&self) {
        self.closed.store(true, Ordering::Release);
        self.keeper.shut();
    }

    fn open(&self, operation: &'static str) -> Result<(), QueueError> {
        if self.closed.load(Ordering::Acquire) { Err(Error::Closed.of(operation)) } else { Ok(()) }
    }

    async fn publish(&self, operation: &'static str, mut records: Vec<Record>) -> Result<(), QueueError> {
        let deadline = Instant::now() + self.options.publish_timeout;
        while !records.is_empty() {
            let homeless = match self.publisher.publish(operation, &records, deadline).await {
                Outcome::Confirmed => return Ok(()),
                Outcome::Failed(error) => return Err(error),
                Outcome::Homeless(places) => places,
            };
            let places: BTreeSet<usize> = homeless.into_iter().collect();
            let mut place = 0;
            records.retain(|_| {
                place += 1;
                places.contains(&(place - 1))
            });
            if Instant::now() >= deadline {
                return Err(Error::Gone("topics are missing".to_owned()).with(operation, Kind::Unknown));
            }
            // They were deleted: the keeper makes them again. Or the broker asked has not heard of them yet.
            self.rehome(&mut records).await.map_err(|e| e.with(operation, Kind::Unknown))?;
            sleep(PAUSE).await;
        }
        Ok(())
    }

    /// Sees to it that there are topics for these. A pool's may have come back with fewer partitions.
    async fn rehome(&self, records: &mut [Record]) -> Result<(), Error> {
        self.keeper.look().await?;
        let topics: BTreeSet<Arc<str>> = records.iter().map(|r| Arc::clone(&r.topic)).collect();
        for topic in topics.into_iter().filter(|topic| *topic != self.commands) {
            let found = self.keeper.pool(&topic).await?;
            locked(&self.pools).retain(|_, lot| *lot.topic() != topic);
            let its = records.iter_mut().filter(|r| r.topic == topic);
            its.for_each(|record| record.partition %= found.partitions);
        }
        Ok(())
    }

    async fn lot(&self, pool: &Pool) -> Result<Arc<Lot>, Error> {
        if let Some(lot) = locked(&self.pools).get(pool) {
            return Ok(Arc::clone(lot));
        }
        let topic = self.options.steps_topic(pool);
        let found = self.keeper.pool(&topic).await?;
        let lot = Arc::new(Lot::new(topic.into(), found.partitions, found.marker));
        Ok(Arc::clone(locked(&self.pools).entry(pool.clone()).or_insert(lot)))
    }
}

#[async_trait]
impl Queue for KafkaQueue {
    fn system(&self) -> &'static str {
        "kafka"
    }

    async fn incarnation(&self) -> Result<String, QueueError> {
        self.open("incarnation")?;
        let life = self.keeper.seen().map_err(|e| e.of("incarnation"))?;
        let text = life.to_string();
        *locked(&self.told) = Some(life);
        Ok(text)
    }

    async fn publish_steps(&self, steps: Vec<(Pool, Outgoing)>) -> Result<(), QueueError> {
        self.open("publish_steps")?;
        let mut by_pool: BTreeMap<Pool, Vec<Outgoing>> = BTreeMap::new();
        for (pool, out) in steps {
            by_pool.entry(pool).or_default().push(out);
        }
        let mut records = Vec::new();
        for (pool, outs) in by_pool {
            let lot = self.lot(&pool).await.map_err(|e| e.of("publish_steps"))?;
            let spread = lot.spread(outs.len(), Instant::now());
            let record = |(partition, out)| Record { topic: Arc::clone(lot.topic()), partition, out };
            records.extend(spread.zip(outs).map(record));
        }
        self.publish("publish_steps", records).await
    }

    async fn publish_commands(&self, commands: Vec<(PartitionId, Outgoing)>) -> Result<(), QueueError> {
        self.open("publish_commands")?;
        let record =
            |(to, out): (PartitionId, _)| Record { topic: Arc::clone(&self.commands), partition: to.0.into(), out };
        self.publish("publish_commands", commands.into_iter().map(record).collect()).await
    }

    async fn nudge(&self, partitions: &[PartitionId]) {
        if self.open("nudge").is_ok() {
            partitions.iter().for_each(|p| self.publisher.nudge(&self.commands, p.0.into()));
        }
    }

    async fn steps(&self, pool: &Pool, prefetch: u32) -> Result<Box<dyn Steps>, QueueError> {
        self.open("steps")?;
        let topic = self.options.steps_topic(pool);
        let found = self.keeper.pool(&topic).await.map_err(|e| e.of("steps"))?;
        // What an earlier stream of this process acked is not to come again.
        self.keeper.left(&topic).await;
        // A group for each life of the topic: what was acked in an earlier one says nothing about this one.
        let group = format!("{topic}.{:x}", found.marker);
        let mut config = self.options.consumer("steps", &group);
        config.set("auto.offset.reset", "earliest");
        let desk = Arc::new(Desk::new(Origin { topic, marker: found.marker }));
        // From here on a stream closes the desk, also if this future is dropped.
        let stream = KafkaSteps::new(Arc::clone(&desk), prefetch, Arc::clone(&self.keeper));
        self.keeper.watch(&desk);
        let started = pump::start(config, desk, Reading::Part(found.partitions), self.options.request_timeout).await;
        started.map_err(|e| e.of("steps"))?;
        Ok(Box::new(stream))
    }

    async fn commands(&self, partitions: &[(PartitionId, i64)]) -> Result<Box<dyn Commands>, QueueError> {
        self.open("commands")?;
        let life = self.keeper.look().await.map_err(|e| e.of("commands"))?;
        // Places in another life's topic mean nothing in this one.
        let other = locked(&self.told).as_ref().is_some_and(|told| *told != life);
        if other && partitions.iter().any(|(_, cursor)| *cursor > 0) {
            let why = "the queue has begun another life since its incarnation was asked for";
            return Err(Error::Gone(why.to_owned()).of("commands"));
        }
        let cursors = partitions.iter().map(|(p, cursor)| (i32::from(p.0), *cursor)).collect();
        let mut config = self.options.consumer("commands", &self.commands);
        // A place that is no more is an error, never a jump.
        config.set("auto.offset.reset", "error");
        let desk = Arc::new(Desk::new(Origin { topic: self.commands.to_string(), marker: life.marker }));
        let stream = KafkaCommands::new(Arc::clone(&desk), Arc::clone(&self.keeper));
        self.keeper.watch(&desk);
        let started = pump::start(config, desk, Reading::From(cursors), self.options.request_timeout).await;
        if let Err(Error::Beyond { .. }) = started {
            self.keeper.lost();
        }
        started.map_err(|e| e.of("commands"))?;
        Ok(Box::new(stream))
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
