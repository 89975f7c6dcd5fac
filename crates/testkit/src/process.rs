//! One life of a process: an owner, a step consumer and a heart, under one fate.

use crate::chaos::Side;
use crate::fate::Fate;
use crate::fleet::{Host, View};
use crate::ports::{SimLocks, SimQueue, SimStore, check_death};
use crate::shared::{Shared, WorldClock};
use aidt_completion_consumer::{Config as OwnerConfig, Handle, Owner, Ports as OwnerPorts, Status};
use aidt_domain::{ProcessId, Timestamp};
use aidt_policy::ActivePolicy;
use aidt_step_consumer::{Config as ConsumerConfig, Error as ConsumerError, Heart, Life, Ports as ConsumerPorts};
use aidt_store::Store;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// What ports know of whom they serve.
#[derive(Debug)]
pub(crate) struct Process {
    pub(crate) id: ProcessId,
    pub(crate) world: Arc<Shared>,
    pub(crate) fate: Fate,
    skew_ms: i64,
    flushes_seen: AtomicU32,
    /// Dies at the next such moment.
    doom: Mutex<Option<(Side, &'static str)>>,
    /// Dies with the commit after which large work would go on.
    dies_in_large_work: bool,
}

impl Process {
    pub(crate) fn doom(&self, side: Side, operation: &'static str) {
        *self.doom.lock().unwrap_or_else(PoisonError::into_inner) = Some((side, operation));
    }

    /// It dies of nothing that was decided before.
    pub(crate) fn spare(&self) {
        self.doom.lock().unwrap_or_else(PoisonError::into_inner).take();
        self.fate.spare();
    }

    pub(crate) fn is_doomed_at(&self, side: Side, operation: &str) -> bool {
        let mut doom = self.doom.lock().unwrap_or_else(PoisonError::into_inner);
        doom.take_if(|(s, o)| *s == side && *o == operation).is_some()
    }

    /// Large work was begun and is to go on.
    pub(crate) fn dies_in_large_work(&self) {
        if self.dies_in_large_work && self.world.with(|s| s.chaos.hits(500)) {
            self.doom(Side::After, "commit");
        }
    }

    pub(crate) fn skewed_now(&self) -> Timestamp {
        Timestamp(self.world.now().0 + self.skew_ms)
    }

    /// Whether the fan-out was flushed since the last look.
    pub(crate) fn saw_flush(&self) -> bool {
        let flushes = self.world.with(|s| s.flushes);
        self.flushes_seen.swap(flushes, Ordering::Relaxed) < flushes
    }
}

/// Which part of a process ended, and whether it should have.
#[derive(Debug)]
pub(crate) enum Ended {
    /// With the whole process, from outside.
    Killed,
    /// After a shutdown.
    Drained,
    /// By itself.
    Failed,
}

/// A process from outside.
pub(crate) struct Running {
    pub(crate) process: Arc<Process>,
    pub(crate) shutdown: CancellationToken,
    parts: JoinSet<Ended>,
    drained: u32,
    handle: Handle,
    shown: Status,
}

/// How a process is to be.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Birth {
    pub(crate) id: ProcessId,
    pub(crate) skew_ms: i64,
    pub(crate) dies_in_large_work: bool,
}

impl Running {
    /// Starts a process on a host. Inside a `LocalSet`.
    pub(crate) fn start(world: &Arc<Shared>, host: &Arc<Host>, policy: &Arc<ActivePolicy>, birth: Birth) -> Self {
        let process = Arc::new(Process {
            id: birth.id,
            world: Arc::clone(world),
            fate: Fate::default(),
            skew_ms: birth.skew_ms,
            flushes_seen: AtomicU32::new(world.with(|s| s.flushes)),
            doom: Mutex::new(None),
            dies_in_large_work: birth.dies_in_large_work,
        });
        world.line(|| format!("{} starts, its clock off by {} ms", birth.id, birth.skew_ms));
        let shutdown = CancellationToken::new();
        let mut parts = JoinSet::new();
        let ports = PortsOf::new(&process);
        let handle = own(&ports, policy, &shutdown, &mut parts);
        let workers = View::open(Arc::clone(host), Arc::clone(&process));
        consume(&ports, policy, workers, &shutdown, &mut parts);
        Self { process, shutdown, parts, drained: 0, handle, shown: Status::default() }
    }

    /// Looks after its parts; true while it lives. What panicked breaks an invariant of its own.
    pub(crate) fn look(&mut self) -> bool {
        let world = Arc::clone(&self.process.world);
        let status = self.handle.status();
        if status != self.shown {
            world.line(|| format!("{} owns {:?}; trouble: {:?}", self.process.id, status.held, status.trouble));
            self.shown = status;
        }
        while let Some(ended) = self.parts.try_join_next() {
            match ended {
                Ok(Ended::Killed) => {}
                Ok(Ended::Drained) => {
                    self.drained += 1;
                    if self.drained == 2 {
                        world.line(|| format!("{} has drained", self.process.id));
                        let _ = crate::shared::now(aidt_store::Processes::close(&*world.store, self.process.id));
                        self.process.fate.kill();
                    }
                }
                Ok(Ended::Failed) => {
                    world.line(|| format!("{} ends by itself", self.process.id));
                    self.process.fate.kill();
                }
                Err(panic) => {
                    world.breaks(crate::Invariant::NoPanic, || format!("{}: {panic}", self.process.id));
                    self.process.fate.kill();
                }
            }
        }
        !self.process.fate.is_dead()
    }
}

/// The ports as one process sees them.
struct PortsOf {
    process: Arc<Process>,
    store: Store,
    queue: Arc<SimQueue>,
    locks: Arc<SimLocks>,
}

impl PortsOf {
    fn new(process: &Arc<Process>) -> Self {
        Self {
            process: Arc::clone(process),
            store: Store::new(SimStore::new(Arc::clone(process))),
            queue: Arc::new(SimQueue(Arc::clone(process))),
            locks: Arc::new(SimLocks(Arc::clone(process))),
        }
    }
}

/// The owner.
fn own(of: &PortsOf, policy: &Arc<ActivePolicy>, shutdown: &CancellationToken, parts: &mut JoinSet<Ended>) -> Handle {
    let process = &of.process;
    let clock = WorldClock { began: process.world.clock.began, skew_ms: process.skew_ms };
    let ports = OwnerPorts {
        store: of.store.clone(),
        queue: of.queue.clone(),
        locks: of.locks.clone(),
        clock: Arc::new(clock),
        policy: Arc::clone(policy),
    };
    let (owner, handle) = Owner::build(OwnerConfig { batch: 64, ..OwnerConfig::new(process.id) }, ports);
    let stops = shutdown.clone();
    spawn(parts, process.fate.bind(false, async move { owner.run(stops).await.is_ok() }), shutdown);
    handle
}

/// The step consumer and its heart.
fn consume(
    of: &PortsOf,
    policy: &Arc<ActivePolicy>,
    workers: Arc<View>,
    shutdown: &CancellationToken,
    parts: &mut JoinSet<Ended>,
) {
    let life = Life::new(of.process.id);
    let ports = ConsumerPorts {
        store: of.store.clone(),
        queue: of.queue.clone(),
        locks: of.locks.clone(),
        workers,
        policy: Arc::clone(policy),
    };
    let config = ConsumerConfig {
        service: "completion-consumer,step-consumer".to_owned(),
        environment: "embedded".to_owned(),
        drain_grace: Duration::from_secs(3),
        ..ConsumerConfig::default()
    };
    let consumer = aidt_step_consumer::build(config, Arc::clone(&life), ports).expect("the settings are valid");
    let heart = Heart::new(life, of.store.processes.clone(), vec![consumer.handle()]);
    let (stops, process) = (shutdown.clone(), Arc::clone(&of.process));
    let consuming = async move {
        let ended = consumer.run(stops).await;
        if let Err(ConsumerError::TakenForDead(_)) = &ended {
            check_death(&process);
        }
        ended.is_ok()
    };
    let beating = async move {
        let beat = || async {
            heart.beat().await;
        };
        aidt_runtime::heartbeat::every(Duration::from_secs(1), beat).await;
        false
    };
    spawn(parts, of.process.fate.bind(false, consuming), shutdown);
    spawn(parts, of.process.fate.bind(true, beating), shutdown);
}

fn spawn(parts: &mut JoinSet<Ended>, part: impl Future<Output = Option<bool>> + 'static, shutdown: &CancellationToken) {
    let shutdown = shutdown.clone();
    parts.spawn_local(async move {
        match part.await {
            None => Ended::Killed,
            Some(true) if shutdown.is_cancelled() => Ended::Drained,
            Some(_) => Ended::Failed,
        }
    });
}
