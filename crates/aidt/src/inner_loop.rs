//! The inner loop of a process, on one thread: step consumer and hub, tool worker, or both. Together they
//! still speak gRPC, over a pipe in memory.

use crate::adapters::Opener;
use crate::error::shown;
use crate::kept::Kept;
use crate::listen::Listening;
use crate::step_consumer::StepConsumerParts;
use crate::tool_worker::{self, Workers};
use aidt_cli::HostError;
use aidt_step_consumer::{Handle, Hub, HubDriver, Life, StepConsumer};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::DuplexStream;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::transport::Server;

/// What ends when.
#[derive(Clone, Default)]
pub(crate) struct Stops {
    /// The step consumer drains, and so do workers of step consumers of other processes.
    pub(crate) steps: CancellationToken,
    /// Then its own workers and its hub end.
    pub(crate) workers: CancellationToken,
}

/// What the inner loop is made of. What does not run here is `None`.
pub(crate) struct InnerLoopParts {
    pub(crate) opener: Option<Opener>,
    pub(crate) steps: Option<(StepConsumerParts, Arc<Life>)>,
    pub(crate) hub: Option<(Hub, HubDriver)>,
    pub(crate) workers: Option<Workers>,
    /// The other end of what the workers dial in this process.
    pub(crate) dialled: Option<mpsc::Receiver<DuplexStream>>,
    /// Where workers of other processes dial in, unless the gateway listens for both.
    pub(crate) listening: Option<Listening>,
    pub(crate) stops: Stops,
}

/// An inner loop that runs.
pub(crate) struct InnerLoop {
    pub(crate) consumer: Option<Handle>,
    pub(crate) thread: Kept,
}

/// Why the inner loop ended though nobody asked it to.
#[derive(Debug, thiserror::Error)]
enum Error {
    #[error(transparent)]
    Steps(#[from] aidt_step_consumer::Error),
    #[error(transparent)]
    Workers(#[from] tool_worker::Error),
    #[error("the pipe between worker and hub broke")]
    Pipe(#[source] tonic::transport::Error),
    #[error("cannot listen on this thread")]
    Listen(#[source] std::io::Error),
}

impl InnerLoop {
    pub(crate) async fn start(parts: InnerLoopParts) -> Result<Self, HostError> {
        let name = if parts.steps.is_some() { "step-consumer" } else { "tool-worker" };
        let (consumer, thread) = Kept::start(name, move || async move {
            let consumer = match (parts.steps, &parts.opener, &parts.hub) {
                (Some((steps, life)), Some(opener), Some((hub, _))) => {
                    Some(steps.consumer(life, hub, opener.open().await?)?)
                }
                _ => None,
            };
            let handle = consumer.as_ref().map(StepConsumer::handle);
            let running = run(consumer, parts.hub, parts.workers, parts.dialled, parts.listening, parts.stops);
            Ok((handle, async move { running.await.map_err(|e| shown(&e)) }))
        })
        .await?;
        Ok(Self { consumer, thread })
    }
}

/// Runs it all until its stops are cancelled.
async fn run(
    consumer: Option<StepConsumer>,
    hub: Option<(Hub, HubDriver)>,
    workers: Option<Workers>,
    dialled: Option<mpsc::Receiver<DuplexStream>>,
    listening: Option<Listening>,
    stops: Stops,
) -> Result<(), Error> {
    let steps = async {
        let result = match consumer {
            Some(consumer) => consumer.run(stops.steps.clone()).await,
            None => {
                stops.steps.cancelled().await;
                Ok(())
            }
        };
        stops.workers.cancel();
        // What it was told to end with does not keep the others from ending in good order.
        if stops.steps.is_cancelled() { Ok(result) } else { result.map(Ok).map_err(Error::from) }
    };
    let workers = async {
        match workers {
            Some(workers) => Ok(workers.run(&stops).await?),
            None => Ok(()),
        }
    };
    let (hub, driver) = hub.unzip();
    let hub_ends = async {
        if let Some(driver) = driver {
            driver.run(stops.workers.clone()).await;
        }
        Ok(())
    };
    let pipe = async {
        match hub.zip(dialled) {
            Some((hub, dialled)) => serve_pipe(&hub, dialled, &stops.workers).await,
            None => Ok(()),
        }
    };
    let listener = async {
        match listening {
            Some(listening) => listening.serve(stops.workers.clone()).await.map_err(Error::Listen),
            None => Ok(()),
        }
    };
    let (result, ..) = futures::try_join!(steps, workers, hub_ends, pipe, listener)?;
    result.map_err(Error::from)
}

async fn serve_pipe(hub: &Hub, dialled: mpsc::Receiver<DuplexStream>, stop: &CancellationToken) -> Result<(), Error> {
    let incoming = futures::StreamExt::map(ReceiverStream::new(dialled), Ok::<_, std::io::Error>);
    let stopped = stop.clone();
    let served = Server::builder()
        .tcp_nodelay(true)
        .add_routes(hub.routes())
        .serve_with_incoming_shutdown(incoming, async move { stopped.cancelled().await });
    // The worker's end may go before the hub's: nothing is lost by then.
    let ended = tokio::select! {
        biased;
        served = served => served.map_err(Error::Pipe),
        () = after(stop, Duration::from_secs(1)) => Ok(()),
    };
    if stop.is_cancelled() { Ok(()) } else { ended }
}

async fn after(stop: &CancellationToken, grace: Duration) {
    stop.cancelled().await;
    tokio::time::sleep(grace).await;
}
