//! The services of this process, composed. The same services, alone in a process, are what production
//! runs; none of them knows which.

use crate::adapters::{self, Adapters, PARTITIONS};
use crate::error::cannot;
use crate::home::Home;
use crate::inner_loop::{InnerLoop, Stops, builtin_tools, builtin_worker};
use crate::settings::Settings;
use aidt_cli::HostError;
use aidt_completion_consumer::{Config as OwnerConfig, Handle as OwnerHandle, Owner, Ports as OwnerPorts};
use aidt_domain::{Clock, ErrorCode, ProcessId, Project, RunState};
use aidt_gateway::{Gateway, Limits};
use aidt_plan::Catalogue;
use aidt_policy::{ActivePolicy, Bundle};
use aidt_runtime::{Ids, SystemClock, Thread};
use aidt_step_consumer::{Admission, Beat, Heart, Hub, HubConfig, Life, StepConsumer};
use aidt_store::RunFilter;
use aidt_store_sqlite::SqliteStore;
use axum::serve::ListenerExt as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::net::{TcpListener, UnixListener};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// Everything that runs here, for the process's row.
const SERVICES: &str = "gateway,completion-consumer,step-consumer,tool-worker";

/// How long a start may take before it is given up, with the reason.
const READY_WITHIN: Duration = Duration::from_secs(10);

/// How a stack is to be started.
pub(crate) struct Plan<'a> {
    pub(crate) settings: &'a Settings,
    pub(crate) home: &'a Home,
    pub(crate) listen: Option<SocketAddr>,
    pub(crate) tools: Option<&'a Path>,
    pub(crate) policy: Option<&'a Path>,
    /// Local repositories may be cloned from under these.
    pub(crate) roots: Vec<PathBuf>,
    /// How long running steps are waited for at the end.
    pub(crate) drain: Duration,
}

/// Services that run.
pub(crate) struct Stack {
    pub(crate) sqlite: Arc<SqliteStore>,
    pub(crate) address: Option<SocketAddr>,
    /// Runs that an earlier life left unfinished.
    pub(crate) resumed: usize,
    owner: Thread<Result<(), aidt_completion_consumer::Error>>,
    owner_view: OwnerHandle,
    owner_stop: CancellationToken,
    inner: Thread<Result<(), crate::inner_loop::InnerLoopError>>,
    stops: Stops,
    listeners: JoinSet<()>,
    gateway_stop: CancellationToken,
    heart: Thread<()>,
    processes: Arc<dyn aidt_store::Processes>,
    process: ProcessId,
    socket: PathBuf,
    trouble: Arc<Mutex<Vec<String>>>,
    worker_ready: Arc<dyn Fn() -> bool + Send + Sync>,
}

impl Stack {
    /// Starts everything. What can be refused is refused before anything is opened.
    pub(crate) async fn start(plan: Plan<'_>) -> Result<Self, HostError> {
        let catalogue = Arc::new(catalogue(plan.tools)?);
        let policy = Arc::new(ActivePolicy::new(bundle(plan.policy)?));
        let listener = match plan.listen {
            Some(address) => Some(bind(address).await?),
            None => None,
        };
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
        let ids = Arc::new(Ids::system(Arc::clone(&clock)));
        let process = ids.process();
        let adapters = adapters::open(plan.settings, plan.home, &clock, process)?;
        let resumed = left_behind(&adapters, process).await?;
        let parts = Parts { plan: &plan, clock, ids, process, adapters, catalogue, policy };
        parts.start(listener, resumed).await
    }

    /// Waits until the owner holds its partitions and the built-in worker is welcome.
    pub(crate) async fn ready(&mut self) -> Result<(), HostError> {
        let ready = async {
            self.owner_view.holds(PARTITIONS).await;
            while !(self.worker_ready)() {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        if tokio::time::timeout(READY_WITHIN, ready).await.is_ok() {
            return Ok(());
        }
        let why = self.owner_view.status().trouble;
        let why = why.unwrap_or_else(|| "the built-in worker did not connect".to_owned());
        let message = format!("not ready after {} s: {why}", READY_WITHIN.as_secs());
        Err(HostError::new(ErrorCode::Unavailable, message))
    }

    /// Until a service ends that should not; why.
    pub(crate) async fn failed(&mut self) -> String {
        let why = tokio::select! {
            biased;
            ended = &mut self.owner => format!("the completion consumer ended: {}", shown(ended)),
            ended = &mut self.inner => format!("the step consumer ended: {}", shown(ended)),
        };
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner).push(why.clone());
        why
    }

    /// Takes nothing new, lets running steps end, records what they say, then ends the rest.
    pub(crate) async fn stop(mut self) {
        self.owner_view.stop_handing_out();
        self.stops.steps.cancel();
        report("step consumer", (&mut self.inner).await);
        self.owner_stop.cancel();
        report("completion consumer", (&mut self.owner).await);
        self.gateway_stop.cancel();
        while self.listeners.join_next().await.is_some() {}
        self.heart.stop().await;
        if let Err(error) = self.processes.close(self.process).await {
            tracing::warn!(%error, "this process's row stays open; it counts as dead after 4 s");
        }
        drop(std::fs::remove_file(&self.socket));
    }
}

fn shown<E: std::fmt::Display>(ended: Result<Result<(), E>, aidt_runtime::TaskError>) -> String {
    match ended {
        Ok(Ok(())) => "by itself".to_owned(),
        Ok(Err(error)) => error.to_string(),
        Err(error) => error.to_string(),
    }
}

fn report<E: std::fmt::Display>(what: &str, ended: Result<Result<(), E>, aidt_runtime::TaskError>) {
    match ended {
        Ok(Ok(())) => {}
        other => tracing::error!(what, why = shown(other), "a service did not end well"),
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

/// The built-in tools, and those of the operator's folder.
pub(crate) fn catalogue(dir: Option<&Path>) -> Result<Catalogue, HostError> {
    let mut catalogue = Catalogue::new(aidt_tools::catalogue());
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

/// Refuses to listen where others could reach it: there are no keys yet.
pub(crate) fn only_loopback(address: SocketAddr) -> Result<(), HostError> {
    if address.ip().is_loopback() {
        return Ok(());
    }
    let message = format!(
        "{address} is not a loopback address: this build has no keys yet and never listens openly without them; \
         listen on 127.0.0.1 and put an authenticating proxy in front"
    );
    Err(HostError::new(ErrorCode::InvalidArgument, message))
}

async fn bind(address: SocketAddr) -> Result<TcpListener, HostError> {
    only_loopback(address)?;
    TcpListener::bind(address).await.map_err(|e| {
        cannot(ErrorCode::Unavailable, format!("cannot listen on {address} (another process may; try another port)"), e)
    })
}

/// What is made before anything runs.
struct Parts<'a> {
    plan: &'a Plan<'a>,
    clock: Arc<dyn Clock>,
    ids: Arc<Ids>,
    process: ProcessId,
    adapters: Adapters,
    catalogue: Arc<Catalogue>,
    policy: Arc<ActivePolicy>,
}

impl Parts<'_> {
    async fn start(self, listener: Option<TcpListener>, resumed: usize) -> Result<Stack, HostError> {
        let token = self.plan.home.worker_token(|| self.ids.token())?;
        let routes = self.plan.home.route_secret(|| self.ids.token())?;
        let (hub, driver) = self.hub(&token, &routes);
        let life = Life::new(self.process);
        let consumer = self.consumer(&life, &hub)?;
        let heart = Heart::new(life, Arc::clone(&self.adapters.store.processes), vec![consumer.handle()]);
        let (owner, owner_view) = Owner::build(OwnerConfig::new(self.process), self.owner_ports());
        let socket = self.plan.home.socket()?;
        let sockets = bind_socket(&socket)?;
        let trouble = Arc::new(Mutex::new(Vec::new()));
        let gateway_stop = CancellationToken::new();
        let gateway = self.gateway(&owner_view, &trouble, &gateway_stop)?;
        let address = listener.as_ref().and_then(|l| l.local_addr().ok());
        let listeners = listen(listener, sockets, &gateway, &hub, &gateway_stop);
        let stops = Stops::default();
        let seen = hub.clone();
        let inner = InnerLoop {
            consumer,
            hub,
            driver,
            worker: builtin_worker(self.ids.worker(), self.plan.settings.slots, token, self.plan.drain),
            tools: self.tools(),
            clock: Arc::clone(&self.clock),
            stops: stops.clone(),
        };
        let failed = |e| cannot(ErrorCode::Unavailable, "cannot start a thread", e);
        let owner_stop = CancellationToken::new();
        let stopped = owner_stop.clone();
        Ok(Stack {
            sqlite: Arc::clone(&self.adapters.sqlite),
            address,
            resumed,
            inner: Thread::spawn("inner-loop", move || inner.run()).map_err(failed)?,
            heart: Thread::spawn("heartbeat", move || beat(heart)).map_err(failed)?,
            owner: Thread::spawn("owner", move || owner.run(stopped)).map_err(failed)?,
            owner_view,
            owner_stop,
            stops,
            listeners,
            gateway_stop,
            processes: Arc::clone(&self.adapters.store.processes),
            process: self.process,
            socket,
            trouble,
            worker_ready: Arc::new(move || seen.workers().iter().any(|w| w.connected)),
        })
    }

    fn hub(&self, token: &str, routes: &str) -> (Hub, aidt_step_consumer::HubDriver) {
        let root = |ids: &Ids| {
            let mut key = [0; 32];
            key[..16].copy_from_slice(&ids.bytes::<16>());
            key[16..].copy_from_slice(&ids.bytes::<16>());
            aidt_grants::RootKeys::new(key)
        };
        let ids = Arc::clone(&self.ids);
        let mut config = HubConfig::new(root(&self.ids), Arc::new(move || ids.bytes::<16>()));
        config.route_keys = aidt_grants::RootKeys::new(aidt_domain::Digest::of(routes.as_bytes()).0);
        config.admission = Admission::nobody().with(token);
        config.catalogue = self.catalogue.iter().map(|t| (t.name.clone(), t.clone())).collect();
        Hub::new(config, Arc::clone(&self.clock))
    }

    fn consumer(&self, life: &Arc<Life>, hub: &Hub) -> Result<StepConsumer, HostError> {
        let config = aidt_step_consumer::Config {
            service: SERVICES.to_owned(),
            drain_grace: self.plan.drain,
            ..aidt_step_consumer::Config::default()
        };
        let ports = aidt_step_consumer::Ports {
            store: self.adapters.store.clone(),
            queue: Arc::clone(&self.adapters.queue),
            locks: Arc::clone(&self.adapters.locks),
            workers: hub.line(),
            policy: Arc::clone(&self.policy),
        };
        aidt_step_consumer::build(config, Arc::clone(life), ports)
            .map_err(|e| cannot(ErrorCode::InvalidArgument, "the step consumer's settings", e))
    }

    fn owner_ports(&self) -> OwnerPorts {
        OwnerPorts {
            store: self.adapters.store.clone(),
            queue: Arc::clone(&self.adapters.queue),
            locks: Arc::clone(&self.adapters.locks),
            clock: Arc::clone(&self.clock),
            policy: Arc::clone(&self.policy),
        }
    }

    fn tools(&self) -> Vec<Arc<dyn aidt_tools::Tool>> {
        let settings = self.plan.settings;
        let root = self.plan.home.workspaces();
        builtin_tools(root, self.plan.roots.clone(), settings.cwd.clone(), settings.path.clone())
    }

    fn gateway(
        &self,
        owner: &OwnerHandle,
        trouble: &Arc<Mutex<Vec<String>>>,
        stop: &CancellationToken,
    ) -> Result<Gateway, HostError> {
        let (ids, owner, trouble) = (Arc::clone(&self.ids), owner.clone(), Arc::clone(trouble));
        let ports = aidt_gateway::Ports {
            store: self.adapters.store.clone(),
            queue: Arc::clone(&self.adapters.queue),
            locks: Arc::clone(&self.adapters.locks),
            catalogue: Arc::clone(&self.catalogue),
            clock: Arc::clone(&self.clock),
            ids: Arc::new(move || ids.run().0),
            readiness: Arc::new(move || unready(&owner, &trouble)),
            shutdown: stop.clone(),
        };
        Gateway::new(aidt_gateway::Config::default(), ports)
            .map_err(|e| cannot(ErrorCode::InvalidArgument, "the gateway's settings", e))
    }
}

fn unready(owner: &OwnerHandle, trouble: &Mutex<Vec<String>>) -> Vec<String> {
    let status = owner.status();
    let mut reasons = trouble.lock().unwrap_or_else(PoisonError::into_inner).clone();
    if status.held.len() < usize::from(PARTITIONS) {
        reasons.push(format!("completion-consumer holds {} of {PARTITIONS} partitions", status.held.len()));
    }
    reasons.extend(status.trouble);
    reasons
}

fn bind_socket(path: &Path) -> Result<UnixListener, HostError> {
    let failed = |e| cannot(ErrorCode::Unavailable, format!("cannot listen on {}", path.display()), e);
    // Whoever holds the home's lock may remove what an earlier holder left.
    match std::fs::remove_file(path) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => return Err(failed(e)),
        _ => {}
    }
    let listener = UnixListener::bind(path).map_err(failed)?;
    let owner_only = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    std::fs::set_permissions(path, owner_only).map_err(failed)?;
    Ok(listener)
}

/// REST and the workers' gRPC, on the same listeners.
fn listen(
    tcp: Option<TcpListener>,
    socket: UnixListener,
    gateway: &Gateway,
    hub: &Hub,
    stop: &CancellationToken,
) -> JoinSet<()> {
    let workers = || hub.routes().into_axum_router().reset_fallback();
    let mut listeners = JoinSet::new();
    let router = workers().merge(gateway.socket_router());
    listeners.spawn(aidt_gateway::serve(socket, router, Limits::default(), stop.clone()));
    if let Some(tcp) = tcp {
        let router = workers().merge(gateway.router());
        // Frames are small: they must not wait for the ack of the one before.
        let tcp = tcp.tap_io(|stream| drop(stream.set_nodelay(true)));
        listeners.spawn(aidt_gateway::serve(tcp, router, Limits::default(), stop.clone()));
    }
    listeners
}

async fn beat(heart: Heart) {
    let mut ticks = tokio::time::interval(Duration::from_secs(1));
    // The first beats come fast: the life begins when the step consumer has registered it.
    loop {
        match heart.beat().await {
            Beat::Idle => tokio::time::sleep(Duration::from_millis(5)).await,
            Beat::Dead => {
                tracing::error!("others took this process for dead; it stops working");
                std::future::pending::<()>().await;
            }
            Beat::Written | Beat::Missed => drop(ticks.tick().await),
        }
    }
}
