//! Workers: they outlive the processes that they are connected to, and report again what nobody settled.

use crate::process::Process;
use crate::tool;
use aidt_domain::{Digest, Pool};
use aidt_step_consumer::{
    CallNo, Ended, NoPlace, Orphan, PoolSlots, Report, Roster, Route, Settled, ToolCall, Workers,
};
use async_trait::async_trait;
use futures::future::BoxFuture;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::{Notify, mpsc};
use tokio_util::sync::CancellationToken;

/// Something that goes on beside the processes.
pub(crate) type Job = BoxFuture<'static, ()>;

/// A call, by the view that placed it.
pub(crate) type Placed = (u64, CallNo);

#[derive(Clone, Debug)]
pub(crate) struct Signals {
    /// Asked to stop.
    pub(crate) cancel: CancellationToken,
    /// The worker is gone.
    pub(crate) lost: CancellationToken,
}

#[derive(Debug)]
struct Calling {
    signals: Signals,
    /// It runs inside the process and dies with it.
    is_agent: bool,
    left: bool,
}

#[derive(Debug, Default)]
struct State {
    slots: u32,
    version: u64,
    /// Views so far; only the last one is served.
    views: u64,
    reports: Option<mpsc::Sender<Report>>,
    calls: BTreeMap<Placed, Calling>,
    unsettled: BTreeMap<Placed, (Route, Ended)>,
    orphans: BTreeMap<u64, Placed>,
}

/// The workers on one host.
#[derive(Debug)]
pub(crate) struct Host {
    pub(crate) pool: Pool,
    pub(crate) tools: Vec<Digest>,
    state: Mutex<State>,
    changed: Notify,
}

impl Host {
    pub(crate) fn new(pool: Pool, tools: Vec<Digest>, slots: u32) -> Arc<Self> {
        let state = Mutex::new(State { slots, version: 1, ..State::default() });
        Arc::new(Self { pool, tools, state, changed: Notify::new() })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Workers come and go.
    pub(crate) fn resize(&self, slots: u32) {
        {
            let mut state = self.state();
            state.slots = slots;
            state.version += 1;
        }
        self.changed.notify_waiters();
    }

    /// All workers vanish, with what they run and have not reported.
    pub(crate) fn lose_workers(&self) {
        let lost: Vec<_> = {
            let mut state = self.state();
            let views = state.views;
            state.unsettled.retain(|(view, _), _| *view == views);
            state.calls.values().filter(|c| !c.is_agent).map(|c| c.signals.lost.clone()).collect()
        };
        lost.iter().for_each(CancellationToken::cancel);
    }

    /// A call ended: told to whoever placed it, or kept for the next.
    pub(crate) async fn ended(&self, placed: Placed, route: Route, ended: Ended) {
        let reports = {
            let mut state = self.state();
            let Some(call) = state.calls.remove(&placed) else { return };
            if call.left {
                return;
            }
            let lost = matches!(ended.result, aidt_step_consumer::ToolResult::Lost { .. });
            if !lost {
                state.unsettled.insert(placed, (route, ended.clone()));
            }
            state.reports.clone().filter(|_| placed.0 == state.views)
        };
        if let Some(reports) = reports {
            // An error: the process is gone. The next view is told.
            let _ = reports.send(Report::Ended { call: placed.1, ended: Box::new(ended) }).await;
        }
    }

    /// A call is over, and nobody is told how.
    pub(crate) fn forget(&self, placed: Placed) {
        self.state().calls.remove(&placed);
    }

    /// Text and signs of life.
    pub(crate) async fn says(&self, view: u64, report: Report) {
        let reports = {
            let state = self.state();
            state.reports.clone().filter(|_| view == state.views)
        };
        if let Some(reports) = reports {
            let _ = reports.send(report).await;
        }
    }
}

/// The workers as one step consumer sees them.
#[derive(Debug)]
pub(crate) struct View {
    host: Arc<Host>,
    process: Arc<Process>,
    number: u64,
}

impl View {
    pub(crate) fn open(host: Arc<Host>, process: Arc<Process>) -> Arc<Self> {
        let number = {
            let mut state = host.state();
            state.views += 1;
            state.reports = None;
            let views = state.views;
            state.calls.retain(|(view, _), call| !call.is_agent || *view == views);
            views
        };
        Arc::new(Self { host, process, number })
    }

    fn job(&self, job: Job) {
        // The world ends before its jobs do.
        let _ = self.process.world.jobs.send(job);
    }
}

#[async_trait]
impl Workers for View {
    fn attach(&self, reports: mpsc::Sender<Report>) {
        let orphans: Vec<Report> = {
            let mut state = self.host.state();
            if state.views != self.number {
                return;
            }
            state.reports = Some(reports.clone());
            let earlier: Vec<_> =
                state.unsettled.iter().map(|(p, (route, ended))| (*p, route.clone(), ended.clone())).collect();
            let mut told = Vec::new();
            for (placed, route, ended) in earlier.into_iter().filter(|((view, _), ..)| *view != self.number) {
                let no = state.orphans.last_key_value().map_or(1, |(no, _)| no + 1);
                state.orphans.insert(no, placed);
                told.push(Report::Orphan(Box::new(Orphan { no, route, ended })));
            }
            told
        };
        if orphans.is_empty() {
            return;
        }
        self.process
            .world
            .line(|| format!("{} is told of {} results of an earlier life", self.process.id, orphans.len()));
        self.job(Box::pin(async move {
            for orphan in orphans {
                if reports.send(orphan).await.is_err() {
                    return;
                }
            }
        }));
    }

    fn roster(&self) -> Roster {
        let state = self.host.state();
        let slots = PoolSlots { total: state.slots, share: state.slots };
        let pools = BTreeMap::from([(self.host.pool.clone(), slots)]);
        Roster { version: state.version, pools, tools: self.host.tools.clone() }
    }

    fn free(&self, pool: &Pool) -> u32 {
        let state = self.host.state();
        if *pool != self.host.pool {
            return 0;
        }
        state.slots.saturating_sub(u32::try_from(state.calls.len()).unwrap_or(u32::MAX))
    }

    async fn changed(&self, seen: u64) {
        loop {
            let changed = self.host.changed.notified();
            if self.host.state().version != seen {
                return;
            }
            changed.await;
        }
    }

    fn start(&self, call: ToolCall) -> Result<(), NoPlace> {
        if self.free(&call.step.pool) == 0 {
            return Err(NoPlace::Full);
        }
        let signals = Signals { cancel: CancellationToken::new(), lost: CancellationToken::new() };
        let placed = (self.number, call.no);
        let is_agent = call.step.tool == tool::AGENT;
        let calling = Calling { signals: signals.clone(), is_agent, left: false };
        self.host.state().calls.insert(placed, calling);
        let (host, process) = (Arc::clone(&self.host), Arc::clone(&self.process));
        if is_agent {
            let agent = crate::agent::execute(host, Arc::clone(&process), placed, call, signals);
            let agent = process.fate.bind(false, agent);
            self.job(Box::pin(async move {
                agent.await;
            }));
        } else {
            self.job(Box::pin(tool::execute(host, Arc::clone(&process.world), placed, call, signals)));
        }
        Ok(())
    }

    fn cancel(&self, call: CallNo, _reason: &str) {
        if let Some(calling) = self.host.state().calls.get(&(self.number, call)) {
            calling.signals.cancel.cancel();
        }
    }

    fn leave(&self, call: CallNo) {
        let mut state = self.host.state();
        state.unsettled.remove(&(self.number, call));
        if let Some(calling) = state.calls.get_mut(&(self.number, call)) {
            calling.left = true;
        }
    }

    fn settle(&self, results: &[Settled]) {
        let mut state = self.host.state();
        for settled in results {
            let placed = match settled {
                Settled::Call(no) => Some((self.number, *no)),
                Settled::Orphan(no) => state.orphans.remove(no),
            };
            placed.map(|placed| state.unsettled.remove(&placed));
        }
    }
}
