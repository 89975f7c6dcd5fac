//! What the client library has to say goes where all logs go.

use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::KafkaError;

/// A client of which only the log is of interest.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plain;

impl ClientContext for Plain {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        failed(&error, reason);
    }
}

/// A line of the client's log. A broker that is away is told by whoever misses it, so this stays low.
pub(crate) fn log(level: RDKafkaLogLevel, facility: &str, message: &str) {
    match level {
        RDKafkaLogLevel::Emerg | RDKafkaLogLevel::Alert | RDKafkaLogLevel::Critical => {
            tracing::warn!(facility, "{message}");
        }
        _ => tracing::debug!(facility, "{message}"),
    }
}

/// An error of no operation in particular, e.g. a lost connection; the client goes on by itself.
pub(crate) fn failed(error: &KafkaError, reason: &str) {
    tracing::debug!(%error, "{reason}");
}
