//! What can go wrong, beside what the port says about it.

use aidt_queue::{Kind, QueueError};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};

/// Kafka did not do what it was asked for.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The prefix would not make names that are legal and apart from those of other stacks.
    #[error("the prefix {0:?} of Kafka topics must be 1 to 60 letters, digits and -")]
    Prefix(String),
    /// Another stack uses this prefix, or the store was installed anew with another number.
    #[error(
        "the topic {topic} has {found} partitions where the store has {wanted}: set another prefix, or delete the topic"
    )]
    Partitions {
        /// The topic.
        topic: String,
        /// How many it has.
        found: usize,
        /// How many it should have.
        wanted: u16,
    },
    /// The client library or the broker failed.
    #[error("Kafka failed to {operation}")]
    Kafka {
        /// What it was to do.
        operation: &'static str,
        /// Why it did not.
        #[source]
        source: KafkaError,
    },
    /// The broker refused something about a topic.
    #[error("Kafka refuses to {operation} the topic {topic}: {code}")]
    Refused {
        /// What it was to do.
        operation: &'static str,
        /// The topic.
        topic: String,
        /// Its answer.
        code: RDKafkaErrorCode,
    },
    /// No answer in time: is the broker up and can it be reached by the address that it advertises?
    #[error("Kafka at {brokers} did not {operation} within {seconds} s")]
    Late {
        /// The address asked.
        brokers: String,
        /// What it was to do.
        operation: &'static str,
        /// How long it had.
        seconds: u64,
    },
    /// A topic, or a place in it, is no more, or not yet; or it cannot be told.
    #[error("{0}")]
    Gone(String),
    /// A cursor lies beyond the end of its partition: the topic has lost messages.
    #[error("the cursor {cursor} of partition {partition} lies beyond the end of the topic, {end}")]
    Beyond {
        /// The partition.
        partition: i32,
        /// Where it was to be read on.
        cursor: i64,
        /// Where the topic ends.
        end: i64,
    },
    /// The system gave no thread.
    #[error("no thread for a Kafka client")]
    Thread(#[source] std::io::Error),
    /// The queue was closed, or its thread is gone.
    #[error("the queue is closed")]
    Closed,
}

impl Error {
    pub(crate) fn kafka(operation: &'static str) -> impl FnOnce(KafkaError) -> Self {
        move |source| Self::Kafka { operation, source }
    }

    /// As the port tells it.
    pub(crate) fn of(self, operation: &'static str) -> QueueError {
        let kind = match self {
            Self::Closed => Kind::Closed,
            Self::Prefix(_) | Self::Partitions { .. } => Kind::Invalid,
            _ => Kind::Unavailable,
        };
        self.with(operation, kind)
    }

    pub(crate) fn with(self, operation: &'static str, kind: Kind) -> QueueError {
        QueueError { operation, kind, source: Some(Box::new(self)) }
    }
}
