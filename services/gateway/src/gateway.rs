//! The gateway as its caller sees it: configuration and ports in, a router out.

use crate::config::{Config, ConfigError};
use crate::endpoints;
use crate::read::Graphs;
use crate::web::Problem;
use crate::web::front_door::Door;
use crate::write::Plans;
use aidt_artifacts::Artifacts;
use aidt_domain::{Clock, ErrorCode};
use aidt_lock::Locks;
use aidt_plan::Catalogue;
use aidt_queue::Queue;
use aidt_store::Store;
use axum::Router;
use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// Makes ids of runs and commands: UUIDv7 in production, so that runs sort by age.
pub type Ids = Arc<dyn Fn() -> Uuid + Send + Sync>;

/// Why the process is not ready; nothing when it is.
pub type Readiness = Arc<dyn Fn() -> Vec<String> + Send + Sync>;

/// What the gateway works with.
#[derive(Clone)]
pub struct Ports {
    /// Runs, commands, documents, processes.
    pub store: Store,
    /// Nudges the owners.
    pub queue: Arc<dyn Queue>,
    /// Live fan-out.
    pub locks: Arc<dyn Locks>,
    /// Values that are too large for a row; `None`: none are kept.
    pub artifacts: Option<Arc<dyn Artifacts>>,
    /// The operator's tools.
    pub catalogue: Arc<Catalogue>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Ids.
    pub ids: Ids,
    /// Whether the process is ready.
    pub readiness: Readiness,
    /// Ends streams and waits, so that the listener can close; clients resume where they were.
    pub shutdown: CancellationToken,
}

/// The REST API over a set of ports. Cheap to clone.
#[derive(Clone)]
pub struct Gateway(Arc<Api>);

impl Gateway {
    /// Checks the configuration and puts the parts together.
    pub fn new(config: Config, ports: Ports) -> Result<Self, ConfigError> {
        config.validate()?;
        let Ports { store, queue, locks, artifacts, catalogue, clock, ids, readiness, shutdown } = ports;
        Ok(Self(Arc::new(Api {
            plans: Plans::new(catalogue.clone(), config.plan_cache_bytes),
            graphs: Graphs::new(config.plan_cache_bytes),
            writes: Arc::new(Semaphore::new(config.max_writes)),
            streams: Arc::new(Semaphore::new(config.max_streams)),
            reads: Arc::new(Semaphore::new(config.max_artifacts)),
            config,
            store,
            queue,
            locks,
            artifacts,
            catalogue,
            clock,
            ids,
            readiness,
            shutdown,
        })))
    }

    /// The API for a listener on a loopback address: every request must name a loopback host.
    ///
    /// The router has a fallback. To serve it beside another router, reset the other's fallback and
    /// merge: `hub.reset_fallback().merge(gateway.router())`.
    pub fn router(&self) -> Router {
        endpoints::router(&self.0, Door::Loopback)
    }

    /// The API for a unix socket, where a request need not name a host.
    pub fn socket_router(&self) -> Router {
        endpoints::router(&self.0, Door::Socket)
    }
}

impl std::fmt::Debug for Gateway {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Gateway").field("config", &self.0.config).finish_non_exhaustive()
    }
}

/// What every endpoint works with.
pub(crate) struct Api {
    pub(crate) config: Config,
    pub(crate) store: Store,
    pub(crate) queue: Arc<dyn Queue>,
    pub(crate) locks: Arc<dyn Locks>,
    pub(crate) artifacts: Option<Arc<dyn Artifacts>>,
    pub(crate) catalogue: Arc<Catalogue>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) ids: Ids,
    pub(crate) readiness: Readiness,
    pub(crate) shutdown: CancellationToken,
    pub(crate) plans: Plans,
    pub(crate) graphs: Graphs,
    writes: Arc<Semaphore>,
    streams: Arc<Semaphore>,
    reads: Arc<Semaphore>,
}

impl Api {
    /// Room for one more request with a body.
    pub(crate) fn admit_write(&self) -> Result<OwnedSemaphorePermit, Problem> {
        admit(&self.writes, self.config.max_writes, "requests with a body")
    }

    /// Room for one more stream or wait.
    pub(crate) fn admit_stream(&self) -> Result<OwnedSemaphorePermit, Problem> {
        admit(&self.streams, self.config.max_streams, "streams and waits")
    }

    /// Room for one more artifact.
    pub(crate) fn admit_artifact(&self) -> Result<OwnedSemaphorePermit, Problem> {
        admit(&self.reads, self.config.max_artifacts, "artifacts")
    }
}

fn admit(room: &Arc<Semaphore>, limit: usize, what: &str) -> Result<OwnedSemaphorePermit, Problem> {
    room.clone()
        .try_acquire_owned()
        .map_err(|_| Problem::new(ErrorCode::Overloaded, format!("{limit} {what} are open already: that is the limit")))
}
