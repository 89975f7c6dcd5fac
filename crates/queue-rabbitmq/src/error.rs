//! What can go wrong, and what it leaves behind.

use aidt_queue::{Kind, QueueError};
use lapin::protocol::{AMQPErrorKind, AMQPSoftError};
use std::sync::Arc;
use std::time::Duration;

/// What can go wrong between this process and its broker.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No URL was given.
    #[error("no URL of a RabbitMQ node was given: set at least one, e.g. amqp://user:password@host:5672/%2f")]
    NoUrl,
    /// A URL is none.
    #[error("URL {position} of the RabbitMQ nodes is not valid ({reason}): amqp://user:password@host:5672/%2f")]
    Url {
        /// Which one, from 1: the URL itself may hold a password.
        position: usize,
        /// Why.
        reason: String,
    },
    /// The prefix holds what it may not.
    #[error("the prefix {0:?} of the queues must be 1 to 63 letters, digits, - or _")]
    Prefix(String),
    /// No node answered.
    #[error("no RabbitMQ node answered within {after:?}: are they up, and do the URLs fit?")]
    Connect {
        /// How long they were tried.
        after: Duration,
        /// What the last one said, if it said anything.
        #[source]
        source: Option<Arc<Error>>,
    },
    /// The connection is down; it is being made again.
    #[error("RabbitMQ is not connected at the moment")]
    Down,
    /// The broker takes nothing: a memory or disk alarm.
    #[error("RabbitMQ has taken nothing for {0:?}: see its memory and disk alarms (rabbitmqctl status)")]
    Blocked(Duration),
    /// No answer in time.
    #[error("RabbitMQ did not answer {what} within {after:?}")]
    Timeout {
        /// What it was asked.
        what: &'static str,
        /// How long it was waited for.
        after: Duration,
    },
    /// The broker or the connection failed at something.
    #[error("RabbitMQ failed at {what}")]
    Amqp {
        /// What it was asked.
        what: &'static str,
        /// Why.
        #[source]
        source: lapin::Error,
    },
    /// There is no channel to publish on.
    #[error("RabbitMQ gave no channel to publish on; nothing was sent")]
    NoChannel(#[source] Box<Error>),
    /// Messages came back because their queue is gone, and it could not be declared.
    #[error("messages came back from queues that are gone, and the queues could not be declared")]
    Restore(#[source] Box<Error>),
    /// The broker refused a message.
    #[error("RabbitMQ refused a message for {queue}: see the queue's limits and its leader")]
    Refused {
        /// The queue.
        queue: String,
    },
    /// A message found no queue, though the queue was declared.
    #[error("messages for {queue} come back though the queue was declared: does somebody delete it?")]
    Unroutable {
        /// The queue.
        queue: String,
    },
    /// A queue that was listened to is gone.
    #[error("the queue {queue} was deleted; it is declared again")]
    Deleted {
        /// The queue.
        queue: String,
    },
    /// Queues were lost, maybe one that is listened to: a broker may forget to say so.
    #[error("queues were lost; what listens is opened anew")]
    Renewed,
    /// The mark of the incarnation could not be read.
    #[error("{queue} is in somebody's hands: it comes back when its reader is done or gone")]
    Incarnation {
        /// The queue that holds it.
        queue: String,
    },
    /// Publishing failed; shared by all that went with the same messages.
    #[error("publishing failed")]
    Publish(#[source] Arc<Error>),
    /// This process has closed its queue.
    #[error("the queue is closed in this process")]
    Closed,
}

impl Error {
    pub(crate) fn amqp(what: &'static str) -> impl FnOnce(lapin::Error) -> Self {
        move |source| Self::Amqp { what, source }
    }

    /// What is left behind, where nothing was under way but this.
    pub(crate) fn kind(&self) -> Kind {
        match self {
            Self::NoUrl | Self::Url { .. } | Self::Prefix(_) => Kind::Invalid,
            Self::Connect { .. } | Self::Down | Self::Blocked(_) => Kind::Unavailable,
            Self::NoChannel(_) | Self::Incarnation { .. } => Kind::Unavailable,
            Self::Timeout { .. } | Self::Amqp { .. } | Self::Refused { .. } => Kind::Unknown,
            Self::Unroutable { .. } | Self::Deleted { .. } | Self::Renewed | Self::Restore(_) => Kind::Unknown,
            Self::Publish(source) => source.kind(),
            Self::Closed => Kind::Closed,
        }
    }

    pub(crate) fn of(self, operation: &'static str) -> QueueError {
        QueueError { operation, kind: self.kind(), source: Some(Box::new(self)) }
    }

    /// The broker says that there is no such queue or exchange. One whose node is down is another matter,
    /// though the code is the same: only the text tells.
    pub(crate) fn is_missing(&self) -> bool {
        self.soft(AMQPSoftError::NOTFOUND).is_some_and(|text| text.contains("no queue") || text.contains("no exchange"))
    }

    fn soft(&self, wanted: AMQPSoftError) -> Option<&str> {
        let Self::Amqp { source, .. } = self else { return None };
        let lapin::ErrorKind::ProtocolError(error) = source.kind() else { return None };
        (*error.kind() == AMQPErrorKind::Soft(wanted)).then(|| error.get_message().as_str())
    }
}

/// Waits for the broker, but not for ever.
pub(crate) async fn within<T>(
    what: &'static str,
    after: Duration,
    future: impl Future<Output = Result<T, lapin::Error>>,
) -> Result<T, Error> {
    bounded(what, after, async { future.await.map_err(Error::amqp(what)) }).await
}

/// Waits for something of several steps, but not for ever.
pub(crate) async fn bounded<T>(
    what: &'static str,
    after: Duration,
    future: impl Future<Output = Result<T, Error>>,
) -> Result<T, Error> {
    tokio::time::timeout(after, future).await.unwrap_or(Err(Error::Timeout { what, after }))
}
