//! When the worker was told to stop, and until when it may go on.

use std::sync::OnceLock;
use std::time::Duration;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

/// The order to stop, with the grace that begins when it is given and not anew with each session.
#[derive(Debug)]
pub(crate) struct Stop {
    shutdown: CancellationToken,
    grace: Duration,
    told: OnceLock<Instant>,
}

impl Stop {
    pub(crate) fn new(shutdown: CancellationToken, grace: Duration) -> Self {
        Self { shutdown, grace, told: OnceLock::new() }
    }

    /// Waits for the order. Cancel safe.
    pub(crate) async fn told(&self) {
        self.shutdown.cancelled().await;
        self.end();
    }

    /// Whether it was given.
    pub(crate) fn is_told(&self) -> bool {
        self.shutdown.is_cancelled()
    }

    /// When the grace ends, once the order was given.
    pub(crate) fn end(&self) -> Instant {
        *self.told.get_or_init(Instant::now) + self.grace
    }

    /// Waits for the end of the grace. Cancel safe.
    pub(crate) async fn over(&self) {
        self.told().await;
        sleep_until(self.end()).await;
    }
}
