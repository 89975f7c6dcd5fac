//! From settings and adapters to services that run.

use crate::adapters::{Adapters, Opener};
use crate::artifacts::{self, Opened};
use crate::gateway::gateway;
use crate::health::{Health, Parts as HealthParts};
use crate::inner_loop::{InnerLoop, InnerLoopParts, Stops};
use crate::kept::Kept;
use crate::listen::{Listening, Socket};
use crate::owner::OwnerService;
use crate::presence;
use crate::stack::{Plan, Stack};
use crate::step_consumer::StepConsumerParts;
use crate::tls;
use crate::tool_worker::Workers;
use aidt_artifacts::Artifacts;
use aidt_cli::{HostError, Service};
use aidt_domain::{Clock, ProcessId};
use aidt_gateway::{Gateway, Limits};
use aidt_plan::Catalogue;
use aidt_policy::ActivePolicy;
use aidt_runtime::Ids;
use aidt_step_consumer::{Hub, HubDriver, Life};
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::DuplexStream;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// What is made before anything runs.
pub(crate) struct Assembly<'a> {
    pub(crate) plan: &'a Plan<'a>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) ids: Arc<Ids>,
    pub(crate) process: ProcessId,
    pub(crate) opener: Option<Opener>,
    /// Of the main thread.
    pub(crate) adapters: Option<Adapters>,
    pub(crate) catalogue: Arc<Catalogue>,
    pub(crate) policy: Arc<ActivePolicy>,
}

impl Assembly<'_> {
    pub(crate) async fn start(
        self,
        bound: Option<(TcpListener, SocketAddr)>,
        for_health: Option<(TcpListener, SocketAddr)>,
        resumed: usize,
    ) -> Result<Stack, HostError> {
        let (listener, address) = bound.unzip();
        let token = self.token()?;
        let steps = self.steps(&token)?;
        let (hub, driver) = steps.as_ref().map(StepConsumerParts::hub).unzip();
        let (pipe, dialled) = self.pipe(hub.is_some());
        let artifacts = match self.runs(Service::ToolWorker) || self.runs(Service::Gateway) {
            true => artifacts::open(&self.plan.settings.adapters).await?,
            false => None,
        };
        let workers = match self.runs(Service::ToolWorker) {
            true => Some(self.workers(token, pipe, artifacts.as_ref())?),
            false => None,
        };
        let view = workers.as_ref().map(Workers::view);
        let life = Life::new(self.process);
        // Others are to know this owner before it takes anything from them.
        let alone = self.beat_alone().await?;
        let owner = self.owner().await?;
        let health = Health::new(HealthParts {
            process: self.process,
            services: self.plan.services.clone(),
            adapters: self.adapters.clone(),
            owner: owner.as_ref().map(|o| o.view.clone()),
            hub: hub.clone(),
            workers: view,
            artifacts: artifacts.clone(),
            state: Mutex::default(),
        });
        let listeners_stop = CancellationToken::new();
        let gateway = self.gateway(artifacts, &health, &listeners_stop)?;
        let mut listeners = JoinSet::new();
        let socket = self.listen_on_socket(gateway.as_ref(), hub.as_ref(), &listeners_stop, &mut listeners)?;
        let tls = self.plan.settings.worker.tls.as_ref().filter(|_| hub.is_some() && gateway.is_none());
        let tls = tls.map(tls::server).transpose()?;
        let mut listening =
            listener.map(|listener| Listening { listener, router: router(&health, &gateway, &hub), tls });
        let how = for_health.map(|(listener, _)| Listening { listener, router: health.router(), tls: None });
        // The thread that talks to workers serves them, unless people are served there, too.
        let for_workers = if gateway.is_none() && hub.is_some() { listening.take() } else { None };
        for listening in listening.into_iter().chain(how) {
            let stop = listeners_stop.clone();
            listeners.spawn(async move {
                if let Err(error) = listening.serve(stop).await {
                    tracing::error!(%error, "the listener ended");
                }
            });
        }
        listeners.spawn(asking(health.clone(), listeners_stop.clone()));
        let stops = Stops::default();
        let hub = hub.zip(driver);
        let inner = self.inner_loop(steps, &life, hub, workers, dialled, for_workers, stops.clone()).await?;
        let heart = match (alone, &inner) {
            (Some(heart), _) => Some(heart),
            (None, Some(InnerLoop { consumer: Some(handle), .. })) => {
                let opener = self.opener.clone().expect("a step consumer has adapters");
                Some(presence::with_step_consumer(opener, life, handle.clone()).await?)
            }
            (None, _) => None,
        };
        Ok(Stack {
            sqlite: self.opener.and_then(|o| o.sqlite),
            address,
            resumed,
            process: self.process,
            adapters: self.adapters,
            owner,
            inner,
            heart,
            stops,
            listeners,
            listeners_stop,
            socket,
            health,
            drain: self.plan.drain,
        })
    }

    fn runs(&self, service: Service) -> bool {
        self.plan.services.contains(&service)
    }

    /// What this process runs, for its row.
    fn service(&self) -> String {
        let names: Vec<&str> = self.plan.services.iter().map(|s| s.name()).collect();
        names.join(",")
    }

    /// What admits workers: embedded, the home keeps one.
    fn token(&self) -> Result<String, HostError> {
        match &self.plan.settings.worker.token {
            Some(token) if !self.plan.embedded => Ok(token.expose().to_owned()),
            _ if self.plan.embedded => self.plan.home.worker_token(|| self.ids.token()),
            // Nobody dials in here, and this process dials nobody.
            _ => Ok(self.ids.token()),
        }
    }

    fn steps(&self, token: &str) -> Result<Option<StepConsumerParts>, HostError> {
        if !self.runs(Service::StepConsumer) {
            return Ok(None);
        }
        let route_key = match &self.plan.settings.route_key {
            Some(key) => key.expose().to_owned(),
            None => self.plan.home.route_secret(|| self.ids.token())?,
        };
        let given = self.plan.settings.worker.token.as_ref().map(|t| t.expose().to_owned());
        Ok(Some(StepConsumerParts {
            service: self.service(),
            environment: self.plan.settings.environment.clone(),
            tokens: given.into_iter().chain([token.to_owned()]).collect(),
            route_key,
            drain: (self.grace(), self.plan.drain.mul_f32(0.15)),
            catalogue: Arc::clone(&self.catalogue),
            policy: Arc::clone(&self.policy),
            clock: Arc::clone(&self.clock),
            ids: Arc::clone(&self.ids),
        }))
    }

    /// How long running calls are waited for: the rest of the drain is for what they report.
    fn grace(&self) -> Duration {
        self.plan.drain.mul_f32(0.7)
    }

    fn pipe(&self, hub: bool) -> (Option<mpsc::Sender<DuplexStream>>, Option<mpsc::Receiver<DuplexStream>>) {
        (hub && self.runs(Service::ToolWorker)).then(|| mpsc::channel(4)).unzip()
    }

    fn workers(
        &self,
        token: String,
        pipe: Option<mpsc::Sender<DuplexStream>>,
        artifacts: Option<&Opened>,
    ) -> Result<Workers, HostError> {
        let artifacts = artifacts.map(|opened| Arc::clone(&opened.artifacts));
        let with = (Arc::clone(&self.clock), Arc::clone(&self.ids));
        Workers::new(self.plan.settings, self.plan.roots.clone(), token, self.grace(), pipe, artifacts, with)
    }

    /// Registers this process and beats for it, unless its step consumer does or it has no store.
    async fn beat_alone(&self) -> Result<Option<Kept>, HostError> {
        let Some(opener) = self.opener.clone().filter(|_| !self.runs(Service::StepConsumer)) else {
            return Ok(None);
        };
        presence::without(opener, self.process, self.service(), self.policy.revision()).await.map(Some)
    }

    async fn owner(&self) -> Result<Option<OwnerService>, HostError> {
        let Some(opener) = self.opener.clone().filter(|_| self.runs(Service::CompletionConsumer)) else {
            return Ok(None);
        };
        let environment = self.plan.settings.environment.clone();
        let (clock, policy) = (Arc::clone(&self.clock), Arc::clone(&self.policy));
        OwnerService::start(opener, self.process, environment, clock, policy).await.map(Some)
    }

    fn gateway(
        &self,
        artifacts: Option<Opened>,
        health: &Health,
        stop: &CancellationToken,
    ) -> Result<Option<Gateway>, HostError> {
        let Some(adapters) = self.adapters.clone().filter(|_| self.runs(Service::Gateway)) else { return Ok(None) };
        let with = (Arc::clone(&self.clock), Arc::clone(&self.ids));
        let artifacts = artifacts.map(|opened| opened.artifacts as Arc<dyn Artifacts>);
        gateway(adapters, artifacts, Arc::clone(&self.catalogue), with, health.clone(), stop.clone()).map(Some)
    }

    /// The API and the hub, for other commands and workers of this home.
    fn listen_on_socket(
        &self,
        gateway: Option<&Gateway>,
        hub: Option<&Hub>,
        stop: &CancellationToken,
        listeners: &mut JoinSet<()>,
    ) -> Result<Option<Socket>, HostError> {
        let (Some(gateway), Some(hub), true) = (gateway, hub, self.plan.embedded) else { return Ok(None) };
        let (socket, listener) = Socket::bind(&self.plan.home.socket()?)?;
        let router = hub.routes().into_axum_router().reset_fallback().merge(gateway.socket_router());
        listeners.spawn(aidt_gateway::serve(listener, router, Limits::default(), stop.clone()));
        Ok(Some(socket))
    }

    #[expect(clippy::too_many_arguments, reason = "each is made by another part of the assembly")]
    async fn inner_loop(
        &self,
        steps: Option<StepConsumerParts>,
        life: &Arc<Life>,
        hub: Option<(Hub, HubDriver)>,
        workers: Option<Workers>,
        dialled: Option<mpsc::Receiver<DuplexStream>>,
        listening: Option<Listening>,
        stops: Stops,
    ) -> Result<Option<InnerLoop>, HostError> {
        if hub.is_none() && workers.is_none() {
            return Ok(None);
        }
        let steps = steps.map(|steps| (steps, Arc::clone(life)));
        let opener = self.opener.clone();
        InnerLoop::start(InnerLoopParts { opener, steps, hub, workers, dialled, listening, stops }).await.map(Some)
    }
}

/// Whatever this process serves, on one address (docs/decisions/0006).
fn router(health: &Health, gateway: &Option<Gateway>, hub: &Option<Hub>) -> axum::Router {
    let own = match gateway {
        Some(gateway) => gateway.router(),
        None => health.router(),
    };
    match hub {
        Some(hub) => hub.routes().into_axum_router().reset_fallback().merge(own),
        None => own,
    }
}

async fn asking(health: Health, stop: CancellationToken) {
    tokio::select! {
        biased;
        () = stop.cancelled() => {}
        () = health.keep_asking() => {}
    }
}
