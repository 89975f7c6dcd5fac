//! A world of one step consumer: in-memory store, queue and locks, and workers that the test plays.

pub(crate) mod faults;
pub(crate) mod grpc;
pub(crate) mod rows;
pub(crate) mod workers;

use aidt_domain::{
    Clock, Command, CommandBody, DispatchNo, Finished, PartitionId, Pool, ProcessId, RunId, StepIx, StepMessage,
    Timestamp,
};
use aidt_lock::memory::MemoryLocks;
use aidt_policy::{ActivePolicy, Bundle, Module};
use aidt_proto::{decode_command, decode_entries, encode_step};
use aidt_queue::{Commands, Outgoing, Queue};
use aidt_step_consumer::{Beat, Config, Error, Handle, Heart, Life, Ports, StepConsumer, build};
use aidt_store::Store;
use aidt_store::memory::MemoryStore;
use faults::{SwitchQueue, SwitchStore};
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;
use workers::FakeWorkers;

/// Far longer than anything may take; time is paused, so it costs nothing.
pub(crate) const LONG: Duration = Duration::from_secs(120);

pub(crate) fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

#[derive(Debug)]
pub(crate) struct PausedClock(Instant);

impl Clock for PausedClock {
    fn now(&self) -> Timestamp {
        Timestamp(1_800_000_000_000).plus(self.0.elapsed())
    }
}

pub(crate) struct World {
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) faults: Arc<SwitchStore>,
    pub(crate) store: Store,
    pub(crate) queue: Arc<SwitchQueue>,
    pub(crate) locks: MemoryLocks,
    pub(crate) workers: Arc<FakeWorkers>,
    pub(crate) policy: Arc<ActivePolicy>,
    pub(crate) life: Arc<Life>,
    pub(crate) config: Config,
    pub(crate) shutdown: CancellationToken,
    pub(crate) tasks: JoinSet<Result<(), Error>>,
    pub(crate) heart: JoinSet<()>,
    commands: Box<dyn Commands>,
}

pub(crate) fn pool() -> Pool {
    Pool::new("default").unwrap()
}

pub(crate) fn allow_all() -> Arc<Bundle> {
    bundle("package aidt.authz\ndefault decision := {\"verdict\": \"allow\"}\n")
}

pub(crate) fn bundle(rego: &str) -> Arc<Bundle> {
    let module = Module { name: "test.rego".to_owned(), source: rego.to_owned() };
    Bundle::from_modules(vec![module], None).unwrap()
}

impl World {
    /// One worker with this many slots.
    pub(crate) async fn new(slots: u32) -> Self {
        let clock: Arc<dyn Clock> = Arc::new(PausedClock(Instant::now()));
        let memory = MemoryStore::new(1, Arc::clone(&clock));
        let (faults, store) = SwitchStore::over(Store::new(memory));
        let queue = Arc::new(SwitchQueue::new(Arc::clone(&clock)));
        let commands = queue.commands(&[(PartitionId(0), 0)]).await.unwrap();
        Self {
            clock,
            faults,
            store,
            queue,
            locks: MemoryLocks::new(),
            workers: FakeWorkers::new(slots),
            policy: Arc::new(ActivePolicy::new(allow_all())),
            life: Life::new(process(1)),
            config: Config::default(),
            shutdown: CancellationToken::new(),
            tasks: JoinSet::new(),
            heart: JoinSet::new(),
            commands,
        }
    }

    pub(crate) fn consumer(&self) -> StepConsumer {
        let ports = Ports {
            store: self.store.clone(),
            queue: self.queue.clone(),
            locks: Arc::new(self.locks.clone()),
            workers: self.workers.clone(),
            policy: Arc::clone(&self.policy),
        };
        build(self.config.clone(), Arc::clone(&self.life), ports).unwrap()
    }

    /// Runs a step consumer whose heart beats.
    pub(crate) fn run(&mut self) -> Handle {
        let consumer = self.consumer();
        let handle = consumer.handle();
        self.beat(vec![handle.clone()]);
        self.tasks.spawn(consumer.run(self.shutdown.clone()));
        handle
    }

    pub(crate) fn beat(&mut self, handles: Vec<Handle>) {
        let heart = Heart::new(Arc::clone(&self.life), Arc::clone(&self.store.processes), handles);
        self.heart.spawn(async move {
            while heart.beat().await != Beat::Dead {
                sleep(Duration::from_secs(1)).await;
            }
        });
    }

    /// What a crash does: the process is gone between two awaits, and its row falls silent.
    pub(crate) async fn kill(&mut self) {
        self.tasks.shutdown().await;
        self.heart.shutdown().await;
    }

    /// Another life of the process, after a kill.
    pub(crate) fn reborn(&mut self, n: u128) -> Handle {
        self.life = Life::new(process(n));
        self.workers.restart();
        self.run()
    }

    /// Writes the step as dispatched, and publishes its message.
    pub(crate) async fn dispatch(&self, step: &StepMessage) {
        self.put(step).await;
        self.publish(step).await;
    }

    pub(crate) async fn put(&self, step: &StepMessage) {
        rows::put(&self.store, step, self.clock.now()).await;
    }

    pub(crate) async fn publish(&self, step: &StepMessage) {
        self.publish_bytes(encode_step(step), step.republished).await;
    }

    pub(crate) async fn publish_bytes(&self, body: bytes::Bytes, republished: bool) {
        let out = Outgoing { body, republished, traceparent: None };
        self.queue.publish_steps(vec![(pool(), out)]).await.unwrap();
    }

    /// The next command that an owner would get. It is acked.
    pub(crate) async fn command(&mut self) -> Command {
        let received = timeout(LONG, self.commands.recv(1)).await.expect("a command comes").unwrap();
        let mut commands = received.0;
        let Some((partition, delivery)) = commands.pop() else {
            return Box::pin(self.command()).await;
        };
        self.commands.ack(&[(partition, delivery.tag)]).await.unwrap();
        let entries = decode_entries(delivery.body).unwrap();
        assert_eq!(entries.len(), 1);
        decode_command(&entries[0]).unwrap()
    }

    /// The next result, past started and progress.
    pub(crate) async fn finished(&mut self) -> Finished {
        loop {
            if let CommandBody::Finished(finished) = self.command().await.body {
                return *finished;
            }
        }
    }

    /// Nothing more is reported for a long time.
    pub(crate) async fn silence(&mut self) {
        let received = timeout(LONG, async {
            loop {
                let (commands, _) = self.commands.recv(1).await.unwrap();
                if !commands.is_empty() {
                    return commands;
                }
            }
        })
        .await;
        assert!(received.is_err(), "nothing should have been reported");
    }

    /// Lets everything happen that can happen within this time.
    pub(crate) async fn pass(&self, time: Duration) {
        sleep(time).await;
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    pub(crate) fn queued(&self) -> usize {
        self.queue.memory.queued_steps(&pool())
    }

    /// How the consumer ended.
    pub(crate) async fn ended(&mut self) -> Result<(), Error> {
        timeout(LONG, self.tasks.join_next()).await.expect("it ends").unwrap().unwrap()
    }
}

pub(crate) fn process(n: u128) -> ProcessId {
    ProcessId(Uuid::from_u128(n))
}

pub(crate) fn run_id(n: u128) -> RunId {
    RunId(Uuid::from_u128(n))
}

pub(crate) fn key(step: &StepMessage) -> (RunId, StepIx, DispatchNo) {
    (step.run, step.step, step.dispatch)
}
