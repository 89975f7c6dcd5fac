//! The completion consumer of this process, on a thread of its own.

use crate::adapters::Opener;
use crate::error::shown;
use crate::kept::Kept;
use aidt_cli::HostError;
use aidt_completion_consumer::{Config, Handle, Owner, Ports};
use aidt_domain::{Clock, ProcessId};
use aidt_policy::ActivePolicy;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

/// An owner that runs.
pub(crate) struct OwnerService {
    pub(crate) view: Handle,
    pub(crate) thread: Kept,
    pub(crate) stop: CancellationToken,
}

impl OwnerService {
    pub(crate) async fn start(
        opener: Opener,
        process: ProcessId,
        environment: String,
        clock: Arc<dyn Clock>,
        policy: Arc<ActivePolicy>,
    ) -> Result<Self, HostError> {
        let stop = CancellationToken::new();
        let stopped = stop.clone();
        let (view, thread) = Kept::start("completion-consumer", move || async move {
            let adapters = opener.open().await?;
            let ports = Ports { store: adapters.store, queue: adapters.queue, locks: adapters.locks, clock, policy };
            let (owner, view) = Owner::build(Config { environment, ..Config::new(process) }, ports);
            Ok((view, async move { owner.run(stopped).await.map_err(|e| shown(&e)) }))
        })
        .await?;
        Ok(Self { view, thread, stop })
    }
}
