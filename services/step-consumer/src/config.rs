//! What can be set on a step consumer.

use crate::ConfigError;
use aidt_domain::MAX_INLINE_BYTES;
use std::time::Duration;

/// Settings of a step consumer. The defaults are the protocol's numbers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// What the process runs, for its row: `step-consumer`, or several joined by a comma.
    pub service: String,
    /// What the operator calls this installation: policies may ask.
    pub environment: String,
    /// A running step is claimed once it took this long, and its message is acked.
    pub claim_after: Duration,
    /// A message older than this is claimed before it is started.
    pub doubtful_after: Duration,
    /// How long a cancelled call may take to say what really happened.
    pub cancel_grace: Duration,
    /// How long running calls are waited for after a shutdown was asked for.
    pub drain_grace: Duration,
    /// How long unpublished results are tried to hand over after that.
    pub flush_grace: Duration,
    /// Text of a running step is written this often, or each [`Config::log_bytes`].
    pub log_every: Duration,
    /// See [`Config::log_every`].
    pub log_bytes: usize,
    /// Text beyond this is not kept, per dispatch.
    pub log_limit: u64,
    /// Progress becomes an event at most this often, per step.
    pub progress_every: Duration,
    /// A step that no worker here serves is not handed out again before this.
    pub unserved_delay: Duration,
    /// A message that found its workers busy is handed back after this.
    pub place_patience: Duration,
    /// A message of a newer format is given back to the broker after this, for a newer process.
    pub newer_format_hold: Duration,
    /// Most entries in one call of a port.
    pub batch: usize,
    /// Reports of workers that wait to be looked at; workers wait when there are more.
    pub reports: usize,
    /// Results that wait to be published; nothing more is taken when there are this many.
    pub unpublished: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            service: "step-consumer".to_owned(),
            environment: String::new(),
            claim_after: Duration::from_millis(50),
            doubtful_after: Duration::from_secs(2),
            cancel_grace: Duration::from_secs(5),
            drain_grace: Duration::from_secs(30),
            flush_grace: Duration::from_secs(5),
            log_every: Duration::from_millis(200),
            log_bytes: 64 * 1024,
            log_limit: 16 * 1024 * 1024,
            progress_every: Duration::from_secs(1),
            unserved_delay: Duration::from_secs(1),
            place_patience: Duration::from_secs(2),
            newer_format_hold: Duration::from_secs(10),
            batch: 256,
            reports: 1024,
            unpublished: 4096,
        }
    }
}

impl Config {
    /// Checks that the settings make sense together.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let positive = [
            ("batch", self.batch),
            ("reports", self.reports),
            ("unpublished", self.unpublished),
            ("log_bytes", self.log_bytes),
        ];
        for (setting, value) in positive {
            if value == 0 {
                return Err(ConfigError { setting, problem: "must be at least 1".to_owned() });
            }
        }
        if self.log_bytes > MAX_INLINE_BYTES {
            let problem = format!("must be at most {MAX_INLINE_BYTES}: larger never enters a row");
            return Err(ConfigError { setting: "log_bytes", problem });
        }
        if self.service.is_empty() {
            return Err(ConfigError { setting: "service", problem: "must not be empty".to_owned() });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_valid_and_nonsense_is_named() {
        assert!(Config::default().validate().is_ok());
        let error = Config { batch: 0, ..Config::default() }.validate().unwrap_err();
        assert_eq!(error.to_string(), "step consumer setting batch: must be at least 1");
        assert!(Config { log_bytes: usize::MAX, ..Config::default() }.validate().is_err());
    }
}
