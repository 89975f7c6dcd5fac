//! How slots are shared out: among the step consumers of the process, and among workers.

use super::frames::CallId;
use super::state::{HubCall, State, Worker};
use crate::workers::{NoPlace, PoolSlots, Report, Roster};
use aidt_domain::{Digest, Pool, WorkerId};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use tokio::sync::mpsc;

/// Slots by pool, and who of the step consumers uses how many.
///
/// Each consumer has a fixed part of every pool's slots, so none takes a message for a slot that another
/// takes a message for at the same moment.
#[derive(Debug, Default)]
pub(super) struct Shares {
    totals: BTreeMap<Pool, u32>,
    /// Calls on workers that count, by line and pool.
    used: BTreeMap<u64, BTreeMap<Pool, u32>>,
}

impl Shares {
    pub(super) fn took(&mut self, line: u64, pool: &Pool) {
        let pools = self.used.entry(line).or_default();
        match pools.get_mut(pool) {
            Some(used) => *used += 1,
            None => drop(pools.insert(pool.clone(), 1)),
        }
    }

    pub(super) fn gave(&mut self, line: u64, pool: &Pool) {
        if let Some(used) = self.used.get_mut(&line).and_then(|pools| pools.get_mut(pool)) {
            *used = used.saturating_sub(1);
        }
    }

    /// Counts anew, when workers or step consumers have come or gone.
    pub(super) fn recount(
        &mut self,
        workers: &BTreeMap<WorkerId, Worker>,
        lines: &BTreeMap<u64, Option<mpsc::Sender<Report>>>,
        calls: &HashMap<CallId, HubCall>,
    ) {
        let attached = lines.iter().filter(|(_, to)| to.is_some());
        *self = Self { used: attached.map(|(line, _)| (*line, BTreeMap::new())).collect(), ..Self::default() };
        let mut of_nobody: BTreeMap<WorkerId, u32> = BTreeMap::new();
        for call in calls.values().filter(|call| !call.ended) {
            match (call.line, workers.get(&call.worker)) {
                (Some((line, _)), Some(worker)) if worker.is_open() => self.took(line, &worker.pool),
                (None, Some(_)) => *of_nobody.entry(call.worker).or_default() += 1,
                _ => {}
            }
        }
        for (id, worker) in workers.iter().filter(|(_, worker)| worker.is_open()) {
            let foreign = u32::try_from(worker.foreign.len()).unwrap_or(u32::MAX);
            let taken = foreign.saturating_add(of_nobody.get(id).copied().unwrap_or(0));
            *self.totals.entry(worker.pool.clone()).or_default() += worker.slots.saturating_sub(taken);
        }
    }

    fn share(&self, line: u64, total: u32) -> u32 {
        let lines = u32::try_from(self.used.len().max(1)).unwrap_or(u32::MAX);
        let Some(rank) = self.used.keys().position(|l| *l == line) else { return 0 };
        let rank = u32::try_from(rank).unwrap_or(u32::MAX);
        total / lines + u32::from(rank < total % lines)
    }

    pub(super) fn free(&self, line: u64, pool: &Pool) -> u32 {
        let total = self.totals.get(pool).copied().unwrap_or(0);
        let used = self.used.get(&line).and_then(|pools| pools.get(pool)).copied().unwrap_or(0);
        self.share(line, total).saturating_sub(used)
    }
}

impl State {
    pub(super) fn roster(&self, line: u64) -> Roster {
        let mut pools: BTreeMap<Pool, PoolSlots> = BTreeMap::new();
        let mut tools = BTreeSet::new();
        for worker in self.workers.values().filter(|worker| worker.is_open()) {
            pools.entry(worker.pool.clone()).or_default().total += worker.slots;
            tools.extend(worker.tools.keys().copied());
        }
        for (pool, slots) in &mut pools {
            let total = self.shares.totals.get(pool).copied().unwrap_or(0);
            slots.share = self.shares.share(line, total);
        }
        Roster { version: *self.version.borrow(), pools, tools: tools.into_iter().collect() }
    }

    /// The worker with the most free slots that serves the tool; of equals the first by id.
    pub(super) fn choose(&self, pool: &Pool, entry: &Digest) -> Result<WorkerId, NoPlace> {
        let mut best: Option<(u32, WorkerId)> = None;
        let mut served = false;
        for (id, worker) in &self.workers {
            if worker.pool != *pool || !worker.tools.contains_key(entry) {
                continue;
            }
            // Also by one that is waited for: it may be back in a moment.
            served |= !worker.draining;
            let free = if worker.is_open() { worker.free() } else { 0 };
            if free > best.map_or(0, |(most, _)| most) {
                best = Some((free, *id));
            }
        }
        best.map(|(_, id)| id).ok_or(if served { NoPlace::Full } else { NoPlace::Unserved })
    }
}
