//! The real clock.

use aidt_domain::{Clock, Timestamp};
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

/// The operating system's wall clock, except that it never goes backwards: when that is set back, this
/// one stands still until it is caught up with. Share one per process.
#[derive(Debug, Default)]
pub struct SystemClock {
    latest: AtomicI64,
}

impl SystemClock {
    /// Starts with the present.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    fn at_least(&self, wall: i64) -> Timestamp {
        Timestamp(self.latest.fetch_max(wall, Ordering::Relaxed).max(wall))
    }
}

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this is the clock that others are handed")]
    fn now(&self) -> Timestamp {
        let wall = match SystemTime::now().duration_since(UNIX_EPOCH) {
            Ok(since) => i64::try_from(since.as_millis()).unwrap_or(i64::MAX),
            // A clock before 1970 is a clock that was never set.
            Err(_) => 0,
        };
        self.at_least(wall)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wall_clock_that_is_set_back_does_not_take_time_along() {
        let clock = SystemClock::new();
        assert_eq!(clock.at_least(100), Timestamp(100));
        assert_eq!(clock.at_least(40), Timestamp(100));
        assert_eq!(clock.at_least(101), Timestamp(101));
    }

    #[test]
    fn it_tells_the_present() {
        let clock = SystemClock::new();
        let first = clock.now();
        assert!(first > Timestamp(1_700_000_000_000), "{first}");
        assert!(clock.now() >= first);
    }
}
