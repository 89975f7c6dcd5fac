//! The queue of an embedded installation: deques in this process.
//!
//! **Bounds.** The deques have none of their own: bounded ones deadlock on a large fan-out, when the
//! owner waits for room for steps while step consumers wait for room for results. What bounds them is
//! the owner: it hands out no more steps than its window (twice the pool's slots), and each step
//! handed out causes a handful of commands. Republishing (at most once a minute and step) adds to that
//! at most one copy each. A stream's unacked steps are bounded by its `prefetch`.
//!
//! **Cost.** A batch costs one lock per queue that it touches (and a look-up), and a wake-up only when a queue goes
//! from empty to not empty. Acking takes no lock at all. Nothing here waits for time, so it works the
//! same under a paused clock, and across threads with a runtime each.

mod commands;
mod message;
mod steps;

use crate::port::{Commands, Kind, Outgoing, Queue, QueueError, Steps};
use aidt_domain::{Clock, PartitionId, Pool};
use async_trait::async_trait;
use commands::{CommandQueue, MemoryCommands};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use steps::{MemorySteps, PoolQueue};

/// An in-memory [`Queue`]; clones share what is queued.
#[derive(Clone, Debug)]
pub struct MemoryQueue {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    clock: Arc<dyn Clock>,
    registry: Mutex<Registry>,
    commands: Arc<CommandQueue>,
}

/// Grows with the pools that were ever named, which configuration bounds.
#[derive(Debug)]
struct Registry {
    pools: BTreeMap<Pool, Arc<PoolQueue>>,
    first_incarnation: String,
    wipes: u64,
    closed: bool,
}

impl MemoryQueue {
    /// An empty queue. `incarnation` must differ from that of every queue before it (a process id does):
    /// owners publish again what an earlier one held.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>, incarnation: String) -> Self {
        let registry = Registry { pools: BTreeMap::new(), first_incarnation: incarnation, wipes: 0, closed: false };
        Self {
            shared: Arc::new(Shared {
                clock,
                registry: Mutex::new(registry),
                commands: Arc::new(CommandQueue::default()),
            }),
        }
    }

    /// Loses everything, also what was delivered and not acked, and changes the incarnation: what a
    /// broker's disk failure does. Open streams go on with what is published from now on.
    pub fn wipe(&self) {
        let mut registry = self.registry();
        registry.wipes += 1;
        registry.pools.values().for_each(|pool| pool.wipe());
        self.shared.commands.wipe();
    }

    /// Ends every stream and refuses every later operation with [`Kind::Closed`].
    pub fn close(&self) {
        let mut registry = self.registry();
        registry.closed = true;
        registry.pools.values().for_each(|pool| pool.close());
        self.shared.commands.close();
    }

    /// Steps of a pool that no stream has taken.
    #[must_use]
    pub fn queued_steps(&self, pool: &Pool) -> usize {
        self.registry().pools.get(pool).map_or(0, |queue| queue.len())
    }

    /// Commands of a partition that no stream has taken.
    #[must_use]
    pub fn queued_commands(&self, partition: PartitionId) -> usize {
        self.shared.commands.len(partition)
    }

    fn registry(&self) -> MutexGuard<'_, Registry> {
        locked(&self.shared.registry)
    }

    fn pool(&self, pool: &Pool, operation: &'static str) -> Result<Arc<PoolQueue>, QueueError> {
        let mut registry = self.registry();
        if registry.closed {
            return Err(closed(operation));
        }
        if let Some(queue) = registry.pools.get(pool) {
            return Ok(Arc::clone(queue));
        }
        let queue = Arc::new(PoolQueue::default());
        registry.pools.insert(pool.clone(), Arc::clone(&queue));
        Ok(queue)
    }
}

#[async_trait]
impl Queue for MemoryQueue {
    async fn incarnation(&self) -> Result<String, QueueError> {
        let registry = self.registry();
        Ok(match registry.wipes {
            0 => registry.first_incarnation.clone(),
            n => format!("{}+{n}", registry.first_incarnation),
        })
    }

    async fn publish_steps(&self, mut steps: Vec<(Pool, Outgoing)>) -> Result<(), QueueError> {
        let now = self.shared.clock.now();
        // Stable: the order within a pool stays. Nearly always there is one pool, and nothing to do.
        steps.sort_by(|(a, _), (b, _)| a.cmp(b));
        let mut steps = steps.into_iter().peekable();
        while let Some((pool, _)) = steps.peek() {
            let pool = pool.clone();
            let queue = self.pool(&pool, "publish_steps")?;
            let batch = std::iter::from_fn(|| steps.next_if(|(other, _)| *other == pool));
            queue.push(batch.map(|(_, step)| step), now)?;
        }
        Ok(())
    }

    async fn publish_commands(&self, commands: Vec<(PartitionId, Outgoing)>) -> Result<(), QueueError> {
        self.shared.commands.push(commands, self.shared.clock.now())
    }

    async fn nudge(&self, partitions: &[PartitionId]) {
        self.shared.commands.nudge(partitions);
    }

    async fn steps(&self, pool: &Pool, prefetch: u32) -> Result<Box<dyn Steps>, QueueError> {
        let queue = self.pool(pool, "steps")?;
        Ok(Box::new(MemorySteps::open(queue, prefetch)))
    }

    async fn commands(&self, partitions: &[(PartitionId, i64)]) -> Result<Box<dyn Commands>, QueueError> {
        let commands = Arc::clone(&self.shared.commands);
        Ok(Box::new(MemoryCommands::open(commands, partitions.iter().map(|(p, _)| *p))?))
    }
}

fn closed(operation: &'static str) -> QueueError {
    QueueError { operation, kind: Kind::Closed, source: None }
}

/// A panic of another holder leaves nothing half done here: each critical section only moves messages.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
