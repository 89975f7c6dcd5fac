//! A step consumer: what it is made of.

use crate::handle::Handle;
use crate::life::Life;
use crate::run::Loop;
use crate::workers::Workers;
use crate::{Config, ConfigError, Error};
use aidt_lock::Locks;
use aidt_policy::ActivePolicy;
use aidt_queue::Queue;
use aidt_store::Store;
use std::sync::Arc;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// What a step consumer works with.
pub struct Ports {
    /// Claims, processes, logs, dead letters, the inbox for the drain, and the clock.
    pub store: Store,
    /// Steps in, results out.
    pub queue: Arc<dyn Queue>,
    /// Cancels in, live text out.
    pub locks: Arc<dyn Locks>,
    /// Whoever runs the calls.
    pub workers: Arc<dyn Workers>,
    /// The policy in force.
    pub policy: Arc<ActivePolicy>,
}

impl std::fmt::Debug for Ports {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ports").field("workers", &self.workers).finish_non_exhaustive()
    }
}

/// Takes steps while workers have free slots, and reports what became of them.
///
/// Several may share one [`Life`], over views of the same workers.
pub struct StepConsumer {
    pub(crate) config: Config,
    pub(crate) life: Arc<Life>,
    pub(crate) store: Store,
    pub(crate) queue: Arc<dyn Queue>,
    pub(crate) locks: Arc<dyn Locks>,
    pub(crate) workers: Arc<dyn Workers>,
    pub(crate) policy: Arc<ActivePolicy>,
    pub(crate) handle: Handle,
}

/// Makes a step consumer of a process's life. It begins to work when it is run.
pub fn build(config: Config, life: Arc<Life>, ports: Ports) -> Result<StepConsumer, ConfigError> {
    config.validate()?;
    let Ports { store, queue, locks, workers, policy } = ports;
    Ok(StepConsumer { config, life, store, queue, locks, workers, policy, handle: Handle::default() })
}

impl std::fmt::Debug for StepConsumer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StepConsumer").field("life", &self.life).finish_non_exhaustive()
    }
}

impl StepConsumer {
    /// A handle, also for the process's [`crate::Heart`].
    #[must_use]
    pub fn handle(&self) -> Handle {
        self.handle.clone()
    }

    /// Works until `shutdown` is cancelled and the drain is over. Dropping the future at any await is what
    /// a crash is: others take over. The process's heart must beat meanwhile.
    pub async fn run(self, shutdown: CancellationToken) -> Result<(), Error> {
        let (sender, reports) = mpsc::channel(self.config.reports);
        self.workers.attach(sender);
        Loop::new(self, reports).run(shutdown).await
    }
}
