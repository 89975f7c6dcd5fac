//! What the owner is given, and what others may see of it.

use aidt_domain::{Clock, PartitionId, ProcessId};
use aidt_lock::Locks;
use aidt_policy::ActivePolicy;
use aidt_queue::Queue;
use aidt_store::Store;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::watch;

/// The name under which an owner registers its process.
pub(crate) const SERVICE: &str = "completion-consumer";

/// How the owner behaves.
#[derive(Clone, Debug)]
pub struct Config {
    /// This life of the process; registered by whoever wires the services.
    pub process: ProcessId,
    /// Told to the policy: `embedded`, `production`, ….
    pub environment: String,
    /// Runs kept in memory while nothing of them is in hand.
    pub cached_runs: usize,
    /// Commands taken in one turn at most.
    pub batch: usize,
    /// A turn stops taking up more steps after this long; the rest stays queued.
    pub turn_budget: Duration,
}

impl Config {
    /// What fits most: 4,096 cached runs, 256 commands and 50 ms a turn.
    #[must_use]
    pub fn new(process: ProcessId) -> Self {
        Self {
            process,
            environment: "embedded".to_owned(),
            cached_runs: 4_096,
            batch: 256,
            turn_budget: Duration::from_millis(50),
        }
    }
}

/// What the owner works with.
#[derive(Clone)]
pub struct Ports {
    /// State.
    pub store: Store,
    /// Transport.
    pub queue: Arc<dyn Queue>,
    /// Leases and live fan-out.
    pub locks: Arc<dyn Locks>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// The policy that judges.
    pub policy: Arc<ActivePolicy>,
}

/// The owner ended though nobody asked it to.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The queue closed its stream for good.
    #[error("the queue closed the stream of commands")]
    Queue(#[source] aidt_queue::QueueError),
}

/// What others may see of an owner.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// The partitions that it holds.
    pub held: BTreeSet<PartitionId>,
    /// Why its last turn did not go through, while that lasts.
    pub trouble: Option<String>,
    /// Open steps found at takeovers: runs that an earlier life left.
    pub resumed: usize,
}

/// A view of a running owner. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Handle {
    pub(crate) status: watch::Receiver<Status>,
    pub(crate) closing: Arc<AtomicBool>,
}

impl Handle {
    /// The state of things.
    #[must_use]
    pub fn status(&self) -> Status {
        self.status.borrow().clone()
    }

    /// Hands out nothing more from now on; what is out is still recorded. The first step of a drain.
    pub fn stop_handing_out(&self) {
        self.closing.store(true, Ordering::Relaxed);
    }

    /// Waits until the owner holds all `count` partitions. Cancel safe. False when the owner ended.
    pub async fn holds(&mut self, count: u16) -> bool {
        self.status.wait_for(|s| s.held.len() == usize::from(count)).await.is_ok()
    }
}
