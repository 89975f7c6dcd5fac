//! The inner loop of a process: step consumer, the hub that workers dial, and the built-in worker, on one
//! thread. The worker dials over a pipe in memory; the hop is gRPC all the same.

use aidt_domain::{Clock, Pool};
use aidt_step_consumer::{Hub, HubDriver, StepConsumer};
use aidt_tool_worker::{Config as WorkerConfig, Token, ToolWorker};
use aidt_tools::{Tool, WorkspaceConfig, Workspaces};
use hyper_util::rt::TokioIo;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::DuplexStream;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::transport::{Channel, Endpoint, Server, Uri};

/// Bytes that the pipe holds.
const PIPE: usize = 256 * 1024;

/// The pool of the built-in tools.
pub(crate) fn default_pool() -> Pool {
    Pool::new("default").expect("a literal of the right form")
}

/// What ends when.
#[derive(Clone, Default)]
pub(crate) struct Stops {
    /// Step consumers drain.
    pub(crate) steps: CancellationToken,
    /// Then workers and hub end.
    pub(crate) workers: CancellationToken,
}

/// What the inner loop is made of.
pub(crate) struct InnerLoop {
    pub(crate) consumer: StepConsumer,
    pub(crate) hub: Hub,
    pub(crate) driver: HubDriver,
    pub(crate) worker: WorkerConfig,
    pub(crate) tools: Vec<Arc<dyn Tool>>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) stops: Stops,
}

/// Why the inner loop ended though nobody asked it to.
#[derive(Debug, thiserror::Error)]
pub(crate) enum InnerLoopError {
    #[error(transparent)]
    Steps(#[from] aidt_step_consumer::Error),
    #[error(transparent)]
    Worker(#[from] aidt_tool_worker::Error),
    #[error(transparent)]
    WorkerConfig(#[from] aidt_tool_worker::ConfigError),
    #[error("the pipe between worker and hub broke")]
    Pipe(#[source] tonic::transport::Error),
}

impl InnerLoop {
    /// Runs it all until its stops are cancelled.
    pub(crate) async fn run(self) -> Result<(), InnerLoopError> {
        let (dial, dialled) = mpsc::channel::<DuplexStream>(4);
        let worker = ToolWorker::new(self.worker, self.tools, pipe(dial), self.clock)?;
        let incoming = futures::StreamExt::map(ReceiverStream::new(dialled), Ok::<_, std::io::Error>);
        let stops = self.stops;
        let ended = stops.workers.clone();
        let served = Server::builder()
            .tcp_nodelay(true)
            .add_routes(self.hub.routes())
            .serve_with_incoming_shutdown(incoming, async move { ended.cancelled().await });
        let steps = async {
            let result = self.consumer.run(stops.steps.clone()).await;
            stops.workers.cancel();
            result.map_err(InnerLoopError::from)
        };
        let worker = async {
            let result = worker.run(stops.workers.clone()).await;
            result.map_err(InnerLoopError::from)
        };
        let hub = async {
            self.driver.run(stops.workers.clone()).await;
            Ok(())
        };
        let pipe = async {
            // The worker's end may go before the hub's: nothing is lost by then.
            let ended = tokio::select! {
                biased;
                served = served => served.map_err(InnerLoopError::Pipe),
                () = after(&stops.workers, Duration::from_secs(1)) => Ok(()),
            };
            if stops.workers.is_cancelled() { Ok(()) } else { ended }
        };
        futures::try_join!(steps, worker, hub, pipe).map(drop)
    }
}

async fn after(stop: &CancellationToken, grace: Duration) {
    stop.cancelled().await;
    tokio::time::sleep(grace).await;
}

/// A channel that dials by handing the other end of a new pipe to the server.
fn pipe(dial: mpsc::Sender<DuplexStream>) -> Channel {
    let connector = tower::service_fn(move |_: Uri| {
        let dial = dial.clone();
        async move {
            let (near, far) = tokio::io::duplex(PIPE);
            let closed = |_| std::io::Error::new(std::io::ErrorKind::ConnectionRefused, "the hub has ended");
            dial.send(far).await.map_err(closed)?;
            Ok::<_, std::io::Error>(TokioIo::new(near))
        }
    });
    Endpoint::from_static("http://hub.invalid").connect_with_connector_lazy(connector)
}

/// Settings of the built-in worker.
pub(crate) fn builtin_worker(
    worker: aidt_domain::WorkerId,
    slots: u32,
    token: String,
    drain: Duration,
) -> WorkerConfig {
    let mut config = WorkerConfig::new(worker, "built-in".to_owned(), default_pool(), slots, Token::Fixed(token));
    config.drain_grace = drain;
    config
}

/// The built-in tools, over workspaces under `root`.
pub(crate) fn builtin_tools(root: PathBuf, allowed: Vec<PathBuf>, base: PathBuf, path: String) -> Vec<Arc<dyn Tool>> {
    let mut config = WorkspaceConfig::new(root);
    config.allowed_roots = allowed;
    config.base = Some(base);
    config.git_env = vec![("PATH".to_owned(), path)];
    aidt_tools::builtin(&Arc::new(Workspaces::new(config)))
}
