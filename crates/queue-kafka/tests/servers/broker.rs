//! The broker under test, queues on it, and an outsider who administers it.

use aidt_domain::{PartitionId, Pool};
use aidt_queue::{Commands, Delivery, Outgoing, Queue, Steps, Tag};
use aidt_queue_kafka::{KafkaQueue, Options};
use bytes::Bytes;
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewPartitions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::{Offset, TopicPartitionList};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, sleep};
use uuid::Uuid;

/// How long anything may take before a test fails.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) fn address() -> String {
    #[expect(clippy::disallowed_methods, reason = "the test's own setting")]
    let address = std::env::var("AIDT_TEST_KAFKA");
    address.expect(
        "AIDT_TEST_KAFKA is not set: run the tests by `cargo xtask test`, or start the servers with \
         `cargo xtask services up` and export what it prints",
    )
}

/// A prefix that no other test has.
pub(crate) fn prefix() -> String {
    #[expect(clippy::disallowed_methods, reason = "no two runs of a test may meet")]
    let random = Uuid::new_v4().simple().to_string();
    format!("t{}", &random[..12])
}

pub(crate) fn options(prefix: &str) -> Options {
    Options { pool_partitions: 4, replication: Some(1), ..Options::new(address(), prefix, 8) }
}

pub(crate) async fn connect(options: Options) -> Arc<KafkaQueue> {
    // `RUST_LOG` works in tests, too.
    let filter = tracing_subscriber::EnvFilter::from_default_env();
    let _ = tracing_subscriber::fmt().with_env_filter(filter).with_test_writer().try_init();
    KafkaQueue::connect(options).await.expect("connect")
}

pub(crate) async fn fresh() -> Arc<KafkaQueue> {
    connect(options(&prefix())).await
}

pub(crate) async fn in_time<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.expect("it happens in time")
}

/// Looks until it holds.
pub(crate) async fn eventually(what: &str, mut holds: impl AsyncFnMut() -> bool) -> Duration {
    let start = Instant::now();
    while !holds().await {
        assert!(start.elapsed() < PATIENCE, "{what}: not in time");
        sleep(Duration::from_millis(20)).await;
    }
    start.elapsed()
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

pub(crate) fn steps(pool: &Pool, bodies: Vec<Bytes>) -> Vec<(Pool, Outgoing)> {
    bodies.into_iter().map(|body| (pool.clone(), message(body))).collect()
}

pub(crate) fn commands(to: PartitionId, bodies: Vec<Bytes>) -> Vec<(PartitionId, Outgoing)> {
    bodies.into_iter().map(|body| (to, message(body))).collect()
}

pub(crate) fn tags(deliveries: &[Delivery]) -> Vec<Tag> {
    deliveries.iter().map(|d| d.tag).collect()
}

/// Takes until this many different steps came; acks none.
pub(crate) async fn take(stream: &mut dyn Steps, count: usize) -> Vec<Delivery> {
    let (mut taken, mut bodies) = (Vec::new(), BTreeSet::new());
    while bodies.len() < count {
        for delivery in in_time(stream.recv(count)).await.expect("recv") {
            bodies.insert(delivery.body.clone());
            taken.push(delivery);
        }
    }
    taken
}

/// Takes until this many different commands came; acks none.
pub(crate) async fn take_commands(stream: &mut dyn Commands, count: usize) -> Vec<(PartitionId, Delivery)> {
    let (mut taken, mut bodies) = (Vec::new(), BTreeSet::new());
    while bodies.len() < count {
        for (partition, delivery) in in_time(stream.recv(count)).await.expect("recv").0 {
            bodies.insert((partition, delivery.body.clone()));
            taken.push((partition, delivery));
        }
    }
    taken
}

/// Waits for messages to be fresh: the stream has all of its partitions.
pub(crate) async fn settled(queue: &KafkaQueue, pool: &Pool, stream: &mut dyn Steps) {
    let mut fresh = 0;
    in_time(async {
        while fresh < 8 {
            queue.publish_steps(steps(pool, vec![Bytes::from_static(b"settle")])).await.expect("publish");
            let taken = stream.recv(1).await.expect("recv");
            fresh = if taken.iter().any(|d| d.doubtful) { 0 } else { fresh + 1 };
            stream.ack(&tags(&taken)).await.expect("ack");
        }
    })
    .await;
}

/// Somebody who is not us.
pub(crate) struct Outsider(AdminClient<DefaultClientContext>);

impl Outsider {
    pub(crate) fn new() -> Self {
        Self(ClientConfig::new().set("bootstrap.servers", address()).create().expect("an admin client"))
    }

    pub(crate) async fn delete(&self, topic: &str) {
        let deleted = self.0.delete_topics(&[topic], &AdminOptions::new()).await.expect("delete a topic");
        deleted.into_iter().for_each(|topic| drop(topic.expect("deleted")));
    }

    /// How many messages a partition of a topic that nobody shortened has.
    pub(crate) async fn count(&self, topic: &str, partition: i32) -> usize {
        let consumer: BaseConsumer =
            ClientConfig::new().set("bootstrap.servers", address()).create().expect("a client");
        let topic = topic.to_owned();
        let ask = move || consumer.fetch_watermarks(&topic, partition, PATIENCE).expect("watermarks");
        let (low, high) = tokio::task::spawn_blocking(ask).await.expect("no panic");
        assert_eq!(low, 0);
        usize::try_from(high).expect("no less than 0")
    }

    /// Makes a topic as a person would.
    pub(crate) async fn make(&self, topic: &str, partitions: i32) {
        let new = NewTopic::new(topic, partitions, TopicReplication::Fixed(1));
        let made = self.0.create_topics(&[new], &AdminOptions::new()).await.expect("make a topic");
        made.into_iter().for_each(|topic| drop(topic.expect("made")));
    }

    /// Gives a topic partitions, up to this many.
    pub(crate) async fn grow(&self, topic: &str, partitions: usize) {
        let more = NewPartitions::new(topic, partitions);
        let grown = self.0.create_partitions(&[more], &AdminOptions::new()).await.expect("add partitions");
        grown.into_iter().for_each(|topic| drop(topic.expect("added")));
    }

    /// The group that offsets of a topic are committed to, as soon as they are.
    pub(crate) async fn group_of(&self, topic: &str) -> String {
        let mut found = None;
        eventually("a group", async || {
            let consumer = client(None);
            let begin = format!("{topic}.");
            found = blocking(move || {
                let list = consumer.fetch_group_list(None, PATIENCE).expect("groups");
                list.groups().iter().map(|g| g.name().to_owned()).find(|name| name.starts_with(&begin))
            })
            .await;
            found.is_some()
        })
        .await;
        found.expect("found")
    }

    /// A member of a group, with all partitions of the topic.
    pub(crate) async fn join(group: &str, topic: &str) -> BaseConsumer {
        let (consumer, topic) = (client(Some(group)), topic.to_owned());
        blocking(move || {
            consumer.subscribe(&[&topic]).expect("subscribe");
            while consumer.assignment().expect("an assignment").count() == 0 {
                let _ = consumer.poll(Duration::from_millis(50));
            }
            consumer
        })
        .await
    }

    /// How many messages of a topic are not committed.
    pub(crate) async fn lag(group: &str, topic: &str) -> i64 {
        let (consumer, topic) = (client(Some(group)), topic.to_owned());
        blocking(move || {
            let metadata = consumer.fetch_metadata(Some(&topic), PATIENCE).expect("metadata");
            let mut list = TopicPartitionList::new();
            for partition in metadata.topics()[0].partitions() {
                list.add_partition(&topic, partition.id());
            }
            let committed = consumer.committed_offsets(list, PATIENCE).expect("offsets");
            let lag = committed.elements().into_iter().map(|place| {
                let (_, end) = consumer.fetch_watermarks(&topic, place.partition(), PATIENCE).expect("watermarks");
                match place.offset() {
                    Offset::Offset(at) => end - at,
                    _ => end,
                }
            });
            lag.sum()
        })
        .await
    }
}

fn client(group: Option<&str>) -> BaseConsumer {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", address()).set("enable.auto.commit", "false");
    if let Some(group) = group {
        config.set("group.id", group).set("session.timeout.ms", "6000");
    }
    config.create().expect("a client")
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    tokio::task::spawn_blocking(work).await.expect("no panic")
}
