//! The port.

use aidt_domain::{PartitionId, Pool, ProcessId, Timestamp};
use async_trait::async_trait;
use bytes::Bytes;
use std::collections::BTreeSet;

/// What a failed operation left behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Nothing happened; try again.
    Unavailable,
    /// It may have happened: publish again (at least once) or read again.
    Unknown,
    /// The request can never succeed.
    Invalid,
    /// The queue is closed for this process: it is shutting down.
    Closed,
}

/// A failed operation of the queue.
#[derive(Debug, thiserror::Error)]
#[error("queue operation {operation} failed ({kind:?})")]
pub struct QueueError {
    /// The operation, e.g. `publish_steps`.
    pub operation: &'static str,
    /// What it left behind.
    pub kind: Kind,
    /// The cause.
    #[source]
    pub source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

/// A message to publish.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outgoing {
    /// The envelope.
    pub body: Bytes,
    /// Published before: consumers must validate the start.
    pub republished: bool,
    /// W3C trace context, for the broker's headers.
    pub traceparent: Option<String>,
}

/// Names a delivery to its source, to ack it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tag(pub u64);

/// A message that arrived.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// To ack it.
    pub tag: Tag,
    /// The envelope.
    pub body: Bytes,
    /// When it was published, by the publisher's estimate of the store's clock, if the broker tells.
    pub published_at: Option<Timestamp>,
    /// The start must be validated: redelivered, republished, or older than this consumer's assignment.
    pub doubtful: bool,
}

/// Which processes read a pool's steps, as one of them sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Readers {
    /// The one that sees it.
    pub me: ProcessId,
    /// All that read; without `me` when it is to read no more.
    pub all: BTreeSet<ProcessId>,
}

/// A stream of steps of one pool.
#[async_trait]
pub trait Steps: Send {
    /// Waits for at least one message, then takes what is there, at most `max`. Cancel safe: what was
    /// not returned stays. `Closed` ends the stream.
    async fn recv(&mut self, max: usize) -> Result<Vec<Delivery>, QueueError>;

    /// Done with these, durably. Not cancel safe; acking twice is harmless.
    async fn ack(&mut self, tags: &[Tag]) -> Result<(), QueueError>;

    /// Bounds anew what is taken and not acked, and keeps what is in hand. False where only a new stream
    /// can be bounded otherwise.
    fn set_prefetch(&mut self, _prefetch: u32) -> bool {
        false
    }

    /// Tells who reads the pool from now on. Answers at once.
    ///
    /// Where a pool lies in parts that do not find their readers (Kafka's partitions), each reader takes the parts that
    /// are its own by this, so those that are told the same must leave none to nobody; while they are told
    /// different things some may be read twice, which is delivery at least once, or wait. A stream that was told nothing
    /// reads everything. A broker that hands out has no use for it.
    fn share(&mut self, _readers: &Readers) {}
}

/// A stream of commands of the partitions that it was opened for.
#[async_trait]
pub trait Commands: Send {
    /// Waits until a command or a nudge is there, then takes what is there, at most `max` commands. The
    /// second value lists the partitions that were nudged. Cancel safe.
    async fn recv(&mut self, max: usize) -> Result<(Vec<(PartitionId, Delivery)>, Vec<PartitionId>), QueueError>;

    /// Done with these, durably.
    async fn ack(&mut self, tags: &[(PartitionId, Tag)]) -> Result<(), QueueError>;

    /// Where whoever opens these partitions next is to read on, so that it misses nothing that is not
    /// acked: for a broker that keeps no account of its own (Kafka: an offset). Written with the owner's
    /// next commit; one that is too old costs repetition only.
    fn cursors(&self) -> Vec<(PartitionId, i64)> {
        Vec::new()
    }
}

/// A broker. Dropping a stream gives back what it took and did not ack, to be delivered again, doubtful.
#[async_trait]
pub trait Queue: Send + Sync {
    /// What this broker is called in traces: `messaging.system` of OpenTelemetry's conventions.
    fn system(&self) -> &'static str {
        "aidt_memory"
    }

    /// Names the life of what is queued: it changes when queued messages may have been lost (a queue
    /// newly declared, a topic recreated, a process's memory gone).
    async fn incarnation(&self) -> Result<String, QueueError>;

    /// Publishes steps to their pools; returns once all are confirmed. On an error any part of them may
    /// have been published.
    async fn publish_steps(&self, steps: Vec<(Pool, Outgoing)>) -> Result<(), QueueError>;

    /// Publishes commands; likewise.
    async fn publish_commands(&self, commands: Vec<(PartitionId, Outgoing)>) -> Result<(), QueueError>;

    /// Tells the owner of each partition to look into its inbox. Best effort, never blocks for long.
    async fn nudge(&self, partitions: &[PartitionId]);

    /// Opens the stream of a pool's steps. `prefetch` bounds what is taken and not acked.
    async fn steps(&self, pool: &Pool, prefetch: u32) -> Result<Box<dyn Steps>, QueueError>;

    /// Opens the stream of these partitions' commands, each from the cursor that [`Commands::cursors`] told
    /// last under this incarnation; 0: from the first that is kept.
    async fn commands(&self, partitions: &[(PartitionId, i64)]) -> Result<Box<dyn Commands>, QueueError>;
}
