//! Leaving a group when it is calm.

use super::{Context, fetch, store};
use crate::desk::Desk;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::time::Instant;

/// A group without a rebalance for so long is calm; it is not waited for longer than this.
const CALM: Duration = Duration::from_millis(500);
const CALM_AT_LAST: Duration = Duration::from_secs(3);
const PAUSE: Duration = Duration::from_millis(20);

/// How long ago the last rebalance was. A member that is closed before it has joined, or joined again, is not
/// said to have left (librdkafka 2.12): the whole group would wait until its session is over.
#[derive(Default)]
pub(super) struct Calm {
    rebalanced: u64,
    since: Option<Instant>,
}

impl Calm {
    /// Notes whether there was one.
    pub(super) fn look(&mut self, consumer: &BaseConsumer<Context>) {
        let now = consumer.context().rebalanced.load(Ordering::Relaxed);
        if now != self.rebalanced {
            (self.rebalanced, self.since) = (now, Some(Instant::now()));
        }
    }

    /// Goes on until the group is calm. What comes meanwhile is another's.
    pub(super) fn wait(&mut self, consumer: &BaseConsumer<Context>, desk: &Desk) {
        let deadline = Instant::now() + CALM_AT_LAST;
        while self.since.is_none_or(|since| since.elapsed() < CALM) && Instant::now() < deadline {
            if fetch(consumer, desk).is_err() {
                return;
            }
            store(consumer, desk);
            self.look(consumer);
            std::thread::park_timeout(PAUSE);
        }
    }
}
