//! A stream of a pool's steps.
//!
//! The broker counts messages, the port counts entries: what arrives beyond the stream's limit is held
//! here. When the caller asks for nothing for a while, because its slots are taken by long steps, what is
//! held goes back, for others to take; the next call opens the stream again.

use crate::error::Error;
use crate::intake::Intake;
use crate::names::Target;
use crate::queue::Core;
use aidt_queue::{Delivery, QueueError, Steps, Tag};
use async_trait::async_trait;
use futures::future::BoxFuture;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// A consumer with free slots asks again within a few ms.
const IDLE: Duration = Duration::from_millis(250);

const LOOK_EVERY: Duration = Duration::from_millis(100);

type Opening = BoxFuture<'static, Result<Intake<()>, Error>>;

enum Phase {
    Open(Box<Intake<()>>),
    /// Kept across calls: a caller that gives up on one must not begin from the start.
    Opening(Opening),
    /// It could not be opened again.
    Ended,
}

/// The stream, which the caller uses and [`IdleStreams`] looks at in between.
pub(crate) struct Stream {
    core: Arc<Core>,
    target: Target,
    prefetch: usize,
    phase: tokio::sync::Mutex<Phase>,
    used: Mutex<Instant>,
}

pub(crate) struct RabbitSteps {
    stream: Arc<Stream>,
}

impl RabbitSteps {
    pub(crate) async fn open(core: Arc<Core>, target: Target, prefetch: u32) -> Result<Self, Error> {
        let prefetch = usize::try_from(prefetch).unwrap_or(usize::MAX).max(1);
        let intake = core.open_steps(target.clone(), prefetch, Default::default()).await?;
        let (phase, used) = (Phase::Open(Box::new(intake)).into(), Instant::now().into());
        let stream = Arc::new(Stream { core, target, prefetch, phase, used });
        stream.core.idle_streams().add(&stream);
        Ok(Self { stream })
    }
}

impl Stream {
    async fn recv(&self, max: usize) -> Result<Vec<Delivery>, Error> {
        let mut phase = self.phase.lock().await;
        let _used = Using(&self.used);
        loop {
            let intake = self.opened(&mut phase).await?;
            let room = self.prefetch.saturating_sub(intake.out()).min(max.max(1));
            intake.gather(room)?;
            let taken = intake.hand_out(room);
            if !taken.is_empty() {
                return Ok(taken.into_iter().map(|((), delivery)| delivery).collect());
            }
            tokio::select! {
                biased;
                () = self.core.closed() => return Err(Error::Closed),
                arrived = intake.arrive() => arrived?,
            }
        }
    }

    async fn opened<'p>(&self, phase: &'p mut Phase) -> Result<&'p mut Intake<()>, Error> {
        if let Phase::Opening(opening) = phase {
            let opened = opening.await;
            *phase = Phase::Ended;
            *phase = Phase::Open(Box::new(opened?));
        }
        match phase {
            Phase::Open(intake) => Ok(intake),
            Phase::Opening(_) | Phase::Ended => Err(Error::Down),
        }
    }

    async fn ack(&self, tags: &[Tag]) -> Result<(), Error> {
        let mut phase = self.phase.lock().await;
        let _used = Using(&self.used);
        match &mut *phase {
            Phase::Open(intake) => intake.ack(tags.iter().copied()),
            // All that was handed out was acked, or it would not have been given back.
            Phase::Opening(_) | Phase::Ended => Ok(()),
        }
    }

    /// Gives back what is held, if nobody has asked for it in a while and nothing is in hand.
    fn give_back_if_idle(&self) {
        let idle = self.used.lock().unwrap_or_else(PoisonError::into_inner).elapsed() >= IDLE;
        let Some(mut phase) = idle.then(|| self.phase.try_lock().ok()).flatten() else { return };
        let Phase::Open(intake) = &mut *phase else { return };
        // An error is for the caller to see, and the next call meets it again.
        if intake.out() > 0 || intake.gather(1).is_err() || intake.held() == 0 {
            return;
        }
        tracing::debug!(target = ?self.target, "steps go back that no slot is free for");
        let (core, target) = (Arc::clone(&self.core), self.target.clone());
        let (prefetch, ledger) = (self.prefetch, intake.ledger().next());
        *phase = Phase::Opening(Box::pin(async move { core.open_steps(target, prefetch, ledger).await }));
    }
}

/// Notes when the stream was used last.
struct Using<'a>(&'a Mutex<Instant>);

impl Drop for Using<'_> {
    fn drop(&mut self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }
}

#[async_trait]
impl Steps for RabbitSteps {
    async fn recv(&mut self, max: usize) -> Result<Vec<Delivery>, QueueError> {
        self.stream.recv(max).await.map_err(|error| error.of("recv_steps"))
    }

    async fn ack(&mut self, tags: &[Tag]) -> Result<(), QueueError> {
        self.stream.ack(tags).await.map_err(|error| error.of("ack_steps"))
    }
}

/// The streams of this process, looked at ten times a second.
#[derive(Default)]
pub(crate) struct IdleStreams {
    streams: Mutex<Vec<Weak<Stream>>>,
}

impl IdleStreams {
    fn add(&self, stream: &Arc<Stream>) {
        self.streams.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::downgrade(stream));
    }

    /// Looks at them for as long as it runs.
    pub(crate) async fn look_after(&self) {
        loop {
            sleep(LOOK_EVERY).await;
            let live: Vec<Arc<Stream>> = {
                let mut streams = self.streams.lock().unwrap_or_else(PoisonError::into_inner);
                streams.retain(|stream| stream.strong_count() > 0);
                streams.iter().filter_map(Weak::upgrade).collect()
            };
            live.iter().for_each(|stream| stream.give_back_if_idle());
        }
    }
}
