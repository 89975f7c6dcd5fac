//! The services of this process, composed: all of them, or those that were asked for. None of them knows
//! which others run here.

use crate::adapters::{Adapters, Opener};
use crate::assembly::Assembly;
use crate::error::cannot;
use crate::health::Health;
use crate::home::Home;
use crate::inner_loop::{InnerLoop, Stops};
use crate::kept::Kept;
use crate::listen::{self, Socket};
use crate::owner::OwnerService;
use crate::settings::Settings;
use aidt_cli::{HostError, Service};
use aidt_domain::{Clock, ErrorCode, Pool, ProcessId, Project, RunState, ToolEntry};
use aidt_plan::Catalogue;
use aidt_policy::{ActivePolicy, Bundle};
use aidt_runtime::{Ids, SystemClock};
use aidt_store::RunFilter;
use aidt_store_sqlite::SqliteStore;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// How long a start may take before it is given up, with the reason.
const READY_WITHIN: Duration = Duration::from_secs(10);

/// How long a thread that has nothing left to do is waited for.
const THREAD_ENDS_WITHIN: Duration = Duration::from_secs(2);

/// How a stack is to be started.
pub(crate) struct Plan<'a> {
    /// Names this life of the process.
    pub(crate) process: ProcessId,
    pub(crate) settings: &'a Settings,
    pub(crate) services: Vec<Service>,
    pub(crate) home: &'a Home,
    /// This process holds the home's lock: the store is its own, and the API is on the home's socket.
    pub(crate) embedded: bool,
    pub(crate) listen: Option<SocketAddr>,
    pub(crate) tools: Option<&'a Path>,
    pub(crate) policy: Option<&'a Path>,
    /// Local repositories may be cloned from under these.
    pub(crate) roots: Vec<PathBuf>,
    /// How long a drain may take.
    pub(crate) drain: Duration,
}

/// Services that run. What does not run here is `None`.
pub(crate) struct Stack {
    pub(crate) sqlite: Option<Arc<SqliteStore>>,
    pub(crate) address: Option<SocketAddr>,
    /// Runs that an earlier life left unfinished.
    pub(crate) resumed: usize,
    pub(crate) process: ProcessId,
    pub(crate) adapters: Option<Adapters>,
    pub(crate) owner: Option<OwnerService>,
    pub(crate) inner: Option<InnerLoop>,
    pub(crate) heart: Option<Kept>,
    pub(crate) stops: Stops,
    /// What the main thread serves.
    pub(crate) listeners: JoinSet<()>,
    pub(crate) listeners_stop: CancellationToken,
    pub(crate) socket: Option<Socket>,
    pub(crate) health: Health,
    pub(crate) drain: Duration,
}

impl Stack {
    /// Starts what was asked for. What can be refused is refused before anything is opened.
    pub(crate) async fn start(plan: Plan<'_>) -> Result<Self, HostError> {
        let catalogue = Arc::new(catalogue(plan.tools, &plan.settings.worker.pool)?);
        let policy = Arc::new(ActivePolicy::new(bundle(plan.policy)?));
        let bound = match plan.listen {
            Some(address) => Some(listen::bind(address).await?),
            None => None,
        };
        let for_health = match plan.settings.health_listen.filter(|_| plan.listen.is_some()) {
            Some(address) => Some(listen::bind(address).await?),
            None => None,
        };
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
        let ids = Arc::new(Ids::system(Arc::clone(&clock)));
        let process = plan.process;
        // A tool worker alone keeps nothing anywhere.
        let opener = match plan.services[..] {
            [Service::ToolWorker] => None,
            _ => Some(Opener::new(&plan.settings.adapters, &clock, process).await?),
        };
        let adapters = match &opener {
            Some(opener) => Some(opener.open().await?),
            None => None,
        };
        let resumed = match &adapters {
            Some(adapters) if plan.embedded => left_behind(adapters, process).await?,
            _ => 0,
        };
        let assembly = Assembly { plan: &plan, clock, ids, process, opener, adapters, catalogue, policy };
        assembly.start(bound, for_health, resumed).await
    }

    /// Waits until everything here can do its work.
    pub(crate) async fn ready(&mut self) -> Result<(), HostError> {
        let health = self.health.clone();
        let ready = async {
            loop {
                health.ask().await;
                if health.reasons().is_empty() {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        tokio::select! {
            biased;
            () = ready => return Ok(()),
            why = self.failed() => return Err(HostError::new(ErrorCode::Unavailable, why)),
            () = tokio::time::sleep(READY_WITHIN) => {}
        }
        let why = self.health.reasons().join("; ");
        let message = format!("not ready after {} s: {why}", READY_WITHIN.as_secs());
        Err(HostError::new(ErrorCode::Unavailable, message))
    }

    /// Until a service ends that should not; why. Cancel safe.
    pub(crate) async fn failed(&mut self) -> String {
        async fn ended(kept: Option<&mut Kept>) -> String {
            let Some(kept) = kept else { return std::future::pending().await };
            let ended = kept.ended().await;
            format!("{} ended: {}", kept.name(), ended.err().unwrap_or_else(|| "by itself".to_owned()))
        }
        let why = tokio::select! {
            biased;
            why = ended(self.owner.as_mut().map(|o| &mut o.thread)) => why,
            why = ended(self.inner.as_mut().map(|i| &mut i.thread)) => why,
            why = ended(self.heart.as_mut()) => why,
        };
        self.health.ended(why.clone());
        why
    }

    /// Takes nothing new, lets running steps end, records what they say, then ends the rest. What is not
    /// done in time is left to others.
    pub(crate) async fn stop(mut self) -> Result<(), HostError> {
        self.health.draining();
        let drained = tokio::time::timeout(self.drain, self.drain()).await;
        // No sooner: connections that a thread opened may be used by others.
        for kept in [self.owner.map(|o| o.thread), self.inner.map(|i| i.thread), self.heart].into_iter().flatten() {
            // A call that blocks its thread is left to the end of the process.
            drop(tokio::time::timeout(THREAD_ENDS_WITHIN, kept.stop()).await);
        }
        drop(self.socket);
        drained.map_err(|_| {
            let message =
                format!("not drained within {} s: what was left is taken over by others", self.drain.as_secs());
            HostError::new(ErrorCode::Internal, message)
        })
    }

    async fn drain(&mut self) {
        if let Some(owner) = &self.owner {
            owner.view.stop_handing_out();
        }
        self.stops.steps.cancel();
        let recorded = match &mut self.inner {
            Some(inner) => inner.thread.drained().await,
            None => true,
        };
        if let Some(owner) = &mut self.owner {
            owner.stop.cancel();
            owner.thread.drained().await;
        }
        self.listeners_stop.cancel();
        while self.listeners.join_next().await.is_some() {}
        let (Some(adapters), Some(_)) = (&self.adapters, &self.heart) else { return };
        if !recorded {
            tracing::warn!("this process's row stays open: until it counts as dead, owners can record what it did");
        } else if let Err(error) = adapters.store.processes.close(self.process).await {
            tracing::warn!(%error, "this process's row stays open; it counts as dead after 4 s");
        }
    }
}

/// Closes lives that ended without a word (only one process holds the home), and counts what they left.
async fn left_behind(adapters: &Adapters, process: ProcessId) -> Result<usize, HostError> {
    let failed = |e| cannot(ErrorCode::Unavailable, "the database cannot be read", e);
    adapters.store.processes.close_others(process).await.map_err(failed)?;
    let states = vec![RunState::Created, RunState::Planning, RunState::Running, RunState::Cancelling];
    let filter = RunFilter { project: Project::default(), states, ..RunFilter::default() };
    let page = adapters.store.history.runs(&filter, None, 1_000).await.map_err(failed)?;
    Ok(page.items.len())
}

/// The built-in tools, in their pool, and those of the operator's folder.
pub(crate) fn catalogue(dir: Option<&Path>, pool: &Pool) -> Result<Catalogue, HostError> {
    let built_in = aidt_tools::catalogue().into_iter().map(|entry| ToolEntry { pool: pool.clone(), ..entry });
    let mut catalogue = Catalogue::new(built_in.collect());
    if let Some(dir) = dir {
        catalogue
            .load_dir(dir)
            .map_err(|e| cannot(ErrorCode::InvalidArgument, format!("--tools {}", dir.display()), e))?;
    }
    Ok(catalogue)
}

fn bundle(dir: Option<&Path>) -> Result<Arc<Bundle>, HostError> {
    match dir {
        None => Ok(Bundle::shipped()),
        Some(dir) => Bundle::load_dir(dir)
            .map_err(|e| cannot(ErrorCode::InvalidArgument, format!("--policy {}", dir.display()), e)),
    }
}
