//! What an adapter is told, and the settings of the clients that follow from it.

use crate::error::Error;
use aidt_domain::Pool;
use rdkafka::ClientConfig;
use rdkafka::config::RDKafkaLogLevel;
use std::collections::BTreeMap;
use std::time::Duration;

/// The largest message, in bytes: a claim-checked payload is at most 256 KiB, and room for what is around it.
const MAX_MESSAGE: usize = 2 << 20;

/// How to reach Kafka, and what of it is ours.
#[derive(Clone, Debug)]
pub struct Options {
    /// `host:port,…` to start from.
    pub brokers: String,
    /// Begins the names of topics, groups and clients: 1 to 60 letters, digits and `-`. Stacks with different
    /// prefixes share a broker.
    pub prefix: String,
    /// How many partitions the store has.
    pub partitions: u16,
    /// Kafka partitions of a pool's topic, if this makes it: at least as many as step consumers serve the pool.
    pub pool_partitions: u16,
    /// Copies of each partition, if this makes its topic; `None`: the broker's default.
    pub replication: Option<u16>,
    /// How long publishing may take before its outcome is given up as unknown.
    pub publish_timeout: Duration,
    /// How long any other request may take.
    pub request_timeout: Duration,
    /// How often to look whether the topics are still the same.
    pub look_every: Duration,
    /// Settings of librdkafka for every client, e.g. `security.protocol`; `debug` has it tell more.
    pub settings: BTreeMap<String, String>,
}

impl Options {
    /// With everything else at its default.
    #[must_use]
    pub fn new(brokers: impl Into<String>, prefix: impl Into<String>, partitions: u16) -> Self {
        Self {
            brokers: brokers.into(),
            prefix: prefix.into(),
            partitions,
            pool_partitions: 16,
            replication: None,
            publish_timeout: Duration::from_secs(5),
            request_timeout: Duration::from_secs(5),
            look_every: Duration::from_millis(500),
            settings: BTreeMap::new(),
        }
    }

    /// No dot and no underscore: names then cannot run into those of another prefix, nor differ only in what
    /// Kafka's metrics take for the same.
    pub(crate) fn check(&self) -> Result<(), Error> {
        let ok = (1..=60).contains(&self.prefix.len())
            && self.prefix.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
        if ok { Ok(()) } else { Err(Error::Prefix(self.prefix.clone())) }
    }

    pub(crate) fn commands_topic(&self) -> String {
        format!("{}.commands", self.prefix)
    }

    /// A pool's name (`a-z 0-9 - _`) is legal in a topic's as it is.
    pub(crate) fn steps_topic(&self, pool: &Pool) -> String {
        format!("{}.steps.{pool}", self.prefix)
    }

    /// What names of pools' topics begin with.
    pub(crate) fn steps_prefix(&self) -> String {
        format!("{}.steps.", self.prefix)
    }

    /// Settings of any client.
    pub(crate) fn client(&self, what: &str) -> ClientConfig {
        let mut config = ClientConfig::new();
        config
            .set("bootstrap.servers", &self.brokers)
            .set("client.id", format!("{}.{what}", self.prefix))
            .set("socket.nagle.disable", "true")
            .set("socket.timeout.ms", self.request_timeout.as_millis().max(1_000).to_string())
            .set("socket.connection.setup.timeout.ms", "3000")
            .set("reconnect.backoff.ms", "50")
            .set("reconnect.backoff.max.ms", "1000")
            .set("retry.backoff.ms", "20")
            .set("retry.backoff.max.ms", "500")
            // Topics that are made anew, and partitions that are added, are found this soon.
            .set("topic.metadata.refresh.interval.ms", "5000")
            .set("topic.metadata.refresh.fast.interval.ms", "50")
            .set("allow.auto.create.topics", "false");
        if self.settings.contains_key("debug") {
            config.set_log_level(RDKafkaLogLevel::Debug);
        }
        for (name, value) in &self.settings {
            config.set(name, value);
        }
        config
    }

    /// Confirmed by all replicas, once each and in order; never waits for company: what gathers while requests
    /// are under way goes together.
    pub(crate) fn producer(&self) -> ClientConfig {
        let mut config = self.client("publisher");
        config
            .set("enable.idempotence", "true")
            .set("acks", "all")
            .set("max.in.flight.requests.per.connection", "5")
            .set("linger.ms", "0")
            .set("message.timeout.ms", self.publish_timeout.as_millis().to_string())
            .set("message.max.bytes", MAX_MESSAGE.to_string())
            .set("queue.buffering.max.messages", "100000")
            .set("queue.buffering.max.kbytes", "131072")
            // A topic that is not there is told at once, not after half a minute.
            .set("topic.metadata.propagation.max.ms", "1000");
        config
    }

    /// A consumer that answers at once and keeps little.
    pub(crate) fn consumer(&self, what: &str, group: &str) -> ClientConfig {
        let mut config = self.client(what);
        config
            .set("group.id", group)
            // It joins no group: it is told what to read, and commits by itself what is acked.
            .set("enable.auto.commit", "false")
            .set("enable.auto.offset.store", "false")
            .set("fetch.min.bytes", "1")
            // A partition that is newly assigned waits for the fetch under way.
            .set("fetch.wait.max.ms", "100")
            .set("fetch.queue.backoff.ms", "5")
            .set("fetch.error.backoff.ms", "50")
            .set("queued.min.messages", "1000")
            .set("queued.max.messages.kbytes", "16384");
        for (name, value) in &self.settings {
            config.set(name, value);
        }
        config
    }
}

/// The most that a message of a topic may hold, as a setting of the topic.
pub(crate) fn max_message() -> String {
    MAX_MESSAGE.to_string()
}
