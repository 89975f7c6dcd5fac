//! Taking a partition, and giving it back.
//!
//! A lease and rendezvous hashing say who *should* try; raising the epoch in the store says who *may*.
//! Nothing is loaded before the epoch is raised.

use crate::config::SERVICE;
use crate::held::{Held, More, Out};
use crate::owner::{Chain, Owner, is_owner};
use aidt_domain::{
    Actor, Command, CommandBody, FORMAT, OutSeq, PartitionId, ProcessId, Project, RunId, RunState, StepIx, StepState,
    Timestamp, owner_of,
};
use aidt_lock::Lease;
use aidt_store::StoreError;
use futures::future::join_all;
use std::collections::BTreeMap;
use std::time::Duration;

/// How long a lease lasts.
const LEASE: Duration = Duration::from_secs(4);
/// A process is dead this long after its last heartbeat, by the store's clock.
pub(crate) const DEAD_AFTER_MS: u64 = 4_000;
/// Timer rows due within this are kept in memory.
pub(crate) const HORIZON: Duration = Duration::from_secs(60);
/// Timer rows kept in memory at most, and ready steps read in one piece.
pub(crate) const PIECE: u32 = 1_000;
/// Ready steps kept in memory for which there is no room, so that priorities and projects are seen among many.
pub(crate) const BACKLOG: usize = 50 * PIECE as usize;
/// A step that nobody claimed is published again after this long, then after twice that, up to ten times.
pub(crate) const UNCLAIMED: Duration = Duration::from_secs(60);

impl Owner {
    /// Takes what this process should own, gives back what another should.
    pub(crate) async fn balance(&mut self) {
        let all = (0..self.ports.store.run_log.partitions()).map(PartitionId);
        let (mine, others): (Vec<_>, Vec<_>) = all.partition(|partition| self.should_own(*partition));
        for partition in others {
            if self.held.contains_key(&partition) {
                self.forget(partition);
                self.release_lease(partition).await;
            }
        }
        // Each is a round trip or two, and turns wait meanwhile: all are under way at once.
        let this = &*self;
        let looks = mine.into_iter().map(|partition| async move {
            let may = this.may_try(partition).await;
            (partition, may, may && this.is_lost(partition).await)
        });
        for (partition, may, lost) in join_all(looks).await {
            if lost {
                self.forget(partition);
            }
            if !may || self.held.contains_key(&partition) {
                continue;
            }
            if let Err(error) = self.take(partition).await {
                self.forget(partition);
                self.trouble("taking a partition", &error);
            }
        }
    }

    /// Another owner may have taken it, and be gone again, while this process was frozen: an owner that is
    /// the last looks as well.
    async fn is_lost(&self, partition: PartitionId) -> bool {
        let Some(epoch) = self.held.get(&partition).map(|h| h.epoch) else { return false };
        self.ports.store.run_log.partition(partition).await.is_ok_and(|row| row.epoch != epoch)
    }

    /// Rendezvous hashing over the live owners.
    fn should_own(&self, partition: PartitionId) -> bool {
        let owners = self.live.values().filter(|p| is_owner(p)).map(|p| p.id);
        owner_of(partition, owners.chain([self.config.process])) == Some(self.config.process)
    }

    /// The lease: held by this process, or the fan-out is down and the last owner is not alive.
    async fn may_try(&self, partition: PartitionId) -> bool {
        let holder = self.config.process.to_string();
        match self.ports.locks.lease(&lease_name(partition), &holder, LEASE).await {
            Ok(Lease::Held) => true,
            Ok(Lease::Taken { by }) => {
                // Its holder may be long dead where leases outlive processes; the store knows.
                let dead = by.parse::<ProcessId>().is_ok_and(|p| !self.live.contains_key(&p));
                dead || self.held.contains_key(&partition)
            }
            Err(error) => {
                tracing::debug!(%partition, error = %Chain(&error), "no lease to be had; the epoch decides");
                match self.ports.store.run_log.partition(partition).await {
                    Ok(row) => row.owner.is_none_or(|o| o == self.config.process || !self.live.contains_key(&o)),
                    Err(_) => false,
                }
            }
        }
    }

    async fn release_lease(&self, partition: PartitionId) {
        let holder = self.config.process.to_string();
        if let Err(error) = self.ports.locks.release(&lease_name(partition), &holder).await {
            tracing::debug!(%partition, error = %Chain(&error), "the lease runs out by itself");
        }
    }

    pub(crate) async fn take(&mut self, partition: PartitionId) -> Result<(), StoreError> {
        let log = self.ports.store.run_log.clone();
        let row = log.take(partition, self.config.process, FORMAT).await?;
        let incarnation = match self.ports.queue.incarnation().await {
            Ok(now) => now,
            // Not known: the tick compares again when the queue is back.
            Err(_) => row.incarnation.clone(),
        };
        let wiped = incarnation != row.incarnation;
        if self.epochs.insert(partition, row.epoch).is_some_and(|mine| mine.next() != row.epoch) {
            self.absolve(partition);
        }
        let mut held = Held::new(row, incarnation);
        held.out_seq = held.out_seq.max(held.published);
        if wiped {
            held.cursor = 0;
        }
        let store_now = log.now().await?;
        self.offset_ms = store_now.0.saturating_sub(self.ports.clock.now().0);
        let now = self.now();
        let horizon = now.plus(HORIZON);
        let (timers, next) = log.timers(partition, horizon, PIECE).await?;
        held.timers.refill(timers, bounded(horizon, next));
        self.held.insert(partition, held);
        self.load_open(partition, now, wiped).await?;
        self.settle_claims(partition).await?;
        self.read_backlog(partition).await?;
        self.show();
        tracing::info!(%partition, wiped, "took a partition");
        Ok(())
    }

    /// Loads what is handed out: it fills the window, and what may not have been published is owed.
    async fn load_open(&mut self, partition: PartitionId, now: Timestamp, wiped: bool) -> Result<(), StoreError> {
        let open = self.ports.store.run_log.open_dispatches(partition).await?;
        let runs: Vec<RunId> = open.iter().map(|o| o.run).collect();
        self.load(&runs).await?;
        let mut owed = Vec::new();
        for o in &open {
            let Some(cached) = self.cache.peek(o.run) else { continue };
            let (row, cancelling) = (cached.run.step(o.step).clone(), cached.run.row.state == RunState::Cancelling);
            let backstop = cached.run.backstop(o.step);
            let Some(held) = self.held.get_mut(&partition) else { break };
            let Some(pool) = row.pool.clone() else { continue };
            let running = row.state == StepState::Running;
            let look_at = if running { backstop } else { now.plus(UNCLAIMED) };
            *self.in_window.entry(pool.clone()).or_default() += 1;
            held.out.insert((o.run, o.step), Out { pool, process: None, republished: 0, look_at });
            if cancelling {
                held.own.push_back(own_command(o.run, CommandBody::TimerDue { step: None }));
            }
            if !running && (wiped || row.out_seq > held.published) {
                owed.push((o.run, o.step));
            }
        }
        self.status.send_modify(|s| s.resumed += open.len());
        self.lower_published(partition, &owed);
        self.owe(partition, &owed).await
    }

    /// What is owed once more counts as not published, so that another takeover would owe it, too.
    pub(crate) fn lower_published(&mut self, partition: PartitionId, owed: &[(RunId, StepIx)]) {
        let first = owed.iter().filter_map(|(run, ix)| Some(self.cache.peek(*run)?.run.step(*ix).out_seq)).min();
        if let (Some(first), Some(held)) = (first, self.held.get_mut(&partition)) {
            held.published = held.published.min(OutSeq(first.0.saturating_sub(1)));
        }
    }

    /// What stands for open dispatches: burned by an owner that did not get to see it, or claimed by a
    /// process that is dead.
    pub(crate) async fn settle_claims(&mut self, partition: PartitionId) -> Result<(), StoreError> {
        let claims = self.claims(partition).await?;
        if claims.iter().filter_map(|c| c.process).any(|p| !self.live.contains_key(&p)) {
            // Who came after the last look may have claimed since: only a look after the claims tells.
            let (rows, _) = self.ports.store.processes.live(DEAD_AFTER_MS).await?;
            self.live.extend(rows.into_iter().map(|p| (p.id, p)));
        }
        let now = self.now();
        for claim in claims {
            let key = (claim.run, claim.step);
            let Some(held) = self.held.get_mut(&partition) else { break };
            let Some(out) = held.out.get_mut(&key) else { continue };
            out.process = claim.process;
            let (step, dispatch) = (claim.step, claim.dispatch);
            let body = match claim.process {
                None => CommandBody::Burned { step, dispatch, won: true },
                Some(p) if !self.live.contains_key(&p) => CommandBody::ProcessDead { step, dispatch },
                // Its own word may have been lost; without it no backstop would ever end the step.
                Some(process) => CommandBody::Started { step, dispatch, process, at: now },
            };
            let known = self.cache.peek(claim.run).map(|c| c.run.state(claim.step));
            if !(matches!(body, CommandBody::Started { .. }) && known == Some(StepState::Running)) {
                held.own.push_back(own_command(claim.run, body));
            }
        }
        Ok(())
    }

    /// Reads the next piece of a partition's backlog: one, because turns wait meanwhile.
    pub(crate) async fn read_backlog(&mut self, partition: PartitionId) -> Result<(), StoreError> {
        let Some(More::After(after)) = self.held.get(&partition).map(|h| h.more_ready) else { return Ok(()) };
        let ready = self.ports.store.run_log.ready(partition, after, PIECE).await?;
        let runs: Vec<RunId> = ready.iter().map(|o| o.run).collect();
        self.load(&runs).await?;
        for o in &ready {
            self.enqueue(o.run, o.step);
        }
        let last = ready.last().map(|o| (o.run, o.step)).filter(|_| ready.len() as u32 == PIECE);
        if let Some(held) = self.held.get_mut(&partition) {
            held.more_ready = last.map_or(More::Nothing, |last| More::After(Some(last)));
        }
        // Runs of what waits are evictable: the cache is bounded, the backlog holds only keys. (Never
        // within a turn: what it changed is in memory only.)
        self.cache.settle(&[]);
        Ok(())
    }

    /// Reads on in the backlog that is in the store only, if no more than this is in memory: a piece of one partition,
    /// of another one each time. Between turns: it may forget runs.
    pub(crate) async fn refill_backlog(&mut self, up_to: usize) {
        let more = |held: &&Held| held.more_ready != More::Nothing;
        let next = self.held.values().filter(more).map(|held| held.id);
        let Some(partition) = next.clone().find(|id| *id > self.refilled).or_else(|| next.clone().next()) else {
            return;
        };
        if self.backlog.len() > up_to {
            return;
        }
        self.refilled = partition;
        if let Err(error) = self.read_backlog(partition).await {
            self.trouble("reading the backlog", &error);
            self.forget(partition);
        }
    }

    /// Leases go back, so that another takes over at once.
    pub(crate) async fn give_back(&mut self) {
        let mine: Vec<PartitionId> = self.held.keys().copied().collect();
        for partition in mine {
            self.forget(partition);
            self.release_lease(partition).await;
        }
    }

    /// Who is alive, and what slots they have. A process that was alive and is not any more: its claims
    /// are settled.
    pub(crate) async fn look_at_processes(&mut self) -> Result<(), StoreError> {
        let (rows, now) = self.ports.store.processes.live(DEAD_AFTER_MS).await?;
        self.offset_ms = now.0.saturating_sub(self.ports.clock.now().0);
        let live: BTreeMap<ProcessId, _> = rows.into_iter().map(|p| (p.id, p)).collect();
        self.unsettled |= self.live.keys().any(|p| !live.contains_key(p));
        self.slots.clear();
        for (pool, slots) in live.values().flat_map(|p| &p.slots) {
            *self.slots.entry(pool.clone()).or_default() += slots;
        }
        self.live = live;
        // A process may have come and gone between two looks: settle them all now and then.
        self.looks = self.looks.wrapping_add(1);
        if self.unsettled || self.looks.is_multiple_of(10) {
            let mine: Vec<PartitionId> = self.held.keys().copied().collect();
            for partition in mine {
                self.settle_claims(partition).await?;
            }
            self.unsettled = false;
        }
        Ok(())
    }
}

/// The timers in memory end before what was left out.
pub(crate) fn bounded(horizon: Timestamp, next: Option<Timestamp>) -> Timestamp {
    next.map_or(horizon, |n| horizon.min(Timestamp(n.0 - 1)))
}

fn lease_name(partition: PartitionId) -> String {
    format!("{SERVICE}/partition/{partition}")
}

/// A command that the owner makes itself.
pub(crate) fn own_command(run: RunId, body: CommandBody) -> Command {
    Command { id: None, project: Project::default(), run, actor: Actor(String::new()), traceparent: None, body }
}
