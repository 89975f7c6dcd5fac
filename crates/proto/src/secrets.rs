//! `Debug` of the frames that carry a secret: a log shows everything but that.

use crate::v1::{Hello, Welcome};
use std::fmt;

impl fmt::Debug for Hello {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hello")
            .field("worker", &self.worker)
            .field("name", &self.name)
            .field("pool", &self.pool)
            .field("slots", &self.slots)
            .field("tools", &self.tools)
            .field("running", &self.running)
            .field("unreported", &self.unreported.len())
            .field("clock_ms", &self.clock_ms)
            .field("protocol", &self.protocol)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Welcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Welcome")
            .field("session", &self.session)
            .field("ping_interval_ms", &self.ping_interval_ms)
            .field("refused", &self.refused)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    #[test]
    fn a_token_and_a_key_are_not_shown() {
        let hello = Hello { token: "hush".into(), worker: "wrk_1".into(), ..Hello::default() };
        let welcome = Welcome { session_key: Bytes::from_static(b"hush"), ..Welcome::default() };
        let shown = format!("{hello:?} {welcome:?}");
        assert!(shown.contains("wrk_1"));
        assert!(!shown.contains("hush") && !shown.contains("104"), "{shown}");
    }
}
