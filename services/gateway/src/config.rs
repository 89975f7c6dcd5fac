//! Limits and times.

use std::time::Duration;

/// What the gateway allows. Every limit has an error that names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The largest request body, in bytes.
    pub max_body_bytes: usize,
    /// The longest time for a request that neither waits nor streams.
    pub request_timeout: Duration,
    /// The longest time that a client may ask to wait for a run.
    pub max_wait: Duration,
    /// How long a command to a run is waited for before the answer is 202.
    pub apply_timeout: Duration,
    /// How often a run is looked at while the fan-out says nothing.
    pub poll: Duration,
    /// How often a comment is sent on a silent stream.
    pub keep_alive: Duration,
    /// Requests with a body that are in flight at once.
    pub max_writes: usize,
    /// Streams and waits that are open at once.
    pub max_streams: usize,
    /// Artifacts that are read or sent at once. Each is in memory as a whole, up to 64 MiB, until its client has it.
    pub max_artifacts: usize,
    /// A process is dead this long after its last heartbeat.
    pub dead_after: Duration,
    /// Bytes of compiled plans that are kept.
    pub plan_cache_bytes: usize,
    /// Whom commands are said to come from, while there are no accounts.
    pub actor: String,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            max_body_bytes: 1024 * 1024,
            request_timeout: Duration::from_secs(30),
            max_wait: Duration::from_secs(600),
            apply_timeout: Duration::from_secs(5),
            poll: Duration::from_secs(1),
            keep_alive: Duration::from_secs(15),
            max_writes: 1024,
            max_streams: 1024,
            max_artifacts: 16,
            dead_after: Duration::from_secs(4),
            plan_cache_bytes: 32 * 1024 * 1024,
            actor: "local".to_owned(),
        }
    }
}

/// A setting that makes no sense.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("gateway setting {0} must be more than zero")]
pub struct ConfigError(&'static str);

impl Config {
    pub(crate) fn validate(&self) -> Result<(), ConfigError> {
        let settings = [
            ("max_body_bytes", self.max_body_bytes == 0),
            ("request_timeout", self.request_timeout.is_zero()),
            ("max_wait", self.max_wait.is_zero()),
            ("apply_timeout", self.apply_timeout.is_zero()),
            ("poll", self.poll.is_zero()),
            ("keep_alive", self.keep_alive.is_zero()),
            ("max_writes", self.max_writes == 0),
            ("max_streams", self.max_streams == 0),
            ("max_artifacts", self.max_artifacts == 0),
            ("dead_after", self.dead_after.is_zero()),
        ];
        match settings.iter().find(|(_, zero)| *zero) {
            Some((name, _)) => Err(ConfigError(name)),
            None => Ok(()),
        }
    }

    pub(crate) fn dead_after_ms(&self) -> u64 {
        u64::try_from(self.dead_after.as_millis()).unwrap_or(u64::MAX)
    }
}
