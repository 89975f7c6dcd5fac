//! The loop of the owner.

use crate::backlog::Backlog;
use crate::cache::Cache;
use crate::config::{Config, Error, Handle, Ports, Status};
use crate::gate::Gate;
use crate::held::Held;
use crate::plans::Plans;
use crate::takeover::{BACKLOG, PIECE};
use crate::turn::TurnFailed;
use aidt_domain::{Epoch, Failure, PartitionId, Pool, ProcessId, RunId, Timestamp};
use aidt_queue::{Commands, Delivery, Kind};
use aidt_store::{Claim, ProcessRow};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// How often the owner looks after what nobody tells it: leases, processes, inboxes.
const TICK: Duration = Duration::from_secs(1);

/// A nudge may say that slots changed: processes are looked at again, but no sooner than this.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// Without trouble for this long there is none: longer than the longest pause between two attempts.
const CALM: Duration = Duration::from_secs(2);

/// `published` is written this long after the last turn, if no turn wrote it.
const IDLE_FLUSH: Duration = Duration::from_millis(100);

/// The owner of this process's partitions. One root future; all its state is in here and may be lost at
/// any await.
pub struct Owner {
    pub(crate) config: Config,
    pub(crate) ports: Ports,
    pub(crate) gate: Gate,
    pub(crate) plans: Plans,
    pub(crate) cache: Cache,
    pub(crate) backlog: Backlog,
    /// The partition of which the backlog was read on last.
    pub(crate) refilled: PartitionId,
    pub(crate) held: BTreeMap<PartitionId, Held>,
    /// Steps handed out and not ended, by pool, over all held partitions.
    pub(crate) in_window: BTreeMap<Pool, usize>,
    /// Pools that operators were told of: they learn also that nothing is left.
    pub(crate) measured: BTreeSet<Pool>,
    /// Slots of live workers, by pool.
    pub(crate) slots: BTreeMap<Pool, u32>,
    /// Live processes, and how many of them are owners.
    pub(crate) live: BTreeMap<ProcessId, ProcessRow>,
    /// Deliveries that are not acked yet, while turns take one run at a time.
    pub(crate) again: Vec<(PartitionId, Delivery)>,
    /// Runs that cannot be worked on: ended by the next turn that touches them.
    pub(crate) condemned: BTreeMap<RunId, Failure>,
    /// Condemned, and not even that can be stored: what is sent to them is buried.
    pub(crate) beyond_help: BTreeSet<RunId>,
    /// The last epoch that this process took of each partition: whether another had it since.
    pub(crate) epochs: BTreeMap<PartitionId, Epoch>,
    /// Turns take one run at a time, to find the one that fails: those that went through.
    pub(crate) isolate: Option<BTreeSet<RunId>>,
    pub(crate) looks: u32,
    /// A process died, and its claims are not all settled yet.
    pub(crate) unsettled: bool,
    /// The store's clock less this process's, in ms.
    pub(crate) offset_ms: i64,
    pub(crate) latest: Timestamp,
    pub(crate) status: watch::Sender<Status>,
    stream: Option<Box<dyn Commands>>,
    /// The set of held partitions that the stream is open for; `None`: it must be opened anew.
    streamed: Option<BTreeSet<PartitionId>>,
    next_tick: Instant,
    /// When processes were looked at last, and whether somebody nudged since.
    looked: Instant,
    nudged: bool,
    /// Nothing more is handed out.
    closing: Arc<AtomicBool>,
    pub(crate) failures: u32,
    troubled_at: Instant,
}

impl Owner {
    /// An owner that holds nothing yet.
    #[must_use]
    pub fn build(config: Config, ports: Ports) -> (Self, Handle) {
        let (status, view) = watch::channel(Status::default());
        let owner = Self {
            gate: Gate::new(&ports.policy, config.environment.clone()),
            plans: Plans::default(),
            cache: Cache::new(config.cached_runs),
            backlog: Backlog::default(),
            refilled: PartitionId::default(),
            held: BTreeMap::new(),
            in_window: BTreeMap::new(),
            measured: BTreeSet::new(),
            slots: BTreeMap::new(),
            live: BTreeMap::new(),
            again: Vec::new(),
            condemned: BTreeMap::new(),
            beyond_help: BTreeSet::new(),
            epochs: BTreeMap::new(),
            isolate: None,
            looks: 0,
            unsettled: false,
            offset_ms: 0,
            latest: Timestamp(0),
            status,
            stream: None,
            streamed: None,
            next_tick: Instant::now(),
            looked: Instant::now(),
            nudged: false,
            failures: 0,
            troubled_at: Instant::now(),
            config,
            closing: Arc::default(),
            ports,
        };
        let closing = Arc::clone(&owner.closing);
        (owner, Handle { status: view, closing })
    }

    /// Owns partitions until `shutdown`; then gives them back. Not cancel safe in the sense that nothing
    /// is given back when it is dropped, but nothing is lost: another owner takes over.
    ///
    /// # Errors
    /// When the queue closes for good.
    pub async fn run(mut self, shutdown: CancellationToken) -> Result<(), Error> {
        while !shutdown.is_cancelled() {
            if Instant::now() >= self.next_tick {
                self.next_tick = Instant::now() + TICK;
                (self.looked, self.nudged) = (Instant::now(), false);
                self.notice_calm();
                self.look_after().await;
                self.refill_backlog(BACKLOG).await;
                self.measure_state();
            }
            self.look_again().await;
            self.open_stream().await;
            let deliveries = tokio::select! {
                biased;
                () = shutdown.cancelled() => break,
                got = self.wait() => got?,
            };
            self.take_turn(deliveries).await;
        }
        self.drain().await;
        self.flush_published().await;
        self.give_back().await;
        Ok(())
    }

    /// Records what has been reported by now, and hands out nothing more.
    async fn drain(&mut self) {
        self.closing.store(true, Ordering::Relaxed);
        for _ in 0..64 {
            let Some(stream) = &mut self.stream else { return };
            let received = tokio::time::timeout(Duration::from_millis(1), stream.recv(self.config.batch)).await;
            let Ok(Ok((deliveries, _))) = received else { return };
            self.take_turn(deliveries).await;
        }
    }

    /// The time in the store, as this process estimates it; never goes back.
    pub(crate) fn now(&mut self) -> Timestamp {
        let estimate = Timestamp(self.ports.clock.now().0.saturating_add(self.offset_ms));
        // The store's clock is asked before anything is held; until then this is a clock like any other,
        // and may be ahead.
        if self.held.is_empty() {
            return estimate;
        }
        self.latest = self.latest.max(estimate);
        self.latest
    }

    /// Slots of workers that came or went a moment ago.
    async fn look_again(&mut self) {
        if !self.nudged || self.looked.elapsed() < LOOK_AGAIN {
            return;
        }
        (self.looked, self.nudged) = (Instant::now(), false);
        if let Err(error) = self.look_at_processes().await {
            self.trouble("looking at processes", &error);
        }
    }

    async fn open_stream(&mut self) {
        let wanted: BTreeSet<PartitionId> = self.held.keys().copied().collect();
        if self.stream.is_some() && Some(&wanted) == self.streamed.as_ref() {
            return;
        }
        // What the old stream had taken and not acked comes again, from the broker.
        self.stream = None;
        self.again.clear();
        if wanted.is_empty() {
            return;
        }
        let partitions: Vec<_> = self.held.values().map(|h| (h.id, h.cursor)).collect();
        match self.ports.queue.commands(&partitions).await {
            Ok(stream) => {
                self.stream = Some(stream);
                self.streamed = Some(wanted);
                // Nudges that came before there was a stream are gone.
                self.nudged = true;
            }
            Err(error) => self.trouble("opening the stream of commands", &error),
        }
    }

    /// Waits until there is something to do. Cancel safe.
    async fn wait(&mut self) -> Result<Vec<(PartitionId, Delivery)>, Error> {
        let until = self.wake_at();
        let max = self.config.batch;
        let Some(stream) = &mut self.stream else {
            tokio::time::sleep_until(until).await;
            return Ok(Vec::new());
        };
        let received = tokio::select! {
            biased;
            received = stream.recv(max) => received,
            () = tokio::time::sleep_until(until) => return Ok(Vec::new()),
        };
        match received {
            Ok((deliveries, nudged)) => {
                self.nudged |= !nudged.is_empty();
                for partition in nudged {
                    if let Some(held) = self.held.get_mut(&partition) {
                        held.look_into_inbox = true;
                    }
                }
                Ok(deliveries)
            }
            Err(error) if error.kind == Kind::Closed => Err(Error::Queue(error)),
            Err(error) => {
                self.trouble("receiving commands", &error);
                self.stream = None;
                tokio::time::sleep(self.backoff()).await;
                Ok(Vec::new())
            }
        }
    }

    /// When the loop must go on even if nothing arrives.
    fn wake_at(&mut self) -> Instant {
        let now = Instant::now();
        let work = |h: &Held| h.look_into_inbox || !h.own.is_empty() || !h.unpublished.is_empty();
        if !self.again.is_empty() || self.is_isolating() || self.held.values().any(work) || self.may_admit() {
            return if self.failures > 0 { now + self.backoff() } else { now };
        }
        let mut until = self.next_tick;
        if self.nudged {
            until = until.min(self.looked + LOOK_AGAIN);
        }
        if self.held.values().any(|h| h.published != h.published_stored) {
            until = until.min(now + IDLE_FLUSH);
        }
        let here = self.now();
        if let Some(due) = self.held.values().filter_map(|h| h.timers.next()).min() {
            until = until.min(now + due.since(here));
        }
        until
    }

    async fn take_turn(&mut self, deliveries: Vec<(PartitionId, Delivery)>) {
        let idle = deliveries.is_empty();
        let mut deliveries: Vec<_> = std::mem::take(&mut self.again).into_iter().chain(deliveries).collect();
        self.publish_owed().await;
        match self.turn(&mut deliveries).await {
            Ok(true) => {
                self.recovered();
                self.refill_backlog(PIECE as usize).await;
            }
            Ok(false) if idle => self.flush_published().await,
            Ok(false) => {}
            Err(failure) => return self.abandon(&failure).await,
        }
        self.plans.trim();
        if self.isolate.is_some() {
            self.again = deliveries;
        }
    }

    /// What the last turn changed in memory may not be in the store: forget it all, as after a crash, and
    /// take the partitions again. What was delivered and is not acked comes again, from the broker; what
    /// of it was recorded after all changes nothing then. An ambiguous commit needs no other care.
    async fn abandon(&mut self, failure: &TurnFailed) {
        if let Some(instruments) = aidt_telemetry::instruments() {
            instruments.turn_failed(failure.what);
        }
        self.trouble(failure.what, &failure.source);
        // Only a stream that is closed gives back what it had delivered.
        self.stream = None;
        let mine: BTreeSet<PartitionId> = self.held.keys().copied().collect();
        for partition in mine {
            self.forget(partition);
        }
        tokio::time::sleep(self.backoff()).await;
        self.next_tick = Instant::now();
    }

    /// Drops what is in memory of a partition. Nothing is written.
    pub(crate) fn forget(&mut self, partition: PartitionId) {
        // Taken again, it needs a new stream: the old one keeps what it delivered and nobody acked.
        self.streamed.take_if(|streamed| streamed.contains(&partition));
        let count = self.ports.store.run_log.partitions();
        let gone = |run: RunId| PartitionId::of(run, count) == partition;
        self.cache.forget(gone);
        self.backlog.forget(gone);
        if let Some(held) = self.held.remove(&partition) {
            for out in held.out.values() {
                self.leave_window(&out.pool);
            }
        }
        self.show();
    }

    pub(crate) fn leave_window(&mut self, pool: &Pool) {
        if let Some(n) = self.in_window.get_mut(pool) {
            *n = n.saturating_sub(1);
        }
    }

    /// How many more steps of this pool may be handed out: per pool and owner process, twice the pool's
    /// slots ÷ live owners, at least 1; nothing without workers.
    pub(crate) fn room(&self, pool: &Pool) -> usize {
        if self.closing.load(Ordering::Relaxed) {
            return 0;
        }
        let slots = self.slots.get(pool).copied().unwrap_or(0) as usize;
        let owners = self.live.values().filter(|p| is_owner(p)).count().max(1);
        let window = if slots == 0 { 0 } else { (2 * slots / owners).max(1) };
        window.saturating_sub(self.in_window.get(pool).copied().unwrap_or(0))
    }

    fn is_isolating(&self) -> bool {
        self.isolate.is_some() && !self.held.is_empty()
    }

    fn may_admit(&self) -> bool {
        self.backlog.pools().iter().any(|pool| self.room(pool) > 0)
    }

    pub(crate) fn backoff(&self) -> Duration {
        Duration::from_millis(20 << self.failures.min(6))
    }

    pub(crate) fn trouble(&mut self, what: &str, error: &dyn std::error::Error) {
        self.failures = self.failures.saturating_add(1);
        self.troubled_at = Instant::now();
        tracing::warn!(what, error = %Chain(error), failures = self.failures, "the owner pauses and tries again");
        let text = format!("{what}: {}", Chain(error));
        self.status.send_if_modified(|s| s.trouble.replace(text).is_none());
    }

    /// A turn that goes through says that trouble is over; where nothing happens, only time does.
    fn notice_calm(&mut self) {
        let is_served = self.stream.is_some() || self.held.is_empty();
        if is_served && self.again.is_empty() && self.isolate.is_none() && self.troubled_at.elapsed() >= CALM {
            self.recovered();
        }
    }

    fn recovered(&mut self) {
        if self.failures > 0 {
            self.failures = 0;
            self.status.send_modify(|s| s.trouble = None);
        }
    }

    pub(crate) fn show(&self) {
        let held: BTreeSet<PartitionId> = self.held.keys().copied().collect();
        self.status.send_if_modified(|s| std::mem::replace(&mut s.held, held.clone()) != held);
    }

    pub(crate) async fn ack(&mut self, tags: &[(PartitionId, aidt_queue::Tag)]) {
        if let (Some(stream), false) = (&mut self.stream, tags.is_empty())
            && let Err(error) = stream.ack(tags).await
        {
            // They come again, and change nothing: their results are recorded.
            self.trouble("acking commands", &error);
            self.stream = None;
        }
        for (partition, cursor) in self.stream.iter().flat_map(|s| s.cursors()) {
            if let Some(held) = self.held.get_mut(&partition) {
                held.cursor = cursor;
            }
        }
    }

    /// What was queued may be gone, and places in it mean nothing any more: the stream is opened anew.
    pub(crate) fn queue_is_another(&mut self, incarnation: &str) {
        self.stream = None;
        for held in self.held.values_mut().filter(|h| h.incarnation != incarnation) {
            held.cursor = 0;
        }
    }

    /// Claims that stand for open dispatches of a partition.
    pub(crate) async fn claims(&self, partition: PartitionId) -> Result<Vec<Claim>, aidt_store::StoreError> {
        self.ports.store.run_log.claims(partition).await
    }
}

pub(crate) fn is_owner(process: &ProcessRow) -> bool {
    process.service.split(',').any(|s| s.trim() == crate::config::SERVICE)
}

/// An error with its causes, on one line.
pub(crate) struct Chain<'a>(pub(crate) &'a dyn std::error::Error);

impl std::fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.0)?;
        let mut source = self.0.source();
        while let Some(cause) = source {
            write!(f, ": {cause}")?;
            source = cause.source();
        }
        Ok(())
    }
}
