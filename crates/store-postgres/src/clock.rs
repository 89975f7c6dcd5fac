//! The store's clock.

use aidt_domain::{Clock, Timestamp};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

/// The database's clock, as this process has seen it: it is never told to go back. A test's clock takes its place.
#[derive(Debug)]
pub(crate) struct StoreClock {
    given: Option<Arc<dyn Clock>>,
    latest: AtomicI64,
}

impl StoreClock {
    pub(crate) fn new(given: Option<Arc<dyn Clock>>) -> Self {
        Self { given, latest: AtomicI64::new(i64::MIN) }
    }

    /// What a statement's `now_ms` is given: nothing, but in a test.
    pub(crate) fn given(&self) -> Option<i64> {
        self.given.as_ref().map(|clock| self.seen(clock.now()).0)
    }

    /// The database's answer, or the latest before it.
    pub(crate) fn seen(&self, now: Timestamp) -> Timestamp {
        Timestamp(self.latest.fetch_max(now.0, Ordering::AcqRel).max(now.0))
    }
}
