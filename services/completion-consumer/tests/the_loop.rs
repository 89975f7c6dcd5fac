//! The owner over real in-memory ports, with a worker played by the test.

#![expect(clippy::unwrap_used, reason = "tests")]

use aidt_completion_consumer::{Config, Handle, Owner, Ports};
use aidt_domain::*;
use aidt_policy::{ActivePolicy, Bundle};
use aidt_queue::{Commands, Kind, Outgoing, Queue, QueueError, Steps};
use aidt_store::{InboxRow, ProcessRow, Store, Submission};
use aidt_telemetry::{Protocol, Target, Telemetry};
use bytes::Bytes;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::task::LocalSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

#[derive(Debug)]
struct Paused(Instant);

impl Clock for Paused {
    fn now(&self) -> Timestamp {
        BEGIN.plus(self.0.elapsed())
    }
}

struct World {
    store: Store,
    queue: Arc<dyn Queue>,
    ports: Ports,
    pool: Pool,
    commands: u128,
    accepted_at: Timestamp,
}

const BEGIN: Timestamp = Timestamp(1_700_000_000_000);

fn process(n: u128) -> ProcessId {
    ProcessId(Uuid::from_u128(n))
}

impl World {
    async fn new(slots: u32) -> Self {
        let clock: Arc<dyn Clock> = Arc::new(Paused(Instant::now()));
        let store = Store::new(aidt_store::memory::MemoryStore::new(2, Arc::clone(&clock)));
        let queue: Arc<dyn Queue> = Arc::new(aidt_queue::memory::MemoryQueue::new(Arc::clone(&clock), "q1".into()));
        let locks = Arc::new(aidt_lock::memory::MemoryLocks::new());
        let policy = Arc::new(ActivePolicy::new(Bundle::shipped()));
        let ports = Ports { store: store.clone(), queue: Arc::clone(&queue), locks, clock, policy };
        let pool = Pool::new("default").unwrap();
        let world = Self { store, queue, ports, pool, commands: 0, accepted_at: BEGIN };
        world.register(process(1), "completion-consumer", 0).await;
        world.register(process(2), "step-consumer", slots).await;
        world
    }

    /// The same world, for whoever lives in it.
    fn view(&self) -> Self {
        Self {
            store: self.store.clone(),
            queue: Arc::clone(&self.queue),
            ports: self.ports.clone(),
            pool: self.pool.clone(),
            commands: 0,
            accepted_at: self.accepted_at,
        }
    }

    async fn register(&self, id: ProcessId, service: &str, slots: u32) {
        let row = ProcessRow {
            id,
            service: service.into(),
            slots: BTreeMap::from([(self.pool.clone(), slots)]),
            tools: vec![],
            format: FORMAT,
            policy_revision: String::new(),
            heartbeat: Timestamp(0),
            closed: false,
        };
        self.store.processes.register(row).await.unwrap();
    }

    /// Both processes live on.
    async fn beat(&self) {
        loop {
            self.store.processes.heartbeat(process(1)).await.unwrap();
            self.store.processes.heartbeat(process(2)).await.unwrap();
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    }

    async fn send(&mut self, run: RunId, documents: Vec<(Digest, Bytes)>, body: CommandBody) {
        self.commands += 1;
        let id = CommandId(Uuid::from_u128(self.commands));
        let partition = PartitionId::of(run, 2);
        let actor = Actor("tester".into());
        let command = Command { id: Some(id), project: Project::default(), run, actor, traceparent: None, body };
        let row = InboxRow {
            seq: 0,
            id,
            project: Project::default(),
            run,
            partition,
            command: aidt_proto::encode_command(&command).unwrap(),
            at: Timestamp(0),
        };
        self.store.inbox.submit(Submission { row, documents, idempotency: None }).await.unwrap();
        self.queue.nudge(&[partition]).await;
    }

    async fn submit(&mut self, n: u128, steps: Vec<StepSpec>) -> RunId {
        let run = RunId(Uuid::from_u128(n));
        let mut outputs = BTreeMap::new();
        outputs.insert(
            "last".to_owned(),
            serde_json::json!(format!("${{{{ steps.{}.output.value }}}}", steps.last().unwrap().path)),
        );
        let snapshot = Snapshot {
            format: FORMAT,
            name: "test".into(),
            inputs: BTreeMap::new(),
            permissions: None,
            workspace: None,
            steps,
            outputs,
            labels: BTreeMap::new(),
            priority: 0,
        };
        let bytes = canonical_json(&snapshot);
        let digest = Digest::of(&bytes);
        let start = Start {
            snapshot: digest,
            inputs: serde_json::Map::from_iter([("who".to_owned(), "world".into())]),
            input_labels: Labels::user(),
            labels: BTreeMap::new(),
            accepted_at: self.accepted_at,
        };
        self.send(run, vec![(digest, bytes.into())], CommandBody::Start(Box::new(start))).await;
        run
    }

    async fn report(&self, message: &StepMessage, outcome: Outcome) {
        self.report_traced(message, outcome, None).await;
    }

    async fn report_traced(&self, message: &StepMessage, outcome: Outcome, traceparent: Option<&str>) {
        let finished = Finished {
            step: message.step,
            dispatch: message.dispatch,
            outcome,
            started_at: Some(message.dispatched_at),
            process: process(2),
            worker: "test".into(),
            log: Bytes::new(),
        };
        let command = Command {
            id: None,
            project: message.project.clone(),
            run: message.run,
            actor: Actor::default(),
            traceparent: traceparent.map(str::to_owned),
            body: CommandBody::Finished(Box::new(finished)),
        };
        let body = aidt_proto::encode_command(&command).unwrap();
        let outgoing = aidt_queue::Outgoing { body, republished: false, traceparent: None };
        self.queue.publish_commands(vec![(message.partition, outgoing)]).await.unwrap();
    }

    async fn state(&self, run: RunId) -> RunState {
        self.store.history.run(&Project::default(), run).await.unwrap().map_or(RunState::Created, |r| r.state)
    }

    async fn kinds(&self, run: RunId) -> Vec<&'static str> {
        let segments = self.store.history.segments(run, Seq(0), 1000).await.unwrap();
        let events = segments.iter().flat_map(|s| aidt_proto::decode_segment(&s.events, &s.payloads).unwrap());
        events.map(|e| e.body.kind()).collect()
    }

    async fn until(&self, run: RunId, state: RunState) {
        let deadline = Instant::now() + Duration::from_secs(60);
        while self.state(run).await != state {
            assert!(Instant::now() < deadline, "run is {} with {:?}", self.state(run).await, self.kinds(run).await);
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

fn step(path: &str, needs: &[u32], with: serde_json::Value) -> StepSpec {
    StepSpec {
        path: StepPath::new(path).unwrap(),
        kind: StepKind::Tool(ToolEntry {
            name: "debug.echo".into(),
            pool: Pool::new("default").unwrap(),
            capability: "debug.run".into(),
            effect: Effect::Read,
            description: String::new(),
            input_schema: true.into(),
            output_schema: true.into(),
            reads: ToolReads::None,
            writes: ToolReads::None,
            min_sandbox: "none".into(),
        }),
        needs: needs.iter().copied().map(StepIx).collect(),
        when: None,
        always: false,
        with,
        retry: Retry::default(),
        timeouts: Timeouts::default(),
        continue_on_error: false,
        priority: 0,
    }
}

fn chain(n: u32) -> Vec<StepSpec> {
    let first = step("s0", &[], serde_json::json!({"value": "hello ${{ inputs.who }}"}));
    let rest = (1..n).map(|i| {
        let with = serde_json::json!({"value": format!("${{{{ steps.s{}.output.value }}}}!", i - 1)});
        step(&format!("s{i}"), &[i - 1], with)
    });
    std::iter::once(first).chain(rest).collect()
}

/// Takes steps and echoes, until dropped.
async fn echo(world: World, mut steps: Box<dyn Steps>) {
    loop {
        for delivery in steps.recv(64).await.unwrap() {
            let message = aidt_proto::decode_step(&delivery.body).unwrap();
            let outcome =
                Outcome::Done { output: message.arguments.clone(), labels: message.labels.clone(), workspace: None };
            world.report(&message, outcome).await;
            steps.ack(&[delivery.tag]).await.unwrap();
        }
    }
}

fn spawn_owner(set: &LocalSet, world: &World, n: u128) -> (Handle, CancellationToken) {
    let (owner, handle) = Owner::build(Config::new(process(n)), world.ports.clone());
    let stop = CancellationToken::new();
    let stopped = stop.clone();
    set.spawn_local(async move { owner.run(stopped).await.unwrap() });
    (handle, stop)
}

async fn with_world<F: AsyncFnOnce(&LocalSet, World)>(test: F) {
    let set = LocalSet::new();
    let world = World::new(8).await;
    let beating = world.view();
    set.spawn_local(async move { beating.beat().await });
    set.run_until(test(&set, world)).await;
}

#[tokio::test(start_paused = true)]
async fn a_plan_goes_through_the_whole_loop() {
    with_world(async |set, mut world| {
        spawn_owner(set, &world, 1);
        let stream = world.queue.steps(&world.pool, 8).await.unwrap();
        set.spawn_local(echo(world.view(), stream));
        let run = world.submit(7, chain(3)).await;
        world.until(run, RunState::Done).await;
        let row = world.store.history.run(&Project::default(), run).await.unwrap().unwrap();
        let outputs = world.store.history.payload(&(run, row.outputs.clone().unwrap())).await.unwrap();
        assert_eq!(&outputs[..], br#"{"last":"hello world!!"}"#);
        assert_eq!(row.outputs.unwrap().labels, Labels::user());
        let expected = [
            "run_started",
            "step_dispatched",
            "step_finished",
            "step_dispatched",
            "step_finished",
            "step_dispatched",
            "step_finished",
            "run_done",
        ];
        assert_eq!(world.kinds(run).await, expected);
        assert!(world.store.inbox.inbox(row.partition, 0, 10).await.unwrap().is_empty());
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_gateway_whose_clock_is_ahead_takes_no_run_along() {
    with_world(async |set, mut world| {
        world.accepted_at = BEGIN.plus(Duration::from_secs(30));
        spawn_owner(set, &world, 1);
        let stream = world.queue.steps(&world.pool, 8).await.unwrap();
        set.spawn_local(echo(world.view(), stream));
        let run = world.submit(7, chain(1)).await;
        world.until(run, RunState::Done).await;
        let row = world.store.history.run(&Project::default(), run).await.unwrap().unwrap();
        let now = world.ports.clock.now();
        assert!(now < world.accepted_at, "the test took too long");
        assert!(row.created_at <= now && row.updated_at <= now, "{row:?}");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn without_workers_nothing_is_dispatched_and_with_them_it_goes_on() {
    with_world(async |set, mut world| {
        world.register(process(2), "step-consumer", 0).await;
        spawn_owner(set, &world, 1);
        let run = world.submit(7, chain(1)).await;
        world.until(run, RunState::Running).await;
        tokio::time::sleep(Duration::from_secs(5)).await;
        assert_eq!(world.kinds(run).await, ["run_started"]);
        world.register(process(2), "step-consumer", 1).await;
        let stream = world.queue.steps(&world.pool, 8).await.unwrap();
        set.spawn_local(echo(world.view(), stream));
        world.until(run, RunState::Done).await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn another_owner_takes_over_and_a_wiped_queue_is_filled_again() {
    with_world(async |set, mut world| {
        let (mut first, stop) = spawn_owner(set, &world, 1);
        let run = world.submit(7, chain(3)).await;
        world.until(run, RunState::Running).await;
        assert!(first.holds(2).await);
        stop.cancel();
        // What was queued is gone: a new queue, of another incarnation.
        let clock = Arc::clone(&world.ports.clock);
        let queue: Arc<dyn Queue> = Arc::new(aidt_queue::memory::MemoryQueue::new(clock, "q2".into()));
        world.queue = Arc::clone(&queue);
        world.ports.queue = queue;
        world.store.processes.close(process(1)).await.unwrap();
        world.register(process(3), "completion-consumer", 0).await;
        spawn_owner(set, &world, 3);
        let stream = world.queue.steps(&world.pool, 8).await.unwrap();
        set.spawn_local(echo(world.view(), stream));
        let store = world.store.clone();
        set.spawn_local(async move {
            loop {
                store.processes.heartbeat(process(3)).await.unwrap();
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        });
        world.until(run, RunState::Done).await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn cancel_burns_what_nobody_runs() {
    with_world(async |set, mut world| {
        spawn_owner(set, &world, 1);
        let run = world.submit(7, chain(3)).await;
        world.until(run, RunState::Running).await;
        world.send(run, vec![], CommandBody::Cancel { reason: "enough".into() }).await;
        world.until(run, RunState::Cancelled).await;
        let kinds = world.kinds(run).await;
        assert_eq!(kinds.iter().filter(|k| **k == "step_cancelled").count(), 3, "{kinds:?}");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_poison_message_is_buried_and_nobody_else_waits() {
    with_world(async |set, mut world| {
        spawn_owner(set, &world, 1);
        let stream = world.queue.steps(&world.pool, 8).await.unwrap();
        set.spawn_local(echo(world.view(), stream));
        for p in [PartitionId(0), PartitionId(1)] {
            let body = Bytes::from_static(b"\xff\xff\xff not a command");
            let outgoing = aidt_queue::Outgoing { body, republished: false, traceparent: None };
            world.queue.publish_commands(vec![(p, outgoing)]).await.unwrap();
        }
        let run = world.submit(7, chain(3)).await;
        world.until(run, RunState::Done).await;
        assert_eq!(world.store.dead_letters.dead_letters(0, 10).await.unwrap().len(), 2);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn what_a_person_resolved_is_read_by_the_steps_after_it() {
    with_world(async |set, mut world| {
        spawn_owner(set, &world, 1);
        let mut steps = chain(2);
        let StepKind::Tool(tool) = &mut steps[0].kind;
        tool.effect = Effect::Once;
        let run = world.submit(7, steps).await;
        world.until(run, RunState::Running).await;
        let mut stream = world.queue.steps(&world.pool, 8).await.unwrap();
        let delivery = stream.recv(1).await.unwrap().remove(0);
        let message = aidt_proto::decode_step(&delivery.body).unwrap();
        let doubt = Failure::transient(ErrorCode::WorkerLost, "gone");
        world.report(&message, Outcome::Failed(doubt)).await;
        stream.ack(&[delivery.tag]).await.unwrap();
        let resolve = ResolveAs::Done(serde_json::json!({"value": "by hand"}));
        let step = StepPath::new("s0").unwrap();
        while !world.kinds(run).await.contains(&"step_unknown") {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        set.spawn_local(echo(world.view(), stream));
        world.send(run, vec![], CommandBody::Resolve { step, resolve }).await;
        world.until(run, RunState::Done).await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn hundreds_of_plans_at_once_are_all_started() {
    with_world(async |set, mut world| {
        let stream = world.queue.steps(&world.pool, 8).await.unwrap();
        set.spawn_local(echo(world.view(), stream));
        let mut runs = Vec::new();
        for n in 0..600_u32 {
            let with = serde_json::json!({"value": n});
            runs.push(world.submit(1_000 + u128::from(n), vec![step("only", &[], with)]).await);
        }
        spawn_owner(set, &world, 1);
        for run in runs {
            world.until(run, RunState::Done).await;
        }
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn what_is_left_to_a_newer_process_hides_nothing() {
    with_world(async |set, mut world| {
        let run = RunId(Uuid::from_u128(7));
        for n in 0..600 {
            let row = InboxRow {
                seq: 0,
                id: CommandId(Uuid::from_u128(1_000 + n)),
                project: Project::default(),
                run,
                partition: PartitionId::of(run, 2),
                command: Bytes::from_static(b"\x08\x63 of format 99"),
                at: Timestamp(0),
            };
            world.store.inbox.submit(Submission { row, documents: vec![], idempotency: None }).await.unwrap();
        }
        let run = world.submit(7, chain(3)).await;
        spawn_owner(set, &world, 1);
        let stream = world.queue.steps(&world.pool, 8).await.unwrap();
        set.spawn_local(echo(world.view(), stream));
        world.until(run, RunState::Done).await;
        assert_eq!(world.store.inbox.inbox(PartitionId::of(run, 2), 0, 1_000).await.unwrap().len(), 600);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_result_that_cannot_be_read_ends_its_run_with_that_cause() {
    with_world(async |set, mut world| {
        spawn_owner(set, &world, 1);
        let run = world.submit(7, chain(3)).await;
        world.until(run, RunState::Running).await;
        let id = None;
        let body = CommandBody::Cancel { reason: "what".into() };
        let command =
            Command { id, project: Project::default(), run, actor: Actor::default(), traceparent: None, body };
        let whole = aidt_proto::encode_command(&command).unwrap();
        let body = Bytes::from([&whole[..whole.len() - 1], b"\xff\xff"].concat());
        let broken = aidt_queue::Outgoing { body: body.clone(), republished: false, traceparent: None };
        world.queue.publish_commands(vec![(PartitionId::of(run, 2), broken)]).await.unwrap();
        world.until(run, RunState::Failed).await;
        let letters = world.store.dead_letters.dead_letters(0, 10).await.unwrap();
        assert_eq!((letters.len(), letters[0].run, &letters[0].bytes), (1, Some(run), &body));
        let row = world.store.history.run(&Project::default(), run).await.unwrap().unwrap();
        let error = row.error.unwrap();
        assert_eq!(error.code, ErrorCode::Internal);
        assert!(error.message.contains("dead letter"), "{}", error.message);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_result_of_a_step_that_is_not_there_is_dropped_though_it_is_traced() {
    let collector = aidt_tests::Collector::start();
    let target = Target {
        endpoint: collector.grpc(),
        protocol: Protocol::Grpc,
        headers: Vec::new(),
        timeout: Duration::from_secs(5),
    };
    let traced = aidt_telemetry::Config { traces: Some(target), ..aidt_telemetry::Config::new("test", "1", "1") };
    let _telemetry = Telemetry::start(&traced).unwrap();
    with_world(async |set, mut world| {
        let mut steps = world.queue.steps(&world.pool, 8).await.unwrap();
        spawn_owner(set, &world, 1);
        let run = world.submit(7, chain(1)).await;
        let message = aidt_proto::decode_step(&steps.recv(1).await.unwrap()[0].body).unwrap();
        // Of a store that is older than the broker.
        let beyond = StepMessage { step: StepIx(9_999), ..message.clone() };
        let outcome =
            Outcome::Done { output: message.arguments.clone(), labels: message.labels.clone(), workspace: None };
        let traceparent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        world.report_traced(&beyond, outcome.clone(), Some(traceparent)).await;
        world.report_traced(&message, outcome, Some(traceparent)).await;
        world.until(run, RunState::Done).await;
        assert!(world.store.dead_letters.dead_letters(0, 10).await.unwrap().is_empty());
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn an_owner_that_is_alone_again_notices_that_another_had_its_partition() {
    with_world(async |set, world| {
        let (mut owner, _stop) = spawn_owner(set, &world, 1);
        assert!(owner.holds(2).await);
        // While it was frozen: another took the partition, and died.
        let taken = world.store.run_log.take(PartitionId(0), process(9), FORMAT).await.unwrap();
        tokio::time::sleep(Duration::from_secs(120)).await;
        let row = world.store.run_log.partition(PartitionId(0)).await.unwrap();
        assert!(row.epoch > taken.epoch, "{row:?}");
    })
    .await;
}

/// A broker that does not open a stream of commands when it is asked first.
struct NotYet(Arc<dyn Queue>, AtomicBool);

#[async_trait::async_trait]
impl Queue for NotYet {
    async fn incarnation(&self) -> Result<String, QueueError> {
        self.0.incarnation().await
    }

    async fn publish_steps(&self, steps: Vec<(Pool, Outgoing)>) -> Result<(), QueueError> {
        self.0.publish_steps(steps).await
    }

    async fn publish_commands(&self, commands: Vec<(PartitionId, Outgoing)>) -> Result<(), QueueError> {
        self.0.publish_commands(commands).await
    }

    async fn nudge(&self, partitions: &[PartitionId]) {
        self.0.nudge(partitions).await;
    }

    async fn steps(&self, pool: &Pool, prefetch: u32) -> Result<Box<dyn Steps>, QueueError> {
        self.0.steps(pool, prefetch).await
    }

    async fn commands(&self, partitions: &[(PartitionId, i64)]) -> Result<Box<dyn Commands>, QueueError> {
        if self.1.swap(false, Ordering::Relaxed) {
            return Err(QueueError { operation: "commands", kind: Kind::Unavailable, source: None });
        }
        self.0.commands(partitions).await
    }
}

#[tokio::test(start_paused = true)]
async fn an_owner_without_work_says_that_its_trouble_is_over() {
    with_world(async |set, mut world| {
        world.ports.queue = Arc::new(NotYet(Arc::clone(&world.queue), AtomicBool::new(true)));
        let (owner, _stop) = spawn_owner(set, &world, 1);
        tokio::time::sleep(Duration::from_millis(500)).await;
        assert!(owner.status().trouble.is_some());
        tokio::time::sleep(Duration::from_secs(5)).await;
        assert_eq!(owner.status().trouble, None);
    })
    .await;
}
