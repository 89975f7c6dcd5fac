//! What the commands need of this binary.

use crate::bed;
use crate::home::{Home, HomeLock};
use crate::settings::{self, Settings};
use crate::stack::{self, Plan, Stack};
use crate::workers::Workers;
use aidt_bench::Bed;
use aidt_cli::{BenchOn, Embed, Host, HostError, Serve, Service, Serving};
use aidt_client::Endpoint;
use aidt_domain::{ErrorCode, ProcessId, RunId, ToolEntry};
use aidt_runtime::{Ids, SystemClock};
use async_trait::async_trait;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex as StdMutex, PoisonError};
use std::time::Duration;
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;

/// How long an embedder that is starting or ending is waited for.
const HANDOVER: Duration = Duration::from_secs(45);

/// The host of this binary.
pub(crate) struct BinaryHost {
    embedded: Mutex<Option<Embedded>>,
    /// Workers that this process started for another one, which holds the home.
    lent: Mutex<Option<Workers>>,
    first: StdMutex<Option<ProcessId>>,
    notice: StdMutex<Option<String>>,
    ids: Ids,
}

/// What this process embeds.
struct Embedded {
    stack: Stack,
    workers: Workers,
    endpoint: Endpoint,
    _lock: HomeLock,
}

impl BinaryHost {
    /// The first stack that it starts is known as `process`.
    pub(crate) fn new(process: ProcessId) -> Self {
        let ids = Ids::system(Arc::new(SystemClock::new()));
        let (embedded, lent) = (Mutex::new(None), Mutex::new(None));
        Self { embedded, lent, first: StdMutex::new(Some(process)), notice: StdMutex::new(None), ids }
    }

    /// Of the next stack: a life that ended does not come back.
    fn process(&self) -> ProcessId {
        let first = self.first.lock().unwrap_or_else(PoisonError::into_inner).take();
        first.unwrap_or_else(|| self.ids.process())
    }

    async fn embed(
        &self,
        settings: &Settings,
        home: &Home,
        lock: HomeLock,
        embed: &Embed,
    ) -> Result<Embedded, HostError> {
        let plan = Plan {
            process: self.process(),
            settings,
            services: Service::ALL.to_vec(),
            home,
            embedded: true,
            listen: None,
            tools: embed.tools.as_deref(),
            policy: None,
            roots: roots(settings),
            drain: Duration::from_secs(2),
        };
        let mut stack = Stack::start(plan).await?;
        let socket = home.socket()?;
        let workers = Workers::start(&embed.workers, &socket, &home.token_file())?;
        stack.ready().await?;
        self.note_resumed(stack.resumed);
        Ok(Embedded { stack, workers, endpoint: Endpoint::Unix(socket), _lock: lock })
    }

    /// Lends workers to the process that holds the home. Its catalogue is as it was started with.
    async fn join(&self, embed: &Embed, home: &Home, socket: &Path) -> Result<(), HostError> {
        let mut lent = self.lent.lock().await;
        if lent.is_none() {
            *lent = Some(Workers::start(&embed.workers, socket, &home.token_file())?);
            if let Some(tools) = &embed.tools {
                self.note(format!(
                    "another aidt process holds {}: the tools of {} are known only if it was started with them",
                    home.dir().display(),
                    tools.display()
                ));
            }
        }
        Ok(())
    }

    fn note_resumed(&self, runs: usize) {
        if runs > 0 {
            let (runs, s) = if runs == 1 { ("1".to_owned(), "") } else { (runs.to_string(), "s") };
            self.note(format!("resumed {runs} run{s} that an earlier process left"));
        }
    }

    fn note(&self, notice: String) {
        *self.notice.lock().unwrap_or_else(PoisonError::into_inner) = Some(notice);
    }
}

/// Where local repositories may be cloned from: what the operator lists, and the checkout in which the
/// command was invoked.
fn roots(settings: &Settings) -> Vec<PathBuf> {
    let mut roots = settings.worker.roots.clone();
    let checkout = settings.cwd.ancestors().find(|dir| dir.join(".git").exists());
    roots.extend(checkout.map(Path::to_owned));
    roots
}

/// The home's lock, or the error that says who has it.
fn hold(home: &Home) -> Result<HomeLock, HostError> {
    home.try_lock()?.ok_or_else(|| {
        let message =
            format!("another aidt process holds {}: end it, or give this one its own AIDT_HOME", home.dir().display());
        HostError::new(ErrorCode::Unavailable, message)
    })
}

/// What a server of these services works with, for people.
fn shown(settings: &Settings, services: &[Service]) -> Vec<(&'static str, String)> {
    let mut shown = match services {
        [Service::ToolWorker] => Vec::new(),
        _ => settings.adapters.shown(),
    };
    if services.contains(&Service::ToolWorker) {
        let worker = &settings.worker;
        shown.push(("pool", format!("{}, {} slots", worker.pool, worker.slots)));
        shown.extend(worker.step_consumers.iter().map(|at| ("dials", at.to_string())));
    }
    shown
}

/// Whether somebody answers on a socket.
async fn answers(socket: &Path) -> bool {
    tokio::net::UnixStream::connect(socket).await.is_ok()
}

#[async_trait]
impl Host for BinaryHost {
    async fn endpoint(&self, embed: &Embed) -> Result<Endpoint, HostError> {
        if let Some(server) = &embed.server {
            return Ok(server.clone());
        }
        let mut embedded = self.embedded.lock().await;
        if let Some(embedded) = &*embedded {
            return Ok(embedded.endpoint.clone());
        }
        let settings = Settings::embedded()?;
        let home = Home::at(&settings.home)?;
        let socket = home.socket()?;
        let deadline = tokio::time::Instant::now() + HANDOVER;
        loop {
            if let Some(lock) = home.try_lock()? {
                // Those that were lent to somebody who is gone dial where nobody listens.
                self.lent.lock().await.take();
                let started = self.embed(&settings, &home, lock, embed).await?;
                let endpoint = started.endpoint.clone();
                *embedded = Some(started);
                return Ok(endpoint);
            }
            if answers(&socket).await {
                self.join(embed, &home, &socket).await?;
                return Ok(Endpoint::Unix(socket));
            }
            // Whoever holds the home is starting or ending.
            if tokio::time::Instant::now() > deadline {
                let message = format!(
                    "another process holds {} but does not answer on {}; end it, or wait",
                    home.dir().display(),
                    socket.display()
                );
                return Err(HostError::new(ErrorCode::Unavailable, message));
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    fn embedded_notice(&self) -> Option<String> {
        self.notice.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    async fn close(&self) {
        if let Some(embedded) = self.embedded.lock().await.take() {
            if let Err(error) = embedded.stack.stop().await {
                tracing::warn!(%error, "the embedded services did not end well");
            }
            embedded.workers.stop().await;
        }
        if let Some(lent) = self.lent.lock().await.take() {
            lent.stop().await;
        }
    }

    async fn serve(
        &self,
        options: &Serve,
        stop: CancellationToken,
        ready: &(dyn for<'a> Fn(&'a Serving) + Send + Sync),
    ) -> Result<(), HostError> {
        let (settings, services) = Settings::serve(options)?;
        let home = Home::at(&settings.home)?;
        // State in a file is for whoever holds the home; state on a server is for all.
        let embedded = services.len() == Service::ALL.len() && !settings.adapters.is_shared();
        let lock = if embedded { Some(hold(&home)?) } else { None };
        let plan = Plan {
            process: self.process(),
            settings: &settings,
            services: services.clone(),
            home: &home,
            embedded,
            listen: Some(settings.listen),
            tools: options.tools.as_deref(),
            policy: options.policy.as_deref(),
            roots: settings.worker.roots.clone(),
            drain: settings.drain,
        };
        let started = async {
            let mut stack = Stack::start(plan).await?;
            // A part of a stack waits for the others, and says so on `/ready`.
            if services.len() == Service::ALL.len() {
                stack.ready().await?;
            }
            Ok::<_, HostError>(stack)
        };
        let mut stack = tokio::select! {
            biased;
            () = stop.cancelled() => return Ok(()),
            started = started => started?,
        };
        self.note_resumed(stack.resumed);
        let address = stack.address.unwrap_or(settings.listen);
        let with = shown(&settings, &services);
        ready(&Serving { services, endpoint: Endpoint::Tcp(address.to_string()), with });
        let failed = tokio::select! {
            biased;
            () = stop.cancelled() => None,
            why = stack.failed() => Some(why),
        };
        match failed {
            None => stack.stop().await?,
            Some(why) => return Err(HostError::new(ErrorCode::Internal, why)),
        }
        drop(lock);
        Ok(())
    }

    fn catalogue(&self, tools: Option<&Path>) -> Result<Vec<ToolEntry>, HostError> {
        Ok(stack::catalogue(tools, &settings::worker_pool()?)?.iter().cloned().collect())
    }

    fn workspace(&self, run: RunId) -> Option<PathBuf> {
        let settings = Settings::embedded().ok()?;
        let path = settings.worker.workspaces.join(format!("{run}.git"));
        path.is_dir().then_some(path)
    }

    fn random_key(&self) -> String {
        self.ids.token()
    }

    fn traceparent(&self) -> Option<String> {
        settings::traceparent()
    }

    fn bed(&self, on: &BenchOn) -> Result<Box<dyn Bed>, HostError> {
        bed::bed(on, &self.ids)
    }
}
