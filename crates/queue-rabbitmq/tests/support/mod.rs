//! A queue of a test's own on the real server, and what looks at it from outside.
#![allow(dead_code, reason = "each test binary uses a part of it")]

pub(crate) mod proxy;

use aidt_domain::{Clock, PartitionId, Pool, ProcessId, Timestamp};
use aidt_queue::{Delivery, Outgoing, Queue, Steps, Tag};
use aidt_queue_rabbitmq::{Options, RabbitQueue};
use bytes::Bytes;
use lapin::options::{ExchangeDeleteOptions, QueueDeclareOptions, QueueDeleteOptions};
use lapin::types::FieldTable;
use lapin::{Channel, Connection, ConnectionProperties};
use std::collections::BTreeSet;
use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;
use uuid::Uuid;

/// How long something may take before its test fails.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

const POOLS: [&str; 4] = ["p", "a", "b-2_x", "q"];
const PARTITIONS: u16 = 8;

#[derive(Debug)]
pub(crate) struct At(pub(crate) i64);

impl Clock for At {
    fn now(&self) -> Timestamp {
        Timestamp(self.0)
    }
}

#[expect(clippy::disallowed_methods, reason = "tests have no other place for their settings")]
pub(crate) fn url() -> String {
    std::env::var("AIDT_TEST_AMQP_URL").expect(
        "AIDT_TEST_AMQP_URL is not set: run the tests by `cargo xtask test`, or start the servers with \
         `cargo xtask services up` and export what it prints",
    )
}

#[expect(clippy::disallowed_methods, reason = "each test has a prefix of its own, each queue a process")]
pub(crate) fn uuid() -> Uuid {
    Uuid::new_v4()
}

/// Heartbeats of 1 s, so that what is silent is found out soon.
pub(crate) fn options(url: String, prefix: &str) -> Options {
    Options {
        heartbeat: Duration::from_secs(1),
        ..Options::new(vec![url], prefix.to_owned(), ProcessId(uuid()), Arc::new(At(1_795_267_086_001)))
    }
}

/// A queue under a prefix of its own; what it leaves on the server goes when it is dropped.
pub(crate) struct Fresh {
    pub(crate) queue: Arc<RabbitQueue>,
    pub(crate) prefix: String,
}

impl Deref for Fresh {
    type Target = RabbitQueue;

    fn deref(&self) -> &RabbitQueue {
        &self.queue
    }
}

pub(crate) async fn fresh() -> Fresh {
    fresh_through(url()).await
}

pub(crate) async fn fresh_through(url: String) -> Fresh {
    fresh_with(options(url, "")).await
}

pub(crate) async fn fresh_with(options: Options) -> Fresh {
    let prefix = format!("test-{}", uuid().simple());
    let options = Options { prefix: prefix.clone(), ..options };
    let queue = RabbitQueue::connect(options).await.expect("a RabbitMQ server");
    Fresh { queue, prefix }
}

impl Fresh {
    /// The same queues, as another process has them.
    pub(crate) async fn another(&self) -> Arc<RabbitQueue> {
        RabbitQueue::connect(options(url(), &self.prefix)).await.expect("a RabbitMQ server")
    }

    pub(crate) fn names(&self) -> Vec<String> {
        let pools = POOLS.iter().map(|pool| format!("{}.steps.{pool}", self.prefix));
        let partitions = (0..PARTITIONS).map(|n| format!("{}.commands.{n}", self.prefix));
        pools.chain(partitions).collect()
    }

    pub(crate) fn mark(&self) -> String {
        format!("{}.incarnation", self.prefix)
    }
}

impl Drop for Fresh {
    fn drop(&mut self) {
        self.queue.close();
        let (names, mark, nudge) = (self.names(), self.mark(), format!("{}.nudge", self.prefix));
        let tidy = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(async {
                let outside = Outside::new().await;
                for queue in names.iter().chain([&mark]) {
                    outside.delete(queue).await;
                }
                for exchange in names.iter().map(|name| format!("{name}.known")).chain([nudge]) {
                    let options = ExchangeDeleteOptions::default();
                    outside.channel.exchange_delete(exchange.into(), options).await.expect("delete an exchange");
                }
            });
        });
        if !std::thread::panicking() {
            tidy.join().expect("the test's queues are deleted");
        }
    }
}

/// The server, seen past the adapter.
pub(crate) struct Outside {
    pub(crate) connection: Connection,
    pub(crate) channel: Channel,
}

impl Outside {
    pub(crate) async fn new() -> Self {
        let connection = Connection::connect(&url(), ConnectionProperties::default()).await.expect("connect");
        let channel = connection.create_channel().await.expect("a channel");
        Self { connection, channel }
    }

    pub(crate) async fn delete(&self, queue: &str) {
        self.channel.queue_delete(queue.into(), QueueDeleteOptions::default()).await.expect("delete a queue");
    }

    /// Messages that wait in a queue.
    pub(crate) async fn depth(&self, queue: &str) -> u32 {
        let options = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
        let there = self.channel.queue_declare(queue.into(), options, FieldTable::default()).await;
        there.expect("the queue is there").message_count()
    }
}

pub(crate) fn pool(name: &str) -> Pool {
    Pool::new(name).expect("a pool's name")
}

pub(crate) fn message(body: impl Into<Bytes>) -> Outgoing {
    Outgoing { body: body.into(), republished: false, traceparent: None }
}

pub(crate) fn numbered(range: std::ops::Range<usize>) -> Vec<Bytes> {
    range.map(|n| Bytes::from(n.to_string())).collect()
}

pub(crate) fn steps(bodies: &[Bytes]) -> Vec<(Pool, Outgoing)> {
    bodies.iter().map(|body| (pool("p"), message(body.clone()))).collect()
}

pub(crate) fn commands(partition: u16, bodies: &[Bytes]) -> Vec<(PartitionId, Outgoing)> {
    bodies.iter().map(|body| (PartitionId(partition), message(body.clone()))).collect()
}

pub(crate) async fn in_time<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.expect("it is done in time")
}

/// Tries until it holds.
pub(crate) async fn eventually(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while !holds().await {
        assert!(tokio::time::Instant::now() < deadline, "not in time: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

pub(crate) fn tags(taken: &[Delivery]) -> Vec<Tag> {
    taken.iter().map(|delivery| delivery.tag).collect()
}

/// Takes and acks until these came.
pub(crate) async fn take_and_ack(stream: &mut dyn Steps, expected: &[Bytes]) {
    let mut missing: BTreeSet<Bytes> = expected.iter().cloned().collect();
    while !missing.is_empty() {
        let taken = in_time(stream.recv(expected.len())).await.expect("recv");
        stream.ack(&tags(&taken)).await.expect("ack");
        missing.retain(|body| taken.iter().all(|delivery| delivery.body != body));
    }
}

/// A stream of steps, as soon as it can be had.
pub(crate) async fn reopened(queue: &dyn Queue, prefetch: u32) -> Box<dyn Steps> {
    let mut stream = None;
    eventually("a stream of steps", async || {
        stream = queue.steps(&pool("p"), prefetch).await.ok();
        stream.is_some()
    })
    .await;
    stream.expect("it is there")
}

/// Takes until the stream breaks.
pub(crate) async fn until_broken(stream: &mut dyn Steps) {
    in_time(async { while stream.recv(9).await.is_ok() {} }).await;
}
