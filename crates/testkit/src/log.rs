//! A broker of the other shape: logs that are read from a place, as Kafka's are, where the queue in memory hands out
//! and forgets, as RabbitMQ's do.
//!
//! What follows from the shape, and what the adapter over Kafka therefore does, too:
//! - Acking moves a watermark: what is acked above something that is not comes again after all.
//! - Commands are read from the owner's stored cursor, by as many owners as there are for the moment.
//! - A pool's steps lie in partitions. Which of them a stream reads follows from whom it is told of, and from nothing
//!   else: while views differ two may read the same, or nobody. What a stream has in hand of a partition that it gives
//!   up is worked on there, and is another's besides.
//! - The last acks of a stream that vanishes, or gives something up, may be lost. Two that read the same commit over
//!   each other.
//! - When everything is lost open streams end, and cursors point to what is not there or is something else.

mod commands;
mod lane;
mod steps;

use crate::rng::Rng;
use aidt_domain::{Clock, PartitionId, Pool, Timestamp};
use aidt_queue::{Commands, Delivery, Kind, Outgoing, Queue, QueueError, Steps, Tag};
use async_trait::async_trait;
use bytes::Bytes;
use commands::LogCommands;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use steps::{LogSteps, Topic};
use tokio::sync::Notify;

/// A simulated log; clones share what is in it.
#[derive(Clone, Debug)]
pub(crate) struct LogBroker {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    clock: Arc<dyn Clock>,
    state: Mutex<State>,
    /// Something was written, given up or lost: all look again.
    changed: Notify,
}

#[derive(Debug)]
struct State {
    /// How often everything was lost.
    life: u64,
    commands: BTreeMap<PartitionId, Vec<Record>>,
    pools: BTreeMap<Pool, Topic>,
    next_stream: u64,
    /// Who vanishes and whose acks are lost; `None`: nobody's.
    fate: Option<Rng>,
}

#[derive(Clone, Debug)]
struct Record {
    body: Bytes,
    at: Timestamp,
    republished: bool,
    /// No message: the owner is to look into its inbox.
    nudge: bool,
}

impl Record {
    fn new(out: Outgoing, at: Timestamp) -> Self {
        Self { body: out.body, at, republished: out.republished, nudge: false }
    }

    fn delivery(&self, tag: Tag, old: bool) -> Delivery {
        let Self { body, at, republished, .. } = self;
        Delivery { tag, body: body.clone(), published_at: Some(*at), doubtful: *republished || old }
    }
}

impl State {
    fn hits(&mut self, per_mille: u64) -> bool {
        self.fate.as_mut().is_some_and(|rng| rng.chance(per_mille))
    }
}

impl LogBroker {
    /// An empty one. With `fate` streams vanish, and acks are lost.
    pub(crate) fn new(clock: Arc<dyn Clock>, fate: Option<Rng>) -> Self {
        let (commands, pools) = (BTreeMap::new(), BTreeMap::new());
        let state = Mutex::new(State { life: 0, commands, pools, next_stream: 0, fate });
        Self { shared: Arc::new(Shared { clock, state, changed: Notify::new() }) }
    }

    /// Loses everything, as a topic that is deleted and made again.
    pub(crate) fn wipe(&self) {
        let mut state = self.shared.state();
        state.life += 1;
        state.commands.clear();
        state.pools.clear();
        drop(state);
        self.shared.changed.notify_waiters();
    }

    /// Some stream reads again from where its partitions were committed, with what it has in hand besides.
    pub(crate) fn unsettle_somebody(&self) {
        let mut state = self.shared.state();
        let State { pools, fate: Some(rng), .. } = &mut *state else { return };
        let streams: Vec<_> = pools.iter().flat_map(|(pool, t)| t.streams().map(move |s| (pool.clone(), s))).collect();
        if streams.is_empty() {
            return;
        }
        let (pool, stream) = rng.pick(&streams).clone();
        if let Some(topic) = pools.get_mut(&pool) {
            topic.read_again(stream);
        }
        drop(state);
        self.shared.changed.notify_waiters();
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The stream is of something that is no more.
fn ended(operation: &'static str) -> QueueError {
    QueueError { operation, kind: Kind::Unavailable, source: None }
}

#[async_trait]
impl Queue for LogBroker {
    fn system(&self) -> &'static str {
        "simulated_log"
    }

    async fn incarnation(&self) -> Result<String, QueueError> {
        Ok(format!("log {}", self.shared.state().life))
    }

    async fn publish_steps(&self, steps: Vec<(Pool, Outgoing)>) -> Result<(), QueueError> {
        let now = self.shared.clock.now();
        let mut state = self.shared.state();
        for (pool, out) in steps {
            state.pools.entry(pool).or_default().write(Record::new(out, now));
        }
        drop(state);
        self.shared.changed.notify_waiters();
        Ok(())
    }

    async fn publish_commands(&self, commands: Vec<(PartitionId, Outgoing)>) -> Result<(), QueueError> {
        let now = self.shared.clock.now();
        let mut state = self.shared.state();
        for (partition, out) in commands {
            state.commands.entry(partition).or_default().push(Record::new(out, now));
        }
        drop(state);
        self.shared.changed.notify_waiters();
        Ok(())
    }

    async fn nudge(&self, partitions: &[PartitionId]) {
        let at = self.shared.clock.now();
        let nudge = Record { body: Bytes::new(), at, republished: false, nudge: true };
        let mut state = self.shared.state();
        for partition in partitions {
            state.commands.entry(*partition).or_default().push(nudge.clone());
        }
        drop(state);
        self.shared.changed.notify_waiters();
    }

    async fn steps(&self, pool: &Pool, prefetch: u32) -> Result<Box<dyn Steps>, QueueError> {
        Ok(Box::new(LogSteps::open(Arc::clone(&self.shared), pool.clone(), prefetch)))
    }

    async fn commands(&self, partitions: &[(PartitionId, i64)]) -> Result<Box<dyn Commands>, QueueError> {
        Ok(Box::new(LogCommands::open(Arc::clone(&self.shared), partitions)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shared::WorldClock;
    use tokio::time::Instant;

    async fn fresh() -> Arc<dyn Queue> {
        let clock = WorldClock { began: Instant::now(), skew_ms: 0 };
        Arc::new(LogBroker::new(Arc::new(clock), None))
    }

    // It is a broker before it is a bad one.
    aidt_queue::queue_conformance!(
        #[tokio::test(start_paused = true)]
        fresh()
    );
}
