//! The gRPC service, and the future that its sessions live in.

use super::HubConfig;
use super::line::Line;
use super::link::FRAMES_WAITING;
use super::route::Sealer;
use super::session::serve;
use super::state::{Post, State, WorkerInfo};
use crate::workers::Workers;
use aidt_domain::{Clock, Digest, Pool};
use aidt_proto::v1::worker_hub_server::{WorkerHub, WorkerHubServer};
use aidt_proto::v1::{HubFrame, WorkerFrame};
use futures::future::BoxFuture;
use futures::stream::{FuturesUnordered, StreamExt};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior, interval};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;
use tonic::{Request, Response, Status, Streaming};
use tonic_health::server::{HealthReporter, health_reporter};

/// A frame of a worker's may be this large: a hello with a few results, or one result at its limit.
const MAX_FRAME_BYTES: usize = 4 * 1024 * 1024;

/// Streams that were accepted and wait for the driver.
const ARRIVING: usize = 256;

/// How often lost workers are looked after.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// What hub, driver, sessions and lines share.
pub(super) struct Inner {
    pub(super) config: HubConfig,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) sealer: Sealer,
    /// Pool and digest of each tool in the catalogue.
    pub(super) tools: BTreeMap<String, (Pool, Digest)>,
    state: Mutex<State>,
    numbers: AtomicU64,
    arriving: mpsc::Sender<Arriving>,
}

/// A stream that was accepted.
struct Arriving {
    frames: Streaming<WorkerFrame>,
    out: mpsc::Sender<Result<HubFrame, Status>>,
}

impl Inner {
    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes who is there.
    pub(super) fn change(&self, change: impl FnOnce(&mut State)) {
        let mut state = self.state();
        change(&mut state);
        state.recount();
    }

    pub(super) fn next_session(&self) -> u64 {
        self.numbers.fetch_add(1, Ordering::Relaxed)
    }

    /// Hands on a report. False when its step consumer is gone.
    pub(super) async fn deliver(&self, post: Post) -> bool {
        let Post { line, to, report } = post;
        match to.send(report).await {
            Ok(()) => true,
            Err(mpsc::error::SendError(report)) => {
                self.state().undelivered(&Post { line, to, report });
                false
            }
        }
    }
}

impl std::fmt::Debug for Inner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Hub").field("config", &self.config).finish_non_exhaustive()
    }
}

/// Where workers dial in. Cheap to clone; its [`HubDriver`] must run.
#[derive(Clone, Debug)]
pub struct Hub {
    inner: Arc<Inner>,
    routes: Routes,
}

impl Hub {
    /// A hub and the future that its sessions live in. `clock` is this process's own, for pings.
    #[must_use]
    pub fn new(config: HubConfig, clock: Arc<dyn Clock>) -> (Self, HubDriver) {
        let (arriving, arrivals) = mpsc::channel(ARRIVING);
        let tools = config.catalogue.iter();
        let tools = tools.map(|(name, entry)| (name.clone(), (entry.pool.clone(), entry.digest()))).collect();
        let inner = Arc::new(Inner {
            sealer: Sealer::new(&config.route_keys),
            config,
            clock,
            tools,
            state: Mutex::default(),
            numbers: AtomicU64::new(1),
            arriving,
        });
        let (health, health_service) = health_reporter();
        let service =
            WorkerHubServer::new(Service { hub: Arc::clone(&inner) }).max_decoding_message_size(MAX_FRAME_BYTES);
        let routes = Routes::new(service).add_service(health_service);
        let hub = Self { inner: Arc::clone(&inner), routes };
        (hub, HubDriver { inner, arrivals, health })
    }

    /// The routes of the worker protocol and of the health service, to merge into a listener.
    #[must_use]
    pub fn routes(&self) -> Routes {
        self.routes.clone()
    }

    /// A view for one more step consumer: each gets a part of the slots.
    #[must_use]
    pub fn line(&self) -> Arc<dyn Workers> {
        let number = self.inner.next_session();
        self.inner.change(|state| drop(state.lines.insert(number, None)));
        Arc::new(Line::new(Arc::clone(&self.inner), number))
    }

    /// Who is connected, or waited for.
    #[must_use]
    pub fn workers(&self) -> Vec<WorkerInfo> {
        let state = self.inner.state();
        let info = |(id, worker): (&aidt_domain::WorkerId, &super::state::Worker)| WorkerInfo {
            id: *id,
            name: worker.name.to_string(),
            pool: worker.pool.clone(),
            slots: worker.slots,
            busy: worker.slots - worker.free(),
            tools: worker.tools.values().cloned().collect(),
            connected: worker.link.is_some(),
            draining: worker.draining,
        };
        state.workers.iter().map(info).collect()
    }
}

/// The one future that all sessions live in.
#[derive(Debug)]
pub struct HubDriver {
    inner: Arc<Inner>,
    arrivals: mpsc::Receiver<Arriving>,
    health: HealthReporter,
}

impl HubDriver {
    /// Serves workers until `shutdown` is cancelled; then every stream ends, and workers dial another step
    /// consumer. Shut it down after the step consumers.
    pub async fn run(mut self, shutdown: CancellationToken) {
        self.health.set_serving::<WorkerHubServer<Service>>().await;
        let mut futures: FuturesUnordered<BoxFuture<'static, ()>> = FuturesUnordered::new();
        let mut looks = interval(LOOK_EVERY);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                biased;
                () = shutdown.cancelled() => break,
                Some(arriving) = self.arrivals.recv() => self.begin(&futures, arriving),
                Some(()) = futures.next(), if !futures.is_empty() => {}
                _ = looks.tick() => {
                    for post in self.give_up() {
                        let hub = Arc::clone(&self.inner);
                        futures.push(Box::pin(async move {
                            hub.deliver(post).await;
                        }));
                    }
                }
            }
        }
        self.health.set_not_serving::<WorkerHubServer<Service>>().await;
    }

    fn begin(&self, futures: &FuturesUnordered<BoxFuture<'static, ()>>, arriving: Arriving) {
        let Arriving { frames, out } = arriving;
        if futures.len() >= self.inner.config.max_sessions {
            // The stream ends either way.
            let _ = out.try_send(Err(Status::resource_exhausted("too many workers are connected here")));
            return;
        }
        futures.push(Box::pin(serve(Arc::clone(&self.inner), frames, out)));
    }

    /// Workers that did not come back in time: their calls are lost.
    fn give_up(&self) -> Vec<Post> {
        let now = Instant::now();
        let grace = self.inner.config.reconnect_grace;
        let mut posts = Vec::new();
        let mut state = self.inner.state();
        let late = state.workers.iter().filter(|(_, w)| w.lost_at.is_some_and(|at| at + grace <= now));
        let late: Vec<_> = late.map(|(id, _)| *id).collect();
        for worker in &late {
            let calls = state.running_on(*worker);
            tracing::warn!(%worker, calls = calls.len(), "a worker did not come back; its calls are lost");
            posts.extend(state.lose(*worker, calls, true));
            state.workers.remove(worker);
        }
        if !late.is_empty() {
            state.recount();
        }
        posts
    }
}

/// The service of `proto/aidt/v1/worker.proto`.
#[derive(Debug)]
pub(super) struct Service {
    hub: Arc<Inner>,
}

#[tonic::async_trait]
impl WorkerHub for Service {
    type ConnectStream = ReceiverStream<Result<HubFrame, Status>>;

    async fn connect(&self, request: Request<Streaming<WorkerFrame>>) -> Result<Response<Self::ConnectStream>, Status> {
        let (out, frames) = mpsc::channel(FRAMES_WAITING);
        let arriving = Arriving { frames: request.into_inner(), out };
        self.hub
            .arriving
            .try_send(arriving)
            .map_err(|_| Status::unavailable("the step consumer is starting, stopping or overloaded"))?;
        Ok(Response::new(ReceiverStream::new(frames)))
    }
}
