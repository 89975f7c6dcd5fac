//! The worker: connects, serves a session, connects again; on shutdown drains.

use crate::backoff::Backoff;
use crate::calls::Calls;
use crate::config::{Config, ConfigError, Error, Handle, Status as WorkerStatus};
use crate::ledger::Owed;
use crate::outbox::Outbox;
use crate::session::{End, Session};
use crate::stop::Stop;
use aidt_domain::Clock;
use aidt_proto::v1::hub_frame::Frame as FromHub;
use aidt_proto::v1::worker_frame::Frame as ToHub;
use aidt_proto::v1::worker_hub_client::WorkerHubClient;
use aidt_proto::v1::{self, Hello, HubFrame, Welcome};
use aidt_tools::Tool;
use std::sync::Arc;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::transport::Channel;
use tonic::{Code, Status, Streaming};

const PROTOCOL: u32 = 1;

/// A worker with its tools. See the crate's documentation.
pub struct ToolWorker {
    config: Config,
    channel: Channel,
    calls: Calls,
    status: watch::Sender<WorkerStatus>,
    slots: Arc<watch::Sender<u32>>,
}

struct Welcomed {
    outbox: Outbox,
    from_hub: Streaming<HubFrame>,
    welcome: Welcome,
    later: Vec<v1::Result>,
}

impl ToolWorker {
    /// A worker that will dial `channel`: any transport, lazily connected or not.
    pub fn new(
        config: Config,
        tools: Vec<Arc<dyn Tool>>,
        channel: Channel,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, ConfigError> {
        if config.slots == 0 {
            return Err(ConfigError::NoSlots);
        }
        let calls = Calls::new(&config, tools, clock)?;
        let (status, _) = watch::channel(WorkerStatus::default());
        let slots = Arc::new(watch::Sender::new(config.slots));
        Ok(Self { config, channel, calls, status, slots })
    }

    /// A view of it, for others.
    #[must_use]
    pub fn handle(&self) -> Handle {
        Handle { status: self.status.subscribe(), slots: Arc::clone(&self.slots) }
    }

    /// Serves until `shutdown`, then drains: no more calls are asked for, those that run end (at most
    /// `drain_grace`, then they are cancelled), and their results are delivered. Dropping the future stops
    /// at once: calls are dropped where they stand.
    ///
    /// What nobody took by the end of the grace is given up, and that is no error: the worker was told to stop,
    /// and its owner learns by the step consumer's own end what it has to learn.
    pub async fn run(mut self, shutdown: CancellationToken) -> Result<(), Error> {
        let Config { worker, backoff, max_backoff, .. } = &self.config;
        let mut backoff = Backoff::new(*worker, *backoff, *max_backoff);
        let stop = Stop::new(shutdown, self.config.drain_grace);
        loop {
            match self.session(&stop, &mut backoff).await {
                End::Drained => return Ok(()),
                End::Renewed => continue,
                End::Lost(status) if is_final(&status) => return Err(Error::Refused(Box::new(status))),
                End::Lost(status) => self.lost(&status),
            }
            let pause = sleep(backoff.next());
            if !stop.is_told() {
                tokio::select! {
                    biased;
                    // It looks once more at once if it owes something: the last wait may have been a long one.
                    () = stop.told() => backoff.reset(),
                    () = meanwhile(&mut self.calls, pause) => {}
                }
            } else if !self.calls.ledger.is_settled() {
                tokio::select! {
                    biased;
                    () = stop.over() => {}
                    () = meanwhile(&mut self.calls, pause) => {}
                }
            }
            if stop.is_told() && (self.calls.ledger.is_settled() || Instant::now() >= stop.end()) {
                let owed = self.calls.ledger.unsettled();
                if owed > 0 {
                    tracing::warn!(owed, "calls and results are given up: no step consumer took them in time");
                }
                return Ok(());
            }
        }
    }

    async fn session(&mut self, stop: &Stop, backoff: &mut Backoff) -> End {
        let mut slots = self.slots.subscribe();
        self.calls.slots = *slots.borrow_and_update() as usize;
        let owes = !self.calls.ledger.is_settled();
        let too_late = async { if owes { stop.over().await } else { stop.told().await } };
        let connected = tokio::select! {
            biased;
            connected = self.connect() => connected,
            () = too_late => Err(Status::deadline_exceeded("no step consumer was found in time")),
        };
        let Welcomed { outbox, from_hub, welcome, later } = match connected {
            Ok(welcomed) => welcomed,
            Err(status) => return End::Lost(status),
        };
        backoff.reset();
        let Welcome { session, refused, .. } = &welcome;
        tracing::info!(session, pool = %self.config.pool, "the worker is welcome");
        for tool in refused {
            tracing::warn!(tool, "a tool will not be called");
        }
        self.status.send_replace(WorkerStatus {
            session: Some(session.clone()),
            refused: refused.clone(),
            trouble: None,
        });
        match Session::new(&mut self.calls, outbox, from_hub, &welcome, later) {
            Ok(session) => session.run(stop, slots).await,
            Err(status) => End::Lost(status),
        }
    }

    /// Opens the stream and says hello. Calls of earlier sessions run on meanwhile.
    async fn connect(&mut self) -> Result<Welcomed, Status> {
        let token = self
            .config
            .token
            .read()
            .map_err(|e| Status::unavailable(format!("the worker's token cannot be read: {e}")))?;
        let Owed { running, unreported, later } = self.calls.ledger.owed(Instant::now());
        let (mut outbox, frames) = Outbox::new();
        outbox.push(ToHub::Hello(Hello {
            token,
            worker: self.config.worker.to_string(),
            name: self.config.name.clone(),
            pool: self.config.pool.to_string(),
            slots: u32::try_from(self.calls.slots).unwrap_or(u32::MAX),
            tools: self.calls.announced(),
            running,
            unreported,
            clock_ms: self.calls.now_ms(),
            protocol: PROTOCOL,
        }));
        let mut client = WorkerHubClient::new(self.channel.clone());
        let greeting = timeout(self.config.connect_timeout, async move {
            let mut from_hub = client.connect(ReceiverStream::new(frames)).await?.into_inner();
            let welcome = welcome(from_hub.message().await?)?;
            Ok((from_hub, welcome))
        });
        let late = |_| Status::deadline_exceeded("the step consumer did not answer in time");
        let (from_hub, welcome) =
            meanwhile(&mut self.calls, greeting).await.map_err(late).and_then(|greeted| greeted)?;
        Ok(Welcomed { outbox, from_hub, welcome, later })
    }

    fn lost(&self, status: &Status) {
        let trouble = format!("{}: {}", status.code().description(), told(status));
        self.status.send_if_modified(|known| {
            if known.session.is_none() && known.trouble.as_ref() == Some(&trouble) {
                return false;
            }
            tracing::warn!(trouble, "the worker is not connected");
            *known = WorkerStatus { trouble: Some(trouble.clone()), ..WorkerStatus::default() };
            true
        });
    }
}

/// What a status says, with its causes where it does not say them itself: of a certificate that is refused, the
/// cause is all there is.
fn told(status: &Status) -> String {
    let causes = std::iter::successors(std::error::Error::source(status), |cause| cause.source());
    causes.map(ToString::to_string).fold(status.message().to_owned(), |text, cause| {
        if text.contains(&cause) { text } else { format!("{text}: {cause}") }
    })
}

/// Waits for `other` while calls go on. Their results stay in the ledger; what they print is lost.
async fn meanwhile<T>(calls: &mut Calls, other: impl Future<Output = T>) -> T {
    tokio::pin!(other);
    loop {
        tokio::select! {
            biased;
            output = &mut other => return output,
            _ = calls.next(true) => {}
        }
    }
}

fn welcome(first: Option<HubFrame>) -> Result<Welcome, Status> {
    match first.and_then(|f| f.frame) {
        Some(FromHub::Welcome(welcome)) => Ok(welcome),
        Some(_) => Err(Status::internal("the step consumer's first frame is not a welcome")),
        None => Err(Status::unavailable("the step consumer ended the stream before it said welcome")),
    }
}

/// A hello that is not understood will not be understood next time. (A bad token may be exchanged.)
fn is_final(status: &Status) -> bool {
    matches!(status.code(), Code::InvalidArgument | Code::Unimplemented | Code::FailedPrecondition)
}
