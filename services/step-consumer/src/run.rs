//! The loop: waits for workers, messages, ports and the clock, and lets [`Core`] decide.

use crate::consumer::StepConsumer;
use crate::core::{Core, Mode};
use crate::handle::Handle;
use crate::judge::Gate;
use crate::life::{Life, Standing};
use crate::listen::{listen_for_cancels, watch_roster};
use crate::pool::serve_pool;
use crate::presence::Presence;
use crate::readers::PoolReaders;
use crate::work::{self, Done, Work};
use crate::workers::Report;
use crate::{Config, Error};
use aidt_lock::Locks;
use aidt_queue::Queue;
use aidt_store::Store;
use futures::stream::{FuturesUnordered, StreamExt};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

/// A step consumer at work.
pub(crate) struct Loop {
    config: Config,
    life: Arc<Life>,
    store: Store,
    queue: Arc<dyn Queue>,
    locks: Arc<dyn Locks>,
    handle: Handle,
    reports: mpsc::Receiver<Report>,
    reports_open: bool,
    inbox: Vec<Report>,
    core: Core,
    presence: Presence,
    readers: PoolReaders,
    roster_changed: Arc<AtomicBool>,
    under_way: FuturesUnordered<Work>,
    live_under_way: bool,
    /// The broker has failed while draining: results go into the inbox.
    broker_down: bool,
    drain_ends: Option<Instant>,
    /// Since when only acks, and the owners' records, are missing.
    empty_since: Option<Instant>,
}

impl Loop {
    pub(crate) fn new(consumer: StepConsumer, reports: mpsc::Receiver<Report>) -> Self {
        let StepConsumer { config, life, store, queue, locks, workers, policy, handle } = consumer;
        let gate = Gate::new(policy, config.environment.clone());
        let mut core = Core::new(config.clone(), Arc::clone(&life), Arc::clone(&workers), gate);
        core.system = queue.system();
        let roster_changed = Arc::new(AtomicBool::new(true));
        let under_way = FuturesUnordered::new();
        let readers = PoolReaders::new(life.process());
        let (cancels, process) = (Arc::clone(&locks), life.process());
        let (flag, watched) = (Arc::clone(&roster_changed), Arc::clone(&workers));
        let (for_cancels, for_roster) = (handle.clone(), handle.clone());
        under_way.push(endless(async move { listen_for_cancels(cancels, process, for_cancels).await }));
        under_way.push(endless(async move { watch_roster(watched, flag, for_roster).await }));
        Self {
            inbox: Vec::with_capacity(config.batch),
            config,
            life,
            store,
            queue,
            locks,
            handle,
            reports,
            reports_open: true,
            core,
            presence: Presence::default(),
            readers,
            roster_changed,
            under_way,
            live_under_way: false,
            broker_down: false,
            drain_ends: None,
            empty_since: None,
        }
    }

    pub(crate) async fn run(mut self, shutdown: CancellationToken) -> Result<(), Error> {
        let wake = self.handle.waker();
        let mut stopping = pin!(shutdown.cancelled());
        let mut clock = pin!(sleep_until(Instant::now()));
        loop {
            let now = Instant::now();
            let standing = self.life.standing(now);
            self.follow(standing, now)?;
            if shutdown.is_cancelled() {
                self.drain(now);
            }
            self.turn(now);
            if let Some(result) = self.is_over(now) {
                return result;
            }
            let wakes_at = self.wakes_at(standing, now);
            if wakes_at < clock.deadline() || clock.is_elapsed() {
                clock.as_mut().reset(wakes_at);
            }
            tokio::select! {
                biased;
                Some(done) = self.under_way.next() => self.done(done, Instant::now()),
                () = wake.notified() => {}
                count = self.reports.recv_many(&mut self.inbox, self.config.batch), if self.reports_open => {
                    self.reports_open = count > 0;
                }
                () = &mut stopping, if self.drain_ends.is_none() => {}
                () = &mut clock => {}
            }
        }
    }

    /// Everything that can be done without waiting.
    fn turn(&mut self, now: Instant) {
        let roster_changed = self.roster_changed.swap(false, Ordering::AcqRel);
        if roster_changed {
            for pool in self.core.follow_roster() {
                let (name, desk) = self.core.pool(pool);
                let (queue, wake) = (Arc::clone(&self.queue), self.handle.waker());
                self.under_way.push(endless(serve_pool(queue, name, desk, wake)));
            }
        }
        if self.readers.take_untold() || roster_changed {
            self.core.share(&self.readers);
        }
        for report in self.inbox.drain(..) {
            self.core.report(report, now);
        }
        for key in self.handle.take_cancels() {
            self.core.cancel(key, now);
        }
        self.core.look_around(now);
        self.core.allow();
        self.make_calls(now);
        self.handle.publish_stats(self.core.stats());
    }

    /// Stops working when this process may be taken for dead, and ends when it was.
    fn follow(&mut self, standing: Standing, now: Instant) -> Result<(), Error> {
        match standing {
            Standing::Alive(_) if self.core.mode() == Mode::Fenced => {
                tracing::info!(process = %self.life.process(), "the heartbeat is written: working");
                self.core.unfence();
            }
            Standing::Alive(_) => {}
            Standing::Unsure => self.core.fence(now),
            Standing::Dead => {
                self.core.fence(now);
                return Err(Error::TakenForDead(self.life.process()));
            }
        }
        Ok(())
    }

    fn drain(&mut self, now: Instant) {
        let ends = *self.drain_ends.get_or_insert(now + self.config.drain_grace);
        self.core.drain(now);
        if ends <= now {
            self.core.end_drain(now);
        }
    }

    fn is_over(&mut self, now: Instant) -> Option<Result<(), Error>> {
        let ends = self.drain_ends?;
        let grace = self.config.flush_grace;
        if self.core.is_empty() {
            // A broker that is down acks nothing: then it delivers again, and others drop what is stale.
            let since = *self.empty_since.get_or_insert(now);
            let claims = self.core.kept().must_ask(self.config.batch, now);
            if !claims.is_empty() {
                self.under_way.push(Box::pin(work::recorded(self.store.clone(), claims)));
            }
            if self.core.is_acked() && self.core.is_recorded() {
                return Some(Ok(()));
            }
            return (since + grace <= now).then(|| self.unsettled());
        }
        self.empty_since = None;
        if now < ends + grace {
            return None;
        }
        let results = self.core.unreported();
        Some(if results == 0 { Ok(()) } else { Err(Error::Undelivered { results }) })
    }

    /// The drain is over, and acks or the owners' records are missing.
    fn unsettled(&mut self) -> Result<(), Error> {
        if !self.core.is_acked() {
            tracing::warn!("the broker did not take every ack before the drain ended: it delivers those again");
        }
        match self.core.kept().unrecorded() {
            0 => Ok(()),
            claims => Err(Error::Unrecorded { claims }),
        }
    }

    fn wakes_at(&self, standing: Standing, now: Instant) -> Instant {
        let fence = match standing {
            Standing::Alive(until) => Some(until),
            Standing::Unsure | Standing::Dead => None,
        };
        let grace = self.config.flush_grace;
        // What is past wakes nobody: who is empty by then waits for acks and records alone.
        let drain = self.drain_ends.map(|at| if at > now { at } else { at + grace }).filter(|at| *at > now);
        let acks = self.empty_since.map(|since| since + grace);
        let records = self.empty_since.and_then(|_| self.core.asks_at());
        let lanes = &self.core.lanes;
        // While fenced nothing is taken out of the lanes, whatever the time.
        let lanes = match self.core.mode() {
            Mode::Fenced => [None; 6],
            Mode::Working | Mode::Draining => [
                lanes.claims.wakes_at(),
                lanes.contexts.wakes_at(),
                lanes.publish.wakes_at(),
                lanes.letters.wakes_at(),
                lanes.logs.wakes_at(),
                self.core.looks_at(),
            ],
        };
        let row = self.presence.wakes_at();
        let rest = [self.core.wakes_at(), row, self.readers.wakes_at(), fence, drain, acks, records];
        let soonest = lanes.into_iter().chain(rest).flatten().min();
        soonest.unwrap_or_else(|| now + std::time::Duration::from_secs(3600))
    }

    /// Begins the calls of ports that may begin now.
    fn make_calls(&mut self, now: Instant) {
        let policy = self.core.policy();
        let roster = self.core.roster();
        let says = (policy.revision(), self.drain_ends.is_some());
        let row = self.presence.due(&self.life, &self.config.service, roster, says, now);
        if let Some(row) = row {
            let (store, queue, life) = (self.store.clone(), Arc::clone(&self.queue), Arc::clone(&self.life));
            self.under_way.push(Box::pin(work::present(store, queue, life, row)));
        }
        if self.readers.look(now) {
            self.under_way.push(Box::pin(work::look_at_processes(self.store.clone())));
        }
        if self.core.mode() == Mode::Fenced {
            return;
        }
        let batch = self.config.batch;
        if self.core.kept().must_look(now) {
            self.under_way.push(Box::pin(work::look_at_broker(Arc::clone(&self.queue))));
        }
        let lanes = &mut self.core.lanes;
        if let Some(asks) = lanes.claims.take(now, batch) {
            self.under_way.push(Box::pin(work::claim(self.store.clone(), asks)));
        }
        if let Some(asks) = lanes.contexts.take(now, batch) {
            self.under_way.push(Box::pin(work::contexts(self.store.clone(), asks)));
        }
        if let Some(publications) = lanes.publish.take(now, batch) {
            self.under_way.push(match self.broker_down {
                true => Box::pin(work::hand_over(self.store.clone(), publications)),
                false => Box::pin(work::publish(Arc::clone(&self.queue), publications)),
            });
        }
        if let Some(letters) = lanes.letters.take(now, batch) {
            self.under_way.push(Box::pin(work::bury(self.store.clone(), letters)));
        }
        if let Some(chunks) = lanes.logs.take(now, batch) {
            self.under_way.push(Box::pin(work::log(self.store.clone(), chunks)));
        }
        if !self.live_under_way && !lanes.live.is_empty() {
            self.live_under_way = true;
            let messages = std::mem::take(&mut lanes.live).into();
            self.under_way.push(Box::pin(work::live(Arc::clone(&self.locks), messages)));
        }
    }

    /// What came of a call. Nothing is given up for a port that is down: it is tried again in place.
    fn done(&mut self, done: Done, now: Instant) {
        match done {
            Done::Claimed(asks, answer) => self.core.settle_claims(asks, answer, now),
            Done::Contexts(answers) => self.core.settle_contexts(answers, now),
            Done::Published(publications, confirmed) => {
                self.broker_down = confirmed.is_err() && self.drain_ends.is_some();
                self.core.settle_published(publications, confirmed, self.broker_down, now);
            }
            Done::HandedOver(publications, kept) => self.core.settle_handed_over(publications, kept, now),
            Done::Buried(letters, kept) => self.core.settle_letters(letters, kept, now),
            Done::Logged(chunks, written) => self.core.settle_logs(chunks, written, now),
            Done::Recorded(claims, answer) => self.core.kept().asked(&claims, answer, now),
            Done::Broker(incarnation) => self.core.looked_at_broker(incarnation, now),
            Done::Live => self.live_under_way = false,
            Done::Registered(result) => self.presence.wrote(result, now),
            Done::Processes(rows) => self.readers.looked(rows),
            Done::Over => {}
        }
    }
}

fn endless(future: impl Future<Output = ()> + Send + 'static) -> Work {
    Box::pin(async move {
        future.await;
        Done::Over
    })
}
