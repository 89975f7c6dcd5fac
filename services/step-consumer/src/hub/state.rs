//! Who is connected, and which call is where.

use super::frames::{CallId, Said};
use super::link::Link;
use super::place::Shares;
use super::route::Sealer;
use crate::workers::{CallNo, Ended, Orphan, Report, Settled, ToolResult};
use aidt_domain::{Digest, Pool, WorkerId};
use aidt_proto::v1::{ResultAck, hub_frame::Frame};
use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

/// Orphans that wait for a step consumer to attach.
const WAITING: usize = 1024;

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

/// What one worker said, and what is to be done about it.
pub(super) enum Heard {
    /// Hand it on.
    Post(Post),
    /// Nothing to do.
    Nothing,
    /// It bears no route of ours: it stays with the worker, which forgets it by itself.
    Unroutable,
}

#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) workers: BTreeMap<WorkerId, Worker>,
    /// Looked up; iterated only where the order cannot be seen.
    pub(super) calls: HashMap<CallId, HubCall>,
    by_line: HashMap<(u64, CallNo), CallId>,
    pub(super) lines: BTreeMap<u64, Option<mpsc::Sender<Report>>>,
    orphans: BTreeMap<u64, (WorkerId, CallId)>,
    next_orphan: u64,
    waiting: VecDeque<Orphan>,
    pub(super) shares: Shares,
    /// The roster's version: whoever waits for a change watches it.
    pub(super) version: watch::Sender<u64>,
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

    fn free_slot(&mut self, worker: WorkerId, line: Option<(u64, CallNo)>) {
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

    /// Where a sign of life of this call goes.
    pub(super) fn listener(&self, worker: WorkerId, id: &CallId) -> Option<(mpsc::Sender<Report>, CallNo)> {
        let call = self.calls.get(id).filter(|call| call.worker == worker && !call.ended)?;
        let (line, no) = call.line?;
        Some((self.lines.get(&line)?.clone()?, no))
    }

    /// A worker reported a result.
    pub(super) fn hear(&mut self, worker: WorkerId, said: &Said, sealer: &Sealer, now: Instant) -> Heard {
        let ended = self.ended(worker, said, now);
        let Some(call) = self.calls.get_mut(&said.id).filter(|call| call.worker == worker) else {
            return self.orphaned(worker, said, ended, sealer);
        };
        if call.ended {
            return Heard::Nothing;
        }
        if call.discard {
            self.unplaced(&said.id);
            self.ack(worker, &said.id);
            return Heard::Nothing;
        }
        let Some((line, no)) = call.line else {
            self.unplaced(&said.id);
            return self.orphaned(worker, said, ended, sealer);
        };
        let Some(Some(to)) = self.lines.get(&line).cloned() else { return Heard::Nothing };
        call.ended = true;
        self.free_slot(worker, Some((line, no)));
        let report = Report::Ended { call: no, ended: Box::new(ended) };
        Heard::Post(Post { line, to, report })
    }

    fn ended(&self, worker: WorkerId, said: &Said, now: Instant) -> Ended {
        let known = self.workers.get(&worker);
        let clock = known.and_then(|w| w.link.as_ref()).map(|link| link.worker_clock(now));
        let began_ago = clock
            .zip(said.started_ms)
            .map(|(clock, started)| Duration::from_millis(u64::try_from(clock.saturating_sub(started)).unwrap_or(0)));
        let name = known.map_or_else(|| Arc::from(""), |w| Arc::clone(&w.name));
        Ended { result: said.result.clone(), worker: name, began_ago }
    }

    /// A result that nobody here waits for is forwarded by its route.
    fn orphaned(&mut self, worker: WorkerId, said: &Said, ended: Ended, sealer: &Sealer) -> Heard {
        if self.workers.get_mut(&worker).is_some_and(|w| w.foreign.remove(&said.id)) {
            self.recount();
        }
        let Some(route) = sealer.open(&said.route) else { return Heard::Unroutable };
        self.next_orphan += 1;
        let no = self.next_orphan;
        self.orphans.insert(no, (worker, said.id.clone()));
        let orphan = Orphan { no, route, ended };
        let attached = self.lines.iter().find_map(|(line, to)| Some((*line, to.clone()?)));
        match attached {
            Some((line, to)) => Heard::Post(Post { line, to, report: Report::Orphan(Box::new(orphan)) }),
            None if self.waiting.len() < WAITING => {
                self.waiting.push_back(orphan);
                Heard::Nothing
            }
            None => Heard::Nothing,
        }
    }

    /// A post could not be delivered: its step consumer is gone. A result begins anew as an orphan when
    /// its worker reports it again.
    pub(super) fn undelivered(&mut self, post: &Post) {
        if let Report::Ended { call, .. } = &post.report
            && let Some(id) = self.by_line.get(&(post.line, *call)).cloned()
        {
            self.calls.remove(&id);
        }
        self.drop_line(post.line);
    }

    /// The result is safe: the worker may forget it.
    pub(super) fn settle(&mut self, line: u64, results: &[Settled]) {
        for result in results {
            match result {
                Settled::Call(no) => {
                    let Some(id) = self.by_line.get(&(line, *no)).cloned() else { continue };
                    let worker = self.calls.get(&id).map(|call| call.worker);
                    self.unplaced(&id);
                    if let Some(worker) = worker {
                        self.ack(worker, &id);
                    }
                }
                Settled::Orphan(no) => {
                    if let Some((worker, id)) = self.orphans.remove(no) {
                        self.ack(worker, &id);
                    }
                }
            }
        }
    }

    fn ack(&self, worker: WorkerId, id: &CallId) {
        let link = self.workers.get(&worker).and_then(|worker| worker.link.as_ref());
        if let Some(link) = link {
            link.send(Frame::ResultAck(ResultAck { id: Some(id.write()) }));
            if self.is_drained(worker) {
                link.closed.cancel();
            }
        }
    }

    /// The worker wanted no more calls, and its last is settled.
    pub(super) fn is_drained(&self, worker: WorkerId) -> bool {
        self.workers.get(&worker).filter(|w| w.draining).is_some_and(|entry| {
            let running = entry.busy > 0 || !entry.foreign.is_empty();
            !running && !self.calls.values().any(|call| call.worker == worker)
        })
    }

    /// Another executor has the dispatch: the result is thrown away when it comes.
    pub(super) fn leave(&mut self, line: u64, no: CallNo) {
        let Some(id) = self.by_line.get(&(line, no)).cloned() else { return };
        match self.calls.get_mut(&id) {
            Some(call) if call.ended => {
                let worker = call.worker;
                self.unplaced(&id);
                self.ack(worker, &id);
            }
            Some(call) => call.discard = true,
            None => {}
        }
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
    }
}
