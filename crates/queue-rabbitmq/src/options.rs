//! What the adapter must be told.

use crate::Error;
use aidt_domain::{Clock, ProcessId};
use lapin::uri::AMQPUri;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// Where the brokers are, and how long to wait for them.
#[derive(Clone)]
pub struct Options {
    /// The nodes of one cluster, e.g. `amqp://user:password@host:5672/%2f`, or `amqps://…` for TLS; tried in turn.
    pub urls: Vec<String>,
    /// PEM certificates that may vouch for the nodes, beside the system's.
    pub ca: Option<String>,
    /// First part of the name of every queue and exchange: several stacks share a broker. Letters, digits,
    /// `-` and `_`, at most 63.
    pub prefix: String,
    /// This life of the process: makes the incarnations that it writes its own.
    pub process: ProcessId,
    /// Stamps what is published.
    pub clock: Arc<dyn Clock>,
    /// How long a connection may take, and how long [`RabbitQueue::connect`](crate::RabbitQueue::connect)
    /// waits for the first.
    pub connect_timeout: Duration,
    /// How long a declaration and the like may take.
    pub operation_timeout: Duration,
    /// How long confirms are awaited; what is not confirmed by then may be there or not.
    pub publish_timeout: Duration,
    /// How long a broker that takes nothing (memory or disk alarm) is waited for before publishing fails.
    pub blocked_timeout: Duration,
    /// A peer that is silent for twice as long is gone; RabbitMQ takes up to three times as long to say so, and
    /// only then gives what a frozen process holds to others. Whole seconds.
    pub heartbeat: Duration,
}

impl Options {
    /// What fits most: 10 s to connect, 5 s for an operation, 3 s for confirms, 1 s for a blocked broker,
    /// heartbeats of 4 s.
    #[must_use]
    pub fn new(urls: Vec<String>, prefix: String, process: ProcessId, clock: Arc<dyn Clock>) -> Self {
        Self {
            urls,
            ca: None,
            prefix,
            process,
            clock,
            connect_timeout: Duration::from_secs(10),
            operation_timeout: Duration::from_secs(5),
            publish_timeout: Duration::from_secs(3),
            blocked_timeout: Duration::from_secs(1),
            heartbeat: Duration::from_secs(4),
        }
    }

    /// The nodes, once all that was given is found to be sound.
    pub(crate) fn check(&self) -> Result<Vec<AMQPUri>, Error> {
        let sound = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        if !(1..=63).contains(&self.prefix.len()) || !self.prefix.chars().all(sound) {
            return Err(Error::Prefix(self.prefix.clone()));
        }
        let heartbeat = u16::try_from(self.heartbeat.as_secs()).unwrap_or(u16::MAX).max(1);
        let parse = |(n, url): (usize, &String)| {
            let mut uri: AMQPUri = url.parse().map_err(|reason| Error::Url { position: n + 1, reason })?;
            uri.query.heartbeat = Some(heartbeat);
            Ok(uri)
        };
        let uris = self.urls.iter().enumerate().map(parse).collect::<Result<Vec<_>, Error>>()?;
        if uris.is_empty() { Err(Error::NoUrl) } else { Ok(uris) }
    }
}

impl fmt::Debug for Options {
    /// Without the URLs: they hold passwords.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options").field("prefix", &self.prefix).field("nodes", &self.urls.len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use aidt_domain::Timestamp;

    #[derive(Debug)]
    struct Epoch;

    impl Clock for Epoch {
        fn now(&self) -> Timestamp {
            Timestamp(0)
        }
    }

    fn options(url: &str, prefix: &str) -> Options {
        let process = ProcessId(uuid::Uuid::nil());
        Options::new(vec![url.to_owned()], prefix.to_owned(), process, Arc::new(Epoch))
    }

    #[test]
    fn urls_and_prefixes_are_checked_before_anything_is_tried() {
        assert!(options("amqp://localhost", "aidt").check().is_ok());
        for prefix in ["", "a.b", "a b", "ä", &"x".repeat(64)] {
            assert!(matches!(options("amqp://localhost", prefix).check(), Err(Error::Prefix(_))), "{prefix}");
        }
        assert!(matches!(options("http://localhost", "a").check(), Err(Error::Url { position: 1, .. })));
        assert!(matches!(Options { urls: vec![], ..options("", "a") }.check(), Err(Error::NoUrl)));
    }

    #[test]
    fn passwords_are_not_shown() {
        let options = options("amqp://me:secret@localhost", "aidt");
        assert!(!format!("{options:?}").contains("secret"));
    }
}
