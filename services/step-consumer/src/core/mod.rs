//! The state of a step consumer's loop. Everything here is synchronous: what arrives goes in, and what is
//! to be done by ports gathers in lanes. The loop around it ([`crate::run`]) does the waiting.
//!
//! - [`lanes`]: what gathers there.
//! - [`admit`]: messages become calls, or dead letters.
//! - [`start`]: is the start valid, is it allowed, is there a slot.
//! - [`report`]: what workers say, and what owners are told.
//! - [`settle`]: what came of the calls of ports.
//! - [`stop`]: cancels, timeouts, the fence, the drain.

mod admit;
mod call;
mod lanes;
mod report;
mod settle;
mod start;
mod stop;
#[cfg(test)]
pub(crate) mod testing;
mod tickets;

use crate::Config;
use crate::handle::Stats;
use crate::judge::Gate;
use crate::kept::Kept;
use crate::life::{Key, Life};
use crate::readers::PoolReaders;
use crate::workers::{CallNo, Roster, Workers};
use aidt_domain::{Pool, Timestamp};
use aidt_queue::QueueError;
use aidt_store::ClaimRequest;
use bytes::Bytes;
use call::{Call, Phase};
pub(crate) use lanes::{ClaimAsk, JudgeAsk, Lanes, Letter, Origin, Publication};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use tickets::PoolSide;
pub(crate) use tickets::Ticket;
use tokio::time::Instant;

/// Live messages that wait; older ones fall out.
const LIVE_WAITING: usize = 1024;

/// What the loop may do now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Everything.
    Working,
    /// It may be taken for dead: it starts and writes nothing.
    Fenced,
    /// It ends: it takes nothing more.
    Draining,
}

/// The state of a step consumer's loop.
#[derive(Debug)]
pub(crate) struct Core {
    config: Config,
    /// What the broker is called in traces.
    pub(crate) system: &'static str,
    life: Arc<Life>,
    workers: Arc<dyn Workers>,
    gate: Gate,
    roster: Roster,
    pub(crate) lanes: Lanes,
    pools: Vec<PoolSide>,
    calls: BTreeMap<CallNo, Call>,
    /// Never iterated: its order is nobody's business.
    by_key: HashMap<Key, CallNo>,
    dues: BTreeSet<(Instant, CallNo)>,
    next_call: u64,
    fenced: bool,
    draining: bool,
    reported: u64,
    claims_asked: u64,
    kept: Kept,
}

impl Core {
    pub(crate) fn new(config: Config, life: Arc<Life>, workers: Arc<dyn Workers>, gate: Gate) -> Self {
        Self {
            config,
            system: "",
            life,
            workers,
            gate,
            roster: Roster::default(),
            lanes: Lanes::default(),
            pools: Vec::new(),
            calls: BTreeMap::new(),
            by_key: HashMap::new(),
            dues: BTreeSet::new(),
            next_call: 0,
            fenced: false,
            draining: false,
            reported: 0,
            claims_asked: 0,
            kept: Kept::default(),
        }
    }

    /// Results that may be lost with the broker.
    pub(crate) fn kept(&mut self) -> &mut Kept {
        &mut self.kept
    }

    /// When to look after those.
    pub(crate) fn looks_at(&self) -> Option<Instant> {
        self.kept.wakes_at()
    }

    /// The broker told its incarnation.
    pub(crate) fn looked_at_broker(&mut self, incarnation: Result<String, QueueError>, now: Instant) {
        for lost in self.kept.looked(incarnation, now) {
            self.lanes.publish.push(lost);
        }
    }

    pub(crate) fn mode(&self) -> Mode {
        match (self.fenced, self.draining) {
            (true, _) => Mode::Fenced,
            (false, true) => Mode::Draining,
            (false, false) => Mode::Working,
        }
    }

    pub(crate) fn stats(&self) -> Stats {
        Stats { in_hand: self.calls.len(), reported: self.reported, claims: self.claims_asked }
    }

    /// The roster changed. Answers the pools that were not known before, whose streams must be served.
    pub(crate) fn follow_roster(&mut self) -> Vec<usize> {
        let roster = self.workers.roster();
        let known = self.pools.len();
        for pool in roster.pools.keys() {
            if !self.pools.iter().any(|side| side.pool == *pool) {
                self.pools.push(PoolSide::new(pool.clone()));
            }
        }
        for side in &mut self.pools {
            side.share = roster.pools.get(&side.pool).map_or(0, |slots| slots.share);
        }
        self.roster = roster;
        (known..self.pools.len()).collect()
    }

    /// Who was connected at the last look.
    pub(crate) fn roster(&self) -> &Roster {
        &self.roster
    }

    /// The policy in force.
    pub(crate) fn policy(&self) -> Arc<aidt_policy::Bundle> {
        self.gate.current()
    }

    pub(crate) fn pool(&self, index: usize) -> (Pool, Arc<crate::pool::PoolDesk>) {
        let side = &self.pools[index];
        (side.pool.clone(), Arc::clone(&side.desk))
    }

    /// Tells each pool's stream how many messages it may take: as many as there are free slots, less
    /// what is in hand for them already.
    pub(crate) fn allow(&mut self) {
        let full = self.lanes.publish.len() >= self.config.unpublished;
        let taking = self.mode() == Mode::Working && !full;
        for side in &self.pools {
            let free = self.workers.free(&side.pool) as usize;
            let credit = if taking { free.saturating_sub(side.unplaced) } else { 0 };
            side.desk.allow(side.prefetch(), credit);
        }
    }

    /// Tells each pool's stream who else reads it.
    pub(crate) fn share(&self, readers: &PoolReaders) {
        for side in &self.pools {
            if let Some(readers) = readers.of(&side.pool, self.draining) {
                side.desk.share(readers);
            }
        }
    }

    /// All that arrived, was due, or found room.
    pub(crate) fn look_around(&mut self, now: Instant) {
        self.take_arrivals(now);
        self.place_waiting(now);
        self.fire_due(now);
        self.give_back_newer(now);
    }

    /// When [`look_around`](Self::look_around) must be called even if nothing happens.
    pub(crate) fn wakes_at(&self) -> Option<Instant> {
        let held = self.pools.iter().filter_map(PoolSide::held_since);
        let held = held.map(|since| since + self.config.newer_format_hold);
        self.dues.first().map(|(at, _)| *at).into_iter().chain(held).min()
    }

    /// Nothing is in hand and nothing waits to be handed over.
    pub(crate) fn is_empty(&self) -> bool {
        let lanes = &self.lanes;
        let idle = lanes.publish.is_idle() && lanes.letters.is_idle() && lanes.logs.is_idle();
        idle && self.unreported() == 0
    }

    /// When to ask next whether results are recorded.
    pub(crate) fn asks_at(&self) -> Option<Instant> {
        self.kept.asks_at()
    }

    /// No claim of this process is known to be open any more: nothing would be done again if its life
    /// were closed now.
    pub(crate) fn is_recorded(&self) -> bool {
        self.kept.is_recorded()
    }

    /// Calls whose owner was not told anything yet.
    pub(crate) fn unreported(&self) -> usize {
        let reported = |call: &&Call| matches!(call.phase, Phase::Late | Phase::Over);
        self.calls.len() - self.calls.values().filter(reported).count()
    }

    /// Every ack was made.
    pub(crate) fn is_acked(&self) -> bool {
        self.pools.iter().all(|side| side.desk.is_settled())
    }

    fn store_now(&self, now: Instant) -> Timestamp {
        self.life.store_time(now)
    }

    fn claim_request(&self, call: &Call) -> ClaimRequest {
        ClaimRequest {
            run: call.step.run,
            step: call.step.step,
            dispatch: call.step.dispatch,
            partition: call.step.partition,
            process: self.life.process(),
        }
    }

    /// Sets when the loop looks at a call next.
    fn arm(&mut self, no: CallNo) {
        let Some(call) = self.calls.get_mut(&no) else { return };
        let due = call.due(&self.config);
        if due == call.armed {
            return;
        }
        if let Some(armed) = call.armed {
            self.dues.remove(&(armed, no));
        }
        if let Some(due) = due {
            self.dues.insert((due, no));
        }
        call.armed = due;
    }

    /// Changes a call's phase and keeps count of those that wait.
    fn enter(&mut self, no: CallNo, phase: Phase, now: Instant) {
        let Some(call) = self.calls.get_mut(&no) else { return };
        let before = call.is_unplaced();
        call.phase = phase;
        call.since = now;
        let side = &mut self.pools[call.pool];
        match (before, call.is_unplaced()) {
            (true, false) => side.unplaced -= 1,
            (false, true) => side.unplaced += 1,
            _ => {}
        }
    }

    /// Done with the messages that carried a call.
    fn ack(&mut self, no: CallNo) {
        let Some(call) = self.calls.get_mut(&no) else { return };
        let tickets = std::mem::take(&mut call.tickets);
        let pool = call.pool;
        tickets.into_iter().for_each(|ticket| self.pools[pool].done(ticket));
    }

    /// Forgets a call.
    fn remove(&mut self, no: CallNo) {
        let Some(call) = self.calls.remove(&no) else { return };
        self.by_key.remove(&call.key());
        if call.is_unplaced() {
            self.pools[call.pool].unplaced -= 1;
        }
        if let Some(armed) = call.armed {
            self.dues.remove(&(armed, no));
        }
    }

    fn say_live(&mut self, channel: String, message: Bytes) {
        if self.lanes.live.len() == LIVE_WAITING {
            self.lanes.live.pop_front();
        }
        self.lanes.live.push_back((channel, message));
    }
}
