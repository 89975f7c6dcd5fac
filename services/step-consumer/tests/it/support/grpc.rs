//! A hub behind a real gRPC connection in memory, and workers that dial in to it.

use super::rows::step;
use super::{LONG, PausedClock, pool};
use aidt_domain::{Effect, StepMessage, ToolEntry};
use aidt_grants::{RootKeys, SessionKey};
use aidt_proto::v1::hub_frame::Frame as ToWorker;
use aidt_proto::v1::worker_frame::Frame as FromWorker;
use aidt_proto::v1::worker_hub_client::WorkerHubClient;
use aidt_proto::v1::{self, CallId, HubFrame, WorkerFrame};
use aidt_step_consumer::{Admission, CallNo, Hub, HubConfig, Report, ToolCall, Workers};
use hyper_util::rt::TokioIo;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use tokio::io::DuplexStream;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};
use tokio_stream::StreamExt;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::transport::{Channel, Endpoint, Server};
use tonic::{Status, Streaming};
use tower::service_fn;

pub(crate) const TOKEN: &str = "let me in";
pub(crate) const KEY: [u8; 32] = [7; 32];

pub(crate) fn echo() -> ToolEntry {
    ToolEntry {
        name: "debug.echo".to_owned(),
        pool: pool(),
        capability: "debug".to_owned(),
        effect: Effect::Read,
        description: String::new(),
        input_schema: serde_json::json!(true),
        output_schema: serde_json::json!(true),
        reads: aidt_domain::ToolReads::None,
        writes: aidt_domain::ToolReads::None,
        min_sandbox: "none".to_owned(),
    }
}

/// A step whose tool is in the catalogue.
pub(crate) fn echo_step(ix: u32) -> StepMessage {
    StepMessage { entry: echo().digest(), ..step(ix) }
}

pub(crate) fn config() -> HubConfig {
    let nonce = AtomicU8::new(0);
    let nonce = Arc::new(move || [nonce.fetch_add(1, Ordering::Relaxed); 16]);
    HubConfig {
        admission: Admission::nobody().with(TOKEN).with_pools("only x", [aidt_domain::Pool::new("x").unwrap()]),
        catalogue: BTreeMap::from([("debug.echo".to_owned(), echo())]),
        ..HubConfig::new(RootKeys::new(KEY), nonce)
    }
}

/// A running hub.
pub(crate) struct Dial {
    pub(crate) hub: Hub,
    pub(crate) channel: Channel,
    pub(crate) stop: CancellationToken,
    _tasks: JoinSet<()>,
}

impl Dial {
    pub(crate) async fn new(config: HubConfig) -> Self {
        let (hub, driver) = Hub::new(config, Arc::new(PausedClock::now_on()));
        let stop = CancellationToken::new();
        let mut tasks = JoinSet::new();
        tasks.spawn(driver.run(stop.clone()));
        let (connections, accepted) = mpsc::channel::<Result<DuplexStream, std::io::Error>>(16);
        let routes = hub.routes();
        tasks.spawn(async move {
            let incoming = ReceiverStream::new(accepted);
            Server::builder().add_routes(routes).serve_with_incoming(incoming).await.unwrap();
        });
        let connector = service_fn(move |_| {
            let connections = connections.clone();
            async move {
                let (ours, theirs) = tokio::io::duplex(1 << 20);
                connections.send(Ok(theirs)).await.map_err(std::io::Error::other)?;
                Ok::<_, std::io::Error>(TokioIo::new(ours))
            }
        });
        let endpoint = Endpoint::from_static("http://hub");
        let channel = endpoint.connect_with_connector(connector).await.unwrap();
        Self { hub, channel, stop, _tasks: tasks }
    }

    /// Sends a first frame and answers what comes back first.
    pub(crate) async fn knock(&self, first: WorkerFrame) -> Result<Option<Peer>, Status> {
        let (send, frames) = mpsc::channel(1024);
        send.send(first).await.unwrap();
        let mut client = WorkerHubClient::new(self.channel.clone());
        let mut stream = client.connect(ReceiverStream::new(frames)).await?.into_inner();
        let Some(answer) = timeout(LONG, stream.message()).await.expect("an answer")? else { return Ok(None) };
        let Some(ToWorker::Welcome(welcome)) = answer.frame else { panic!("the first answer is a welcome") };
        let key: [u8; 32] = welcome.session_key[..].try_into().unwrap();
        Ok(Some(Peer { send, stream, key: SessionKey::new(key), welcome }))
    }

    pub(crate) async fn join(&self, hello: v1::Hello) -> Peer {
        let frame = WorkerFrame { frame: Some(FromWorker::Hello(hello)) };
        self.knock(frame).await.unwrap().expect("welcome")
    }

    pub(crate) fn line(&self) -> Line {
        let workers = self.hub.line();
        let (send, reports) = mpsc::channel(64);
        workers.attach(send);
        Line { workers, reports, next: 0 }
    }
}

impl PausedClock {
    pub(crate) fn now_on() -> Self {
        Self(Instant::now())
    }
}

pub(crate) fn hello(n: u128, slots: u32) -> v1::Hello {
    v1::Hello {
        token: TOKEN.to_owned(),
        worker: aidt_domain::WorkerId(uuid::Uuid::from_u128(n)).to_string(),
        name: format!("worker-{n}"),
        pool: "default".to_owned(),
        slots,
        tools: vec![v1::Tool { name: "debug.echo".to_owned(), entry_digest: String::new() }],
        clock_ms: 5_000_000,
        protocol: 1,
        ..v1::Hello::default()
    }
}

/// A worker's side of its stream.
pub(crate) struct Peer {
    pub(crate) send: mpsc::Sender<WorkerFrame>,
    pub(crate) stream: Streaming<HubFrame>,
    pub(crate) key: SessionKey,
    pub(crate) welcome: v1::Welcome,
}

impl Peer {
    pub(crate) async fn say(&self, frame: FromWorker) {
        self.send.send(WorkerFrame { frame: Some(frame) }).await.unwrap();
    }

    /// The next frame but pings, which are answered.
    pub(crate) async fn hear(&mut self) -> Option<ToWorker> {
        loop {
            match self.raw().await {
                Some(ToWorker::Ping(_)) => {
                    let pong = FromWorker::Pong(v1::Pong { clock_ms: 5_000_000 });
                    // The stream may end at this very moment.
                    let _ = self.send.send(WorkerFrame { frame: Some(pong) }).await;
                }
                frame => return frame,
            }
        }
    }

    pub(crate) async fn raw(&mut self) -> Option<ToWorker> {
        let frame: Option<HubFrame> = timeout(LONG, self.stream.next()).await.ok()?.map(Result::unwrap);
        frame.and_then(|frame| frame.frame)
    }

    pub(crate) async fn call(&mut self) -> v1::Call {
        match self.hear().await {
            Some(ToWorker::Call(call)) => call,
            other => panic!("{other:?} is no call"),
        }
    }

    pub(crate) async fn result(&self, result: v1::Result) {
        self.say(FromWorker::Result(result)).await;
    }
}

pub(crate) fn done(call: &v1::Call, output: &str) -> v1::Result {
    let done = v1::Done { output: output.to_owned().into(), ..v1::Done::default() };
    v1::Result {
        id: call.id.clone(),
        route: call.route.clone(),
        outcome: Some(v1::result::Outcome::Done(done)),
        started_ms: 5_000_000,
    }
}

pub(crate) fn id(call: &v1::Call) -> Option<CallId> {
    call.id.clone()
}

/// A step consumer's side.
pub(crate) struct Line {
    pub(crate) workers: Arc<dyn Workers>,
    pub(crate) reports: mpsc::Receiver<Report>,
    next: u64,
}

impl Line {
    pub(crate) fn start(&mut self, step: StepMessage) -> Result<CallNo, aidt_step_consumer::NoPlace> {
        self.next += 1;
        let no = CallNo(self.next);
        let obligations = Arc::from("{}");
        let traceparent = step.traceparent.clone();
        self.workers.start(ToolCall { no, step: Arc::new(step), index: 0, obligations, traceparent })?;
        Ok(no)
    }

    pub(crate) async fn report(&mut self) -> Report {
        timeout(LONG, self.reports.recv()).await.expect("a report").unwrap()
    }
}
