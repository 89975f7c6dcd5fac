//! Who is connected, and which call is where.

use super::frames::CallId;
use super::link::Link;
use super::place::Shares;
use crate::workers::{CallNo, Ended, Orphan, Report, ToolResult};
use aidt_domain::{Digest, Pool, WorkerId};
use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::Arc;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

/// A worker, for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorkerInfo {
    /// Its life.
    pub id: WorkerId,
    /// What it calls itself.
    pub name: String,
    /// Its pool.
    pub pool: Pool,
    /// How many calls it takes at once.
    pub slots: u32,
    /// How many it has.
    pub busy: u32,
    /// The names of the tools that it serves.
    pub tools: Vec<String>,
    /// False: its stream broke, and it is waited for.
    pub connected: bool,
    /// It takes no more calls.
    pub draining: bool,
}

/// A worker that is connected, or waited for.
#[derive(Debug)]
pub(super) struct Worker {
    pub(super) name: Arc<str>,
    pub(super) pool: Pool,
    pub(super) slots: u32,
    /// Digest to name.
    pub(super) tools: BTreeMap<Digest, String>,
    pub(super) link: Option<Arc<Link>>,
    pub(super) lost_at: Option<Instant>,
    pub(super) draining: bool,
    /// Calls of this hub that it runs.
    pub(super) busy: u32,
    /// Calls of earlier step consumers that it runs.
    pub(super) foreign: BTreeSet<CallId>,
}

impl Worker {
    /// Takes calls.
    pub(super) fn is_open(&self) -> bool {
        self.link.is_some() && !self.draining
    }

    pub(super) fn free(&self) -> u32 {
        let foreign = u32::try_from(self.foreign.len()).unwrap_or(u32::MAX);
        self.slots.saturating_sub(self.busy).saturating_sub(foreign)
    }
}

/// A call that was sent.
#[derive(Debug)]
pub(super) struct HubCall {
    pub(super) worker: WorkerId,
    /// Who waits for it; `None`: its step consumer is gone.
    pub(super) line: Option<(u64, CallNo)>,
    /// Its result is here; the worker may not forget it yet.
    pub(super) ended: bool,
    /// Its result is thrown away.
    pub(super) discard: bool,
}

/// A report on its way to a step consumer.
pub(super) struct Post {
    pub(super) line: u64,
    pub(super) to: mpsc::Sender<Report>,
    pub(super) report: Report,
}

#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) workers: BTreeMap<WorkerId, Worker>,
    /// Looked up; iterated only where the order cannot be seen.
    pub(super) calls: HashMap<CallId, HubCall>,
    pub(super) by_line: HashMap<(u64, CallNo), CallId>,
    pub(super) lines: BTreeMap<u64, Option<mpsc::Sender<Report>>>,
    pub(super) orphans: BTreeMap<u64, (WorkerId, CallId)>,
    pub(super) next_orphan: u64,
    pub(super) waiting: VecDeque<Orphan>,
    pub(super) shares: Shares,
    /// The roster's version: whoever waits for a change watches it.
    pub(super) version: watch::Sender<u64>,
    /// Pools that operators were told of.
    measured: BTreeSet<Pool>,
}

impl State {
    /// A step consumer can be reported to. Answers what waited for one.
    pub(super) fn attach(&mut self, line: u64, to: mpsc::Sender<Report>) {
        while let Some(orphan) = self.waiting.pop_front() {
            let report = Report::Orphan(Box::new(orphan));
            if let Err(mpsc::error::TrySendError::Full(Report::Orphan(orphan))) = to.try_send(report) {
                self.waiting.push_front(*orphan);
                break;
            }
        }
        self.lines.insert(line, Some(to));
        self.recount();
    }

    /// A step consumer is gone: what its calls come to is nobody's here.
    pub(super) fn drop_line(&mut self, line: u64) {
        self.lines.remove(&line);
        self.by_line.retain(|(owner, _), _| *owner != line);
        for call in self.calls.values_mut() {
            call.line = call.line.filter(|(owner, _)| *owner != line);
        }
        self.recount();
    }

    pub(super) fn placed(&mut self, id: CallId, worker: WorkerId, line: u64, no: CallNo) {
        self.by_line.insert((line, no), id.clone());
        let call = HubCall { worker, line: Some((line, no)), ended: false, discard: false };
        self.calls.insert(id, call);
        if let Some(worker) = self.workers.get_mut(&worker) {
            worker.busy += 1;
            self.shares.took(line, &worker.pool);
        }
    }

    /// The call is with no worker any more.
    pub(super) fn unplaced(&mut self, id: &CallId) {
        let Some(call) = self.calls.remove(id) else { return };
        if !call.ended {
            self.free_slot(call.worker, call.line);
        }
        if let Some(key) = call.line {
            self.by_line.remove(&key);
        }
    }

    pub(super) fn free_slot(&mut self, worker: WorkerId, line: Option<(u64, CallNo)>) {
        let Some(worker) = self.workers.get_mut(&worker) else { return };
        worker.busy = worker.busy.saturating_sub(1);
        if let (Some((line, _)), true) = (line, worker.is_open()) {
            self.shares.gave(line, &worker.pool);
        }
    }

    pub(super) fn id_of(&self, line: u64, no: CallNo) -> Option<&CallId> {
        self.by_line.get(&(line, no))
    }

    pub(super) fn link_of(&self, id: &CallId) -> Option<Arc<Link>> {
        self.workers.get(&self.calls.get(id)?.worker)?.link.clone()
    }

    /// Calls of a worker that are lost. `started`: whether they may have begun.
    pub(super) fn lose(&mut self, worker: WorkerId, ids: Vec<CallId>, started: bool) -> Vec<Post> {
        let name = self.workers.get(&worker).map_or_else(|| Arc::from(""), |w| Arc::clone(&w.name));
        let mut posts = Vec::new();
        for id in ids {
            let listener = self.listener(worker, &id);
            let line = self.calls.get(&id).and_then(|call| call.line).map(|(line, _)| line);
            let discard = self.calls.get(&id).is_some_and(|call| call.discard);
            self.unplaced(&id);
            if let (Some((to, call)), Some(line), false) = (listener, line, discard) {
                let result = ToolResult::Lost { started };
                let ended = Ended { result, worker: Arc::clone(&name), began_ago: None };
                let report = Report::Ended { call, ended: Box::new(ended) };
                posts.push(Post { line, to, report });
            }
        }
        posts
    }

    /// Calls that a worker has not reported, in order.
    pub(super) fn running_on(&self, worker: WorkerId) -> Vec<CallId> {
        let open = |(_, call): &(&CallId, &HubCall)| call.worker == worker && !call.ended;
        let mut ids: Vec<_> = self.calls.iter().filter(open).map(|(id, _)| id.clone()).collect();
        ids.sort_unstable();
        ids
    }

    /// Who is connected or how many slots there are has changed.
    pub(super) fn recount(&mut self) {
        self.shares.recount(&self.workers, &self.lines, &self.calls);
        self.version.send_modify(|version| *version += 1);
        self.measure();
    }

    /// Operators learn also that nobody is left in a pool.
    fn measure(&mut self) {
        let Some(instruments) = aidt_telemetry::instruments() else { return };
        self.measured.extend(self.workers.values().map(|worker| worker.pool.clone()));
        for pool in &self.measured {
            let connected = self.workers.values().filter(|w| w.pool == *pool && w.link.is_some());
            let (workers, slots) = connected.fold((0, 0), |(n, slots), w| (n + 1, slots + w.slots as usize));
            instruments.workers(pool.as_str(), workers, slots);
        }
    }
}
