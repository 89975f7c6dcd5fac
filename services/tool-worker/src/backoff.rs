//! How long to wait before the next connection.

use aidt_domain::{Digest, WorkerId};
use std::time::Duration;

/// Doubles with each failure, with jitter from a hash: reproducible, and different for each worker.
#[derive(Debug)]
pub(crate) struct Backoff {
    worker: WorkerId,
    first: Duration,
    max: Duration,
    failures: u32,
}

impl Backoff {
    pub(crate) fn new(worker: WorkerId, first: Duration, max: Duration) -> Self {
        Self { worker, first, max, failures: 0 }
    }

    /// It worked.
    pub(crate) fn reset(&mut self) {
        self.failures = 0;
    }

    /// Between half of the doubled wait and the whole of it.
    pub(crate) fn next(&mut self) -> Duration {
        let whole = self.first.saturating_mul(1 << self.failures.min(16)).min(self.max);
        self.failures = self.failures.saturating_add(1);
        let hash = Digest::of(format!("{} {}", self.worker, self.failures).as_bytes());
        whole.mul_f64(0.5 + f64::from(hash.0[0]) / 510.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubles_to_the_limit_and_begins_again() {
        let worker = "wrk_00000000000000000000000000000001".parse().unwrap();
        let (first, max) = (Duration::from_millis(100), Duration::from_secs(1));
        let mut backoff = Backoff::new(worker, first, max);
        for whole in [100, 200, 400, 800, 1000, 1000] {
            let wait = backoff.next();
            let whole = Duration::from_millis(whole);
            assert!(wait >= whole / 2 && wait <= whole, "{wait:?}");
        }
        (0..100).for_each(|_| assert!(backoff.next() <= max));
        backoff.reset();
        assert!(backoff.next() <= first);
    }
}
