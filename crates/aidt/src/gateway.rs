//! The gateway of this process, on the thread that also watches over the others.

use crate::adapters::Adapters;
use crate::error::cannot;
use crate::health::Health;
use aidt_artifacts::Artifacts;
use aidt_cli::HostError;
use aidt_domain::{Clock, ErrorCode};
use aidt_gateway::{Config, Gateway, Ports};
use aidt_plan::Catalogue;
use aidt_runtime::Ids;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

/// A gateway over these adapters; `stop` ends its streams.
pub(crate) fn gateway(
    adapters: Adapters,
    artifacts: Option<Arc<dyn Artifacts>>,
    catalogue: Arc<Catalogue>,
    (clock, ids): (Arc<dyn Clock>, Arc<Ids>),
    health: Health,
    stop: CancellationToken,
) -> Result<Gateway, HostError> {
    let Adapters { store, queue, locks } = adapters;
    let ports = Ports {
        store,
        queue,
        locks,
        artifacts,
        catalogue,
        clock,
        ids: Arc::new(move || ids.run().0),
        readiness: Arc::new(move || health.reasons()),
        shutdown: stop,
    };
    Gateway::new(Config::default(), ports).map_err(|e| cannot(ErrorCode::InvalidArgument, "the gateway's settings", e))
}
