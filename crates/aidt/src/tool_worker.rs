//! The tool worker: the built-in tools, dialled in at every step consumer that it is told of, with its
//! slots shared out among them.

use crate::inner_loop::Stops;
use crate::settings::{Settings, StepConsumers};
use crate::tls;
use aidt_artifacts::ObjectArtifacts;
use aidt_cli::HostError;
use aidt_client::Endpoint;
use aidt_domain::{Clock, WorkerId};
use aidt_runtime::Ids;
use aidt_tool_worker::{Config, Handle, Token, ToolWorker};
use aidt_tools::{LargeOutputs, Tool, WorkspaceConfig, Workspaces};
use futures::future::BoxFuture;
use futures::stream::{FuturesUnordered, StreamExt as _};
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::io::DuplexStream;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tonic::transport::{Channel, Uri};

/// How often names are looked up.
const LOOK_UP_EVERY: Duration = Duration::from_secs(5);
/// How long a connection may take.
const CONNECT_WITHIN: Duration = Duration::from_secs(5);
/// Bytes that the pipe to the step consumer of this process holds.
const PIPE: usize = 256 * 1024;
/// What that step consumer is called.
const HERE: &str = "this process";

/// A way to a step consumer.
#[derive(Clone, Debug)]
enum Dial {
    /// In this process: the other end of a new pipe is handed to its server. The hop is gRPC all the same.
    Pipe(mpsc::Sender<DuplexStream>),
    At(Endpoint),
    /// Over TLS: who has to be there, and where that is.
    Tls {
        config: Arc<ClientConfig>,
        host: String,
        address: String,
    },
}

/// Who is dialled, by address.
type Dialled = BTreeMap<String, Dial>;

/// The workers of this process, one for each step consumer.
pub(crate) struct Workers {
    config: Config,
    slots: u32,
    tools: Vec<Arc<dyn Tool>>,
    pipe: Option<mpsc::Sender<DuplexStream>>,
    told: Vec<StepConsumers>,
    tls: Option<Arc<ClientConfig>>,
    clock: Arc<dyn Clock>,
    ids: Arc<Ids>,
    view: WorkersView,
}

/// How they are. Cheap to clone.
#[derive(Clone)]
pub(crate) struct WorkersView {
    handles: Arc<Mutex<Handles>>,
    /// How many tools each of them has.
    tools: usize,
}

/// By address and life: a step consumer may be back before the worker of its last life has drained.
type Handles = BTreeMap<(String, WorkerId), Handle>;

/// Workers that are not told to stop, by address.
type Serving = BTreeMap<String, (WorkerId, CancellationToken)>;

/// Why they ended though nobody asked them to.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("the tool worker at {at}")]
    Worker {
        at: String,
        #[source]
        source: aidt_tool_worker::Error,
    },
    #[error("the tool worker's settings")]
    Config(#[from] aidt_tool_worker::ConfigError),
    #[error("{at} cannot be dialled")]
    Address {
        at: String,
        #[source]
        source: tonic::transport::Error,
    },
}

impl Workers {
    /// Of these settings; `pipe` leads to the step consumer of this process, if it has one.
    pub(crate) fn new(
        settings: &Settings,
        roots: Vec<PathBuf>,
        token: String,
        drain: Duration,
        pipe: Option<mpsc::Sender<DuplexStream>>,
        artifacts: Option<Arc<ObjectArtifacts>>,
        (clock, ids): (Arc<dyn Clock>, Arc<Ids>),
    ) -> Result<Self, HostError> {
        let worker = &settings.worker;
        let mut config =
            Config::new(ids.worker(), "built-in".to_owned(), worker.pool.clone(), worker.slots, Token::Fixed(token));
        config.drain_grace = drain;
        config.large_outputs = artifacts.clone().map(|artifacts| LargeOutputs::new(artifacts));
        let tls = worker.tls.as_ref().map(tls::client).transpose()?;
        // What the home alone keeps, other workers cannot see.
        let shared = artifacts.filter(|_| settings.adapters.artifacts_are_shared);
        let tools = tools(settings, roots, shared);
        let (slots, told) = (worker.slots, worker.step_consumers.clone());
        let view = WorkersView { handles: Arc::default(), tools: tools.len() };
        Ok(Self { config, slots, tools, pipe, told, tls, clock, ids, view })
    }

    pub(crate) fn view(&self) -> WorkersView {
        self.view.clone()
    }

    /// Serves until it is to stop. The step consumer of this process waits for its calls by itself and is served
    /// until it has ended: from then on nobody takes results any more, so nothing is waited for. Workers of others
    /// drain as soon as this process does.
    pub(crate) async fn run(self, stops: &Stops) -> Result<(), Error> {
        let named = self.told.iter().any(|told| matches!(told, StepConsumers::Named { .. }));
        let mut serving = Serving::new();
        let mut running: FuturesUnordered<BoxFuture<'static, Result<(), Error>>> = FuturesUnordered::new();
        let mut looking: BoxFuture<'static, Option<Dialled>> = Box::pin(self.look_up(Duration::ZERO));
        loop {
            tokio::select! {
                biased;
                () = stops.steps.cancelled() => break,
                Some(ended) = running.next() => ended?,
                found = &mut looking => {
                    if let Some(dialled) = found {
                        self.follow(&dialled, &mut serving, &running)?;
                    }
                    looking = match named {
                        true => Box::pin(self.look_up(LOOK_UP_EVERY)),
                        false => Box::pin(std::future::pending()),
                    };
                }
            }
        }
        let here = serving.remove(HERE);
        serving.values().for_each(|(_, stop)| stop.cancel());
        let told = async {
            stops.workers.cancelled().await;
            here.inspect(|(_, stop)| stop.cancel());
            Ok(())
        };
        let ended = async {
            while let Some(ended) = running.next().await {
                ended?;
            }
            Ok(())
        };
        futures::try_join!(told, ended).map(drop)
    }

    /// Begins with who is new, drains who is gone, and shares the slots out anew.
    fn follow(
        &self,
        dialled: &Dialled,
        serving: &mut Serving,
        running: &FuturesUnordered<BoxFuture<'static, Result<(), Error>>>,
    ) -> Result<(), Error> {
        let gone: Vec<String> = serving.keys().filter(|at| !dialled.contains_key(*at)).cloned().collect();
        for at in gone {
            tracing::info!(at, "a step consumer is gone");
            serving.remove(&at).inspect(|(_, stop)| stop.cancel());
        }
        for ((at, dial), slots) in dialled.iter().zip(shares(self.slots, dialled.len())) {
            if let Some((worker, _)) = serving.get(at) {
                if let Some(handle) = self.view.handles().get(&(at.clone(), *worker)) {
                    handle.set_slots(slots);
                }
                continue;
            }
            let channel = channel(dial).map_err(|source| Error::Address { at: at.clone(), source })?;
            let key = (at.clone(), self.ids.worker());
            let mut config = Config { worker: key.1, slots, ..self.config.clone() };
            if let Dial::Pipe(_) = dial {
                config.drain_grace = Duration::ZERO;
            }
            let worker = ToolWorker::new(config, self.tools.clone(), channel, Arc::clone(&self.clock))?;
            let (view, stop) = (self.view.clone(), CancellationToken::new());
            serving.insert(at.clone(), (key.1, stop.clone()));
            view.handles().insert(key.clone(), worker.handle());
            running.push(Box::pin(async move {
                let ended = worker.run(stop).await;
                view.handles().remove(&key);
                ended.map_err(|source| Error::Worker { at: key.0, source })
            }));
        }
        Ok(())
    }

    /// Who is there. `None` when a name could not be looked up: then all stays as it is.
    fn look_up(&self, after: Duration) -> impl Future<Output = Option<Dialled>> + Send + 'static {
        let (told, pipe, slots) = (self.told.clone(), self.pipe.clone(), self.slots as usize);
        let tls = self.tls.clone();
        async move {
            tokio::time::sleep(after).await;
            let mut dialled: Dialled = pipe.into_iter().map(|pipe| (HERE.to_owned(), Dial::Pipe(pipe))).collect();
            for told in told {
                match told {
                    StepConsumers::At(endpoint) => drop(dialled.insert(endpoint.to_string(), Dial::At(endpoint))),
                    StepConsumers::Tls { host, port } => {
                        let config = tls.clone().expect("the settings were refused without it");
                        let address = match host.contains(':') {
                            true => format!("[{host}]:{port}"),
                            false => format!("{host}:{port}"),
                        };
                        drop(dialled.insert(format!("https://{address}"), Dial::Tls { config, host, address }));
                    }
                    StepConsumers::Named { host, port } => {
                        let found = tokio::net::lookup_host((host.as_str(), port)).await;
                        let found = found.inspect_err(|error| tracing::warn!(host, %error, "cannot look up a name"));
                        dialled.extend(found.ok()?.map(|address| named(tls.as_ref(), &host, address)));
                    }
                }
            }
            // One slot each at least; more step consumers than slots are left to other workers.
            Some(dialled.into_iter().take(slots).collect())
        }
    }
}

impl WorkersView {
    fn handles(&self) -> MutexGuard<'_, Handles> {
        self.handles.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether any is welcome somewhere.
    pub(crate) fn is_connected(&self) -> bool {
        self.handles().values().any(|handle| handle.status().session.is_some())
    }

    /// Why it is welcome and of no use: no step consumer lists any of its tools for its pool.
    pub(crate) fn serves_nothing(&self) -> Option<String> {
        let handles = self.handles();
        let welcome: Vec<_> = handles.values().map(Handle::status).filter(|s| s.session.is_some()).collect();
        let first = welcome.first()?.refused.first()?;
        welcome.iter().all(|s| s.refused.len() >= self.tools).then(|| {
            let all = "AIDT_WORKER_POOL has to be the same for gateway, step consumers and tool workers";
            format!("tool-worker: every tool is refused ({first}): {all}")
        })
    }

    /// Where it is not, and why.
    pub(crate) fn troubles(&self) -> Vec<String> {
        let handles = self.handles();
        let troubles = handles.iter().filter_map(|((at, _), handle)| Some((at, handle.status().trouble?)));
        // A step consumer that does not believe a certificate ends the connection, and that is all that is seen here.
        let hint = |at: &str, trouble: &str| {
            let over_tls = at.starts_with("https://") && !trouble.contains("AIDT_WORKER_TLS_");
            if over_tls { " (does it believe AIDT_WORKER_TLS_CERT_FILE? its log says)" } else { "" }
        };
        troubles.map(|(at, trouble)| format!("tool-worker at {at}: {trouble}{}", hint(at, &trouble))).collect()
    }
}

/// `slots` in `parts` parts as equal as can be, the larger ones first.
fn shares(slots: u32, parts: usize) -> impl Iterator<Item = u32> {
    let parts = u32::try_from(parts).unwrap_or(u32::MAX).max(1);
    (0..parts).map(move |n| (slots / parts + u32::from(n < slots % parts)).max(1))
}

/// One address of a name. Whoever is there has to be who the name says.
fn named(tls: Option<&Arc<ClientConfig>>, host: &str, address: SocketAddr) -> (String, Dial) {
    let address = address.to_string();
    match tls {
        Some(config) => {
            let config = Arc::clone(config);
            (format!("https://{address}"), Dial::Tls { config, host: host.to_owned(), address })
        }
        None => {
            let endpoint = Endpoint::Tcp(address);
            (endpoint.to_string(), Dial::At(endpoint))
        }
    }
}

fn channel(dial: &Dial) -> Result<Channel, tonic::transport::Error> {
    let http = |authority: &str| {
        let endpoint = tonic::transport::Endpoint::from_shared(format!("http://{authority}"))?;
        Ok(endpoint.connect_timeout(CONNECT_WITHIN).tcp_nodelay(true))
    };
    Ok(match dial {
        Dial::At(Endpoint::Tcp(authority)) => http(authority)?.connect_lazy(),
        Dial::At(Endpoint::Unix(path)) => {
            let path = path.clone();
            http("localhost")?.connect_with_connector_lazy(tower::service_fn(move |_: Uri| {
                let path = path.clone();
                async move { Ok::<_, std::io::Error>(TokioIo::new(tokio::net::UnixStream::connect(path).await?)) }
            }))
        }
        Dial::Tls { config, host, address } => {
            let (config, host, address) = (Arc::clone(config), host.clone(), address.clone());
            http("hub.invalid")?.connect_with_connector_lazy(tower::service_fn(move |_: Uri| {
                let (config, host, address) = (Arc::clone(&config), host.clone(), address.clone());
                async move { Ok::<_, std::io::Error>(TokioIo::new(tls::connect(config, &host, &address).await?)) }
            }))
        }
        Dial::Pipe(dial) => {
            let dial = dial.clone();
            http("hub.invalid")?.connect_with_connector_lazy(tower::service_fn(move |_: Uri| {
                let dial = dial.clone();
                async move {
                    let (near, far) = tokio::io::duplex(PIPE);
                    let closed = |_| std::io::Error::new(std::io::ErrorKind::ConnectionRefused, "the hub has ended");
                    dial.send(far).await.map_err(closed)?;
                    Ok::<_, std::io::Error>(TokioIo::new(near))
                }
            }))
        }
    })
}

/// The built-in tools. Local repositories may be cloned from under `roots`.
fn tools(settings: &Settings, roots: Vec<PathBuf>, shared: Option<Arc<ObjectArtifacts>>) -> Vec<Arc<dyn Tool>> {
    let mut config = WorkspaceConfig::new(settings.worker.workspaces.clone());
    config.allowed_roots = roots;
    config.base = Some(settings.cwd.clone());
    config.git_env = vec![("PATH".to_owned(), settings.path.clone())];
    let workspaces = match shared {
        Some(files) => Workspaces::new(config).shared(files),
        None => Workspaces::new(config),
    };
    let tools = aidt_tools::builtin(&Arc::new(workspaces));
    tools.into_iter().map(|tool| aidt_tools::in_pool(tool, &settings.worker.pool)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_shared_out() {
        assert_eq!(shares(64, 1).collect::<Vec<_>>(), [64]);
        assert_eq!(shares(64, 3).collect::<Vec<_>>(), [22, 21, 21]);
        assert_eq!(shares(2, 2).collect::<Vec<_>>(), [1, 1]);
        assert_eq!(shares(1, 0).collect::<Vec<_>>(), [1]);
    }
}
