//! Results: whose they are, and when their workers may forget them.

use super::frames::{CallId, Said};
use super::route::Sealer;
use super::state::{Post, State};
use crate::workers::{CallNo, Ended, Orphan, Report, Settled};
use aidt_domain::WorkerId;
use aidt_proto::v1::{ResultAck, hub_frame::Frame};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::Instant;

/// Orphans that wait for a step consumer to attach.
const WAITING: usize = 1024;

/// What one worker said, and what is to be done about it.
pub(super) enum Heard {
    /// Hand it on.
    Post(Post),
    /// Nothing to do.
    Nothing,
    /// It bears no route of ours: it stays with the worker, which forgets it by itself.
    Unroutable,
}

impl State {
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
}
