//! A hub whose every word is the test's.

use crate::tools;
use aidt_domain::{Clock, Digest, Pool, Timestamp, ToolEntry, WorkerId};
use aidt_grants::{GrantClaims, SessionKey, mint};
use aidt_proto::v1::hub_frame::Frame as FromHub;
use aidt_proto::v1::result::Outcome;
use aidt_proto::v1::worker_frame::Frame as ToHub;
use aidt_proto::v1::worker_hub_server::{WorkerHub, WorkerHubServer};
use aidt_proto::v1::{
    Call, CallId, Cancel, Failed, Grant, Hello, HubFrame, Ping, Result as CallResult, ResultAck, Welcome, WorkerFrame,
};
use aidt_tool_worker::{Config, Error, Handle, Token, ToolWorker};
use aidt_tools::Tool;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::DuplexStream;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_stream::StreamExt as _;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::transport::{Channel, Endpoint, Server};
use tonic::{Request, Response, Status, Streaming};

pub(crate) const KEY: [u8; 32] = [7; 32];
pub(crate) const NOW: i64 = 1_795_262_400_000;
pub(crate) const RUN: &str = "run_00000000000000000000000000000001";

#[derive(Debug)]
struct Noon;

impl Clock for Noon {
    fn now(&self) -> Timestamp {
        Timestamp(NOW)
    }
}

type Answer = Result<HubFrame, Status>;

/// One stream that a worker opened.
pub(crate) struct Stream {
    frames: Streaming<WorkerFrame>,
    answers: mpsc::Sender<Answer>,
}

struct Service(mpsc::Sender<Stream>);

#[tonic::async_trait]
impl WorkerHub for Service {
    type ConnectStream = ReceiverStream<Answer>;

    async fn connect(&self, request: Request<Streaming<WorkerFrame>>) -> Result<Response<Self::ConnectStream>, Status> {
        let (answers, stream) = mpsc::channel(64);
        let opened = Stream { frames: request.into_inner(), answers };
        self.0.send(opened).await.map_err(|_| Status::unavailable("the test is over"))?;
        Ok(Response::new(ReceiverStream::new(stream)))
    }
}

/// A running worker, and the streams that it opens.
pub(crate) struct Hub {
    streams: mpsc::Receiver<Stream>,
    pub(crate) handle: Handle,
    pub(crate) shutdown: CancellationToken,
    pub(crate) worker: JoinHandle<Result<(), Error>>,
    entries: Vec<ToolEntry>,
}

fn channel(service: Service) -> Channel {
    let (connections, accepted) = mpsc::channel::<DuplexStream>(4);
    let incoming = ReceiverStream::new(accepted).map(Ok::<_, std::io::Error>);
    let server = Server::builder().add_service(WorkerHubServer::new(service));
    tokio::spawn(server.serve_with_incoming(incoming));
    let connector = tower::service_fn(move |_| {
        let connections = connections.clone();
        async move {
            let (client, server) = tokio::io::duplex(64 * 1024);
            connections.send(server).await.map_err(std::io::Error::other)?;
            Ok::<_, std::io::Error>(TokioIo::new(client))
        }
    });
    Endpoint::from_static("http://hub").connect_with_connector_lazy(connector)
}

impl Hub {
    pub(crate) fn start() -> Self {
        Self::start_with(|_| {})
    }

    pub(crate) fn start_with(change: impl FnOnce(&mut Config)) -> Self {
        let (opened, streams) = mpsc::channel(4);
        let worker: WorkerId = "wrk_00000000000000000000000000000002".parse().unwrap();
        let pool = Pool::new("default").unwrap();
        let token = Token::Fixed("open sesame".to_owned());
        let mut config = Config::new(worker, "test@here".to_owned(), pool, 3, token);
        change(&mut config);
        let tools: Vec<Arc<dyn Tool>> = tools::all();
        let entries = tools.iter().map(|t| t.entry()).collect();
        let worker = ToolWorker::new(config, tools, channel(Service(opened)), Arc::new(Noon)).unwrap();
        let (handle, shutdown) = (worker.handle(), CancellationToken::new());
        let worker = tokio::spawn(worker.run(shutdown.clone()));
        Self { streams, handle, shutdown, worker, entries }
    }

    /// The next stream that the worker opens, and its hello.
    pub(crate) async fn opened(&mut self) -> (Stream, Hello) {
        let mut stream = self.streams.recv().await.unwrap();
        match stream.frame().await {
            ToHub::Hello(hello) => (stream, hello),
            other => panic!("the first frame is {other:?}"),
        }
    }

    /// Ends the next stream that the worker opens; false if it opens none any more.
    pub(crate) async fn refuse(&mut self) -> bool {
        let Some(mut stream) = self.streams.recv().await else { return false };
        stream.frame().await;
        stream.end(Status::unavailable("not here")).await;
        true
    }

    /// As [`Self::opened`], with the welcome that it wants.
    pub(crate) async fn welcomed(&mut self) -> (Stream, Hello) {
        let (stream, hello) = self.opened().await;
        let welcome = Welcome {
            session_key: KEY.to_vec().into(),
            session: "s1".to_owned(),
            ping_interval_ms: 1_000,
            refused: vec!["test.other: not in the catalogue".to_owned()],
        };
        stream.say(FromHub::Welcome(welcome)).await;
        (stream, hello)
    }

    /// A call with a good grant, of dispatch 1 of `step`.
    pub(crate) fn call(&self, tool: &str, step: &str, arguments: &Value) -> Call {
        let entry = self.entries.iter().find(|e| e.name == tool);
        let entry = entry.map_or_else(|| Digest::of(b"").to_string(), |e| e.digest().to_string());
        let call = Call {
            id: Some(CallId { run: RUN.to_owned(), step: step.to_owned(), dispatch: 1, index: 0 }),
            tool: tool.to_owned(),
            arguments: arguments.to_string().into(),
            grant: Some(Grant {
                entry_digest: entry,
                policy_revision: "r1".to_owned(),
                obligations: "{}".to_owned(),
                min_sandbox: "none".to_owned(),
                not_after_ms: NOW + 30_000,
                ..Grant::default()
            }),
            idempotency_key: "key".to_owned(),
            run_timeout_ms: 60_000,
            route: "route".into(),
            project: "default".to_owned(),
            attempt: 1,
            ..Call::default()
        };
        granted(call)
    }
}

impl Drop for Hub {
    fn drop(&mut self) {
        self.worker.abort();
    }
}

/// The call with the grant that it needs as it is now.
pub(crate) fn granted(mut call: Call) -> Call {
    let id = call.id.clone().unwrap();
    let mut grant = call.grant.take().unwrap();
    let claims = GrantClaims {
        run: &id.run,
        step: &id.step,
        dispatch: id.dispatch,
        index: id.index,
        tool: &call.tool,
        entry_digest: &grant.entry_digest,
        arguments: &call.arguments,
        policy_revision: &grant.policy_revision,
        obligations: &grant.obligations,
        min_sandbox: &grant.min_sandbox,
        not_after_ms: grant.not_after_ms,
    };
    grant.mac = mint(&SessionKey::new(KEY), &claims).unwrap().to_vec().into();
    call.grant = Some(grant);
    call
}

/// The same step, handed out again.
pub(crate) fn dispatched(mut call: Call, dispatch: u32) -> Call {
    call.id.as_mut().unwrap().dispatch = dispatch;
    granted(call)
}

impl Stream {
    pub(crate) async fn say(&self, frame: FromHub) {
        // A worker that hung up is what some tests are about.
        let _ = self.answers.send(Ok(HubFrame { frame: Some(frame) })).await;
    }

    /// Ends the stream with a status.
    pub(crate) async fn end(self, status: Status) {
        self.answers.send(Err(status)).await.unwrap();
    }

    pub(crate) async fn call(&self, call: &Call) {
        self.say(FromHub::Call(call.clone())).await;
    }

    pub(crate) async fn cancel(&self, call: &Call) {
        let cancel = Cancel { id: call.id.clone(), reason: "test".to_owned() };
        self.say(FromHub::Cancel(cancel)).await;
    }

    pub(crate) async fn ack(&self, result: &CallResult) {
        self.say(FromHub::ResultAck(ResultAck { id: result.id.clone() })).await;
    }

    /// Waits until the worker has read all that was said so far.
    pub(crate) async fn settled(&mut self) {
        self.say(FromHub::Ping(Ping { clock_ms: 0 })).await;
        match self.frame().await {
            ToHub::Pong(pong) => assert_eq!(pong.clock_ms, NOW),
            other => panic!("instead of a pong: {other:?}"),
        }
    }

    /// The next frame, in time.
    pub(crate) async fn frame(&mut self) -> ToHub {
        let frame = tokio::time::timeout(Duration::from_secs(60), self.frames.message()).await;
        frame.expect("the worker says something").unwrap().expect("the stream goes on").frame.unwrap()
    }

    /// Whether the worker ends the stream now.
    pub(crate) async fn ended(&mut self) -> bool {
        self.frames.message().await.is_ok_and(|frame| frame.is_none())
    }

    /// The next frame that is neither progress nor pong.
    pub(crate) async fn result(&mut self) -> CallResult {
        loop {
            match self.frame().await {
                ToHub::Result(result) => return result,
                ToHub::Progress(_) | ToHub::Pong(_) => {}
                other => panic!("instead of a result: {other:?}"),
            }
        }
    }

    /// The output of the next result.
    pub(crate) async fn output(&mut self) -> Value {
        match self.result().await.outcome.unwrap() {
            Outcome::Done(done) => serde_json::from_slice(&done.output).unwrap(),
            other => panic!("not done: {other:?}"),
        }
    }

    /// Why the next result is a failure.
    pub(crate) async fn failure(&mut self) -> Failed {
        match self.result().await.outcome.unwrap() {
            Outcome::Failed(failed) => failed,
            other => panic!("not failed: {other:?}"),
        }
    }
}
