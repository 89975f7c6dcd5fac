//! What others hold of a running step consumer.

use crate::life::Key;
use aidt_domain::{DispatchNo, RunId, StepIx};
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::Notify;

/// Cancels that wait to be looked at; more are dropped, and the next heartbeat names them again.
const MAX_ASKS: usize = 1 << 16;

/// What a step consumer has done and is doing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Calls taken and not yet reported, confirmed.
    pub in_hand: usize,
    /// Results reported since the start.
    pub reported: u64,
    /// Claims asked for since the start.
    pub claims: u64,
}

/// A cheap handle on a step consumer.
#[derive(Clone, Debug, Default)]
pub struct Handle {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    cancels: Mutex<BTreeSet<Key>>,
    wake: Arc<Notify>,
    in_hand: AtomicUsize,
    reported: AtomicU64,
    claims: AtomicU64,
}

impl Handle {
    /// Asks to stop a call, if it is this consumer's. Idempotent.
    pub fn cancel(&self, run: RunId, step: StepIx, dispatch: DispatchNo) {
        let mut cancels = self.shared.cancels.lock().unwrap_or_else(PoisonError::into_inner);
        if cancels.len() < MAX_ASKS {
            cancels.insert((run, step, dispatch));
        }
        drop(cancels);
        self.wake();
    }

    /// What it has done and is doing.
    #[must_use]
    pub fn stats(&self) -> Stats {
        Stats {
            in_hand: self.shared.in_hand.load(Ordering::Relaxed),
            reported: self.shared.reported.load(Ordering::Relaxed),
            claims: self.shared.claims.load(Ordering::Relaxed),
        }
    }

    /// Makes the loop look around.
    pub(crate) fn wake(&self) {
        self.shared.wake.notify_one();
    }

    pub(crate) fn waker(&self) -> Arc<Notify> {
        Arc::clone(&self.shared.wake)
    }

    pub(crate) fn take_cancels(&self) -> BTreeSet<Key> {
        std::mem::take(&mut *self.shared.cancels.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn publish_stats(&self, stats: Stats) {
        self.shared.in_hand.store(stats.in_hand, Ordering::Relaxed);
        self.shared.reported.store(stats.reported, Ordering::Relaxed);
        self.shared.claims.store(stats.claims, Ordering::Relaxed);
    }
}
