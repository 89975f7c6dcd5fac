//! The store in this process's memory: a real adapter, not a mock.
//!
//! All ports over ordered maps behind one mutex that is never held across an await. The value is the
//! durable medium: whatever holds the `Arc` after a service was dropped finds everything that was
//! committed, and nothing that was not.

mod claims;
mod commit;
mod history;
mod inbox;
mod processes;
mod run_log;
mod state;
mod texts;

use crate::{Kind, StoreError};
use aidt_domain::Clock;
use state::State;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

type Result<T> = std::result::Result<T, StoreError>;

/// A store in memory; lives as long as its `Arc`.
#[derive(Debug)]
pub struct MemoryStore {
    partitions: u16,
    clock: Arc<dyn Clock>,
    state: Mutex<State>,
}

impl MemoryStore {
    /// An empty store of this many partitions (at least 1) that reads this clock.
    #[must_use]
    pub fn new(partitions: u16, clock: Arc<dyn Clock>) -> Arc<Self> {
        let partitions = partitions.max(1);
        Arc::new(Self { partitions, clock, state: Mutex::new(State::new(partitions)) })
    }

    /// The state, with its clock read on: an operation sees one instant. No code panics between two
    /// related writes, so a poisoned mutex still guards a whole state.
    fn state(&self) -> MutexGuard<'_, State> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.now = state.now.max(self.clock.now());
        state
    }

    fn check_partition(&self, operation: &'static str, partition: aidt_domain::PartitionId) -> Result<()> {
        if partition.0 < self.partitions {
            return Ok(());
        }
        let message = format!("there is no partition {partition}: the store has {}", self.partitions);
        Err(StoreError::new(operation, Kind::Invalid, message))
    }
}
