//! What all parts of a world share: what is durable, the clock, and what is written down.

use crate::Invariant;
use crate::Plant;
use crate::chaos::Chaos;
use crate::fleet::Job;
use crate::ledger::{ExecutionNo, Ledger, Said};
use crate::log::LogBroker;
use crate::notes::Notes;
use crate::rng::Rng;
use crate::truth::{Truth, Witness, index};
use aidt_domain::{Clock, Event, EventBody, ProcessId, RunId, StepMessage, Timestamp};
use aidt_lock::memory::MemoryLocks;
use aidt_queue::Queue;
use aidt_queue::memory::MemoryQueue;
use aidt_store::memory::MemoryStore;
use aidt_store::{Batch, Commit, Kind, RunLog, StoreError};
use futures::FutureExt;
use std::ops::Deref;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::mpsc::UnboundedSender;
use tokio::time::Instant;

/// When every world begins.
pub(crate) const EPOCH: Timestamp = Timestamp(1_700_000_000_000);

/// True time, less what a process's clock is off by.
#[derive(Clone, Debug)]
pub(crate) struct WorldClock {
    pub(crate) began: Instant,
    pub(crate) skew_ms: i64,
}

impl Clock for WorldClock {
    fn now(&self) -> Timestamp {
        Timestamp(EPOCH.0 + self.skew_ms).plus(self.began.elapsed())
    }
}

/// The broker of a world, in the shape of RabbitMQ or of Kafka.
pub(crate) enum Broker {
    /// It hands out, and forgets what is acked.
    Queue(MemoryQueue),
    /// It is read from a place.
    Log(LogBroker),
}

impl Broker {
    fn draw(seed: u64, clock: Arc<dyn Clock>) -> Self {
        let mut rng = Rng::new(seed, 4);
        match rng.chance(500) {
            true => Self::Log(LogBroker::new(clock, Some(rng))),
            false => Self::Queue(MemoryQueue::new(clock, "broker".to_owned())),
        }
    }

    pub(crate) fn shape(&self) -> &'static str {
        match self {
            Self::Queue(_) => "queue",
            Self::Log(_) => "log",
        }
    }

    /// Loses everything.
    pub(crate) fn wipe(&self) {
        match self {
            Self::Queue(queue) => queue.wipe(),
            Self::Log(log) => log.wipe(),
        }
    }
}

impl Deref for Broker {
    type Target = dyn Queue;

    fn deref(&self) -> &Self::Target {
        match self {
            Self::Queue(queue) => queue,
            Self::Log(log) => log,
        }
    }
}

/// What is written down and drawn.
pub(crate) struct State {
    pub(crate) chaos: Chaos,
    pub(crate) notes: Notes,
    pub(crate) truth: Truth,
    pub(crate) ledger: Ledger,
    pub(crate) flushes: u32,
}

pub(crate) struct Shared {
    pub(crate) clock: WorldClock,
    pub(crate) store: Arc<MemoryStore>,
    pub(crate) queue: Broker,
    pub(crate) locks: MemoryLocks,
    pub(crate) plant: Option<Plant>,
    pub(crate) jobs: UnboundedSender<Job>,
    state: Mutex<State>,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").field("plant", &self.plant).finish_non_exhaustive()
    }
}

impl Shared {
    pub(crate) fn new(
        seed: u64,
        partitions: u16,
        plant: Option<Plant>,
        tracing: bool,
        jobs: UnboundedSender<Job>,
    ) -> Arc<Self> {
        let clock = WorldClock { began: Instant::now(), skew_ms: 0 };
        let shared_clock: Arc<dyn Clock> = Arc::new(clock.clone());
        Arc::new(Self {
            store: MemoryStore::new(partitions, Arc::clone(&shared_clock)),
            queue: Broker::draw(seed, shared_clock),
            locks: MemoryLocks::new(),
            clock,
            plant,
            jobs,
            state: Mutex::new(State {
                chaos: Chaos::new(seed),
                notes: Notes::new(tracing),
                truth: Truth::default(),
                ledger: Ledger::default(),
                flushes: 0,
            }),
        })
    }

    /// Never across an await.
    pub(crate) fn with<T>(&self, look: impl FnOnce(&mut State) -> T) -> T {
        look(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn is_planted(&self, plant: Plant) -> bool {
        self.plant == Some(plant)
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    pub(crate) fn since_began(&self) -> Timestamp {
        Timestamp(self.now().0 - EPOCH.0)
    }

    pub(crate) fn line(&self, text: impl FnOnce() -> String) {
        let at = self.since_began();
        self.with(|s| s.notes.line(at, text));
    }

    pub(crate) fn count(&self, kind: &'static str, name: &'static str) {
        self.with(|s| s.notes.count(kind, name));
    }

    pub(crate) fn fault(&self, name: &'static str, text: impl FnOnce() -> String) {
        let at = self.since_began();
        self.with(|s| {
            s.notes.count("fault", name);
            s.notes.line(at, || format!("fault {name}: {}", text()));
        });
    }

    pub(crate) fn breaks(&self, invariant: Invariant, why: impl FnOnce() -> String) {
        let at = self.since_began();
        self.with(|s| s.notes.breaks(at, invariant, why));
    }

    /// A transaction of a process takes effect here.
    pub(crate) fn commit(&self, process: ProcessId, batches: Vec<Batch>) -> Result<Commit, StoreError> {
        let copies = batches.clone();
        let rows: Vec<_> = copies.iter().filter_map(|b| now(self.store.partition(b.partition)).ok()).collect();
        let result = now(self.store.commit(batches));
        let matching = || copies.iter().zip(&rows).filter(|(b, row)| b.epoch == row.epoch);
        match &result {
            Ok(commit) => {
                for (batch, row) in matching().filter(|(b, _)| commit.held.contains(&b.partition)) {
                    if row.owner != Some(process) {
                        self.breaks(Invariant::OneWriter, || {
                            format!("{process} wrote partition {}, whose owner is {:?}", batch.partition, row.owner)
                        });
                    }
                    self.committed(process, batch);
                }
                self.with(|s| {
                    for burn in commit.burns.iter().filter(|b| b.won) {
                        s.truth.claims.insert((burn.run, burn.step, burn.dispatch), None);
                    }
                    s.notes
                        .counts
                        .entry(("command", "burned"))
                        .and_modify(|n| *n += commit.burns.len() as u64)
                        .or_insert(commit.burns.len() as u64);
                });
            }
            Err(error) if matches!(error.kind, Kind::Conflict | Kind::Invalid) && matching().next().is_some() => {
                self.breaks(Invariant::OneWriter, || {
                    format!("{process} holds the epoch and writes what does not fit: {error}: {:?}", error.source)
                });
            }
            Err(_) => {}
        }
        result
    }

    fn committed(&self, process: ProcessId, batch: &Batch) {
        let now = self.now();
        let at = self.since_began();
        self.with(|s| {
            let timers = batch.turn.timers_set.len() as u64;
            *s.notes.counts.entry(("command", "timer_set")).or_default() += timers;
            *s.notes.counts.entry(("command", "inbox")).or_default() += batch.turn.inbox_done.len() as u64;
            for segment in &batch.turn.segments {
                s.notes.digest(&now.0.to_le_bytes());
                s.notes.digest(&segment.events);
                s.notes.digest(&segment.payloads);
                let events = match aidt_proto::decode_segment(&segment.events, &segment.payloads) {
                    Ok(events) => events,
                    Err(error) => {
                        s.notes.breaks(at, Invariant::HistoryGapless, || format!("{}: {error}", segment.run));
                        continue;
                    }
                };
                for event in &events {
                    s.notes.line(at, || format!("{process} wrote {}", shown(segment.run, event)));
                    let mut witness = Witness { notes: &mut s.notes, ledger: &s.ledger, now };
                    s.truth.committed(segment.run, event, &mut witness);
                }
            }
        });
    }

    /// A worker begins a call.
    pub(crate) fn start(&self, step: &StepMessage) -> ExecutionNo {
        let at = self.since_began();
        self.with(|s| {
            let key = (step.run, step.step, step.dispatch);
            if !s.truth.allowed.contains(&key) {
                s.notes.breaks(at, Invariant::DecisionBeforeUse, || format!("{key:?} is executed"));
            }
            s.notes.line(at, || format!("a worker begins {} step {} dispatch {}", step.run, step.path, step.dispatch));
            let (no, allowed) = s.ledger.start(step);
            if let Err(why) = allowed {
                s.notes.breaks(at, Invariant::EffectsAsClassed, || why);
            }
            no
        })
    }

    /// Its effect happens.
    pub(crate) fn happens(&self, no: ExecutionNo) {
        self.with(|s| s.ledger.happens(no));
    }

    /// It ended.
    pub(crate) fn ends(&self, no: ExecutionNo, said: Said) {
        self.line(|| format!("call {no:?} ended: {said:?}"));
        self.with(|s| s.ledger.ends(no, said));
    }
}

/// An operation of a port in memory: answers at once.
pub(crate) fn now<T>(operation: impl Future<Output = T>) -> T {
    operation.now_or_never().expect("ports in memory answer at once")
}

fn shown(run: RunId, event: &Event) -> String {
    let step = event.step.as_ref().map(|p| format!(" step {} dispatch {}", index(p), event.dispatch));
    let more = match &event.body {
        EventBody::StepFailed { error, .. }
        | EventBody::StepRetrying { error, .. }
        | EventBody::StepUnknown { error } => {
            format!(": {error} (effect: {:?})", error.effect)
        }
        EventBody::StepRequeued { reason, .. } | EventBody::StepSkipped { reason } => format!(": {reason}"),
        EventBody::StepResolved { resolve, .. } => format!(": {resolve}"),
        EventBody::CommandRefused { message, .. } => format!(": {message}"),
        EventBody::RunFailed { error } => format!(": {error}"),
        _ => String::new(),
    };
    format!("{run} #{} {}{}{more}", event.seq, event.body.kind(), step.unwrap_or_default())
}

/// Virtual milliseconds.
pub(crate) const fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}
