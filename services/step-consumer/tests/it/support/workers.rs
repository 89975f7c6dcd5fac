//! Workers that the test plays.

use super::rows::entry;
use super::{LONG, pool};
use aidt_domain::{EffectHint, ErrorCode, Failure, Labels, Pool};
use aidt_step_consumer::{CallNo, Ended, NoPlace, PoolSlots, Report, Roster, Settled, ToolCall, ToolResult, Workers};
use async_trait::async_trait;
use bytes::Bytes;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;

#[derive(Debug)]
pub(crate) struct FakeWorkers {
    state: Mutex<State>,
    roster: watch::Sender<Roster>,
    calls: mpsc::UnboundedSender<ToolCall>,
    started: tokio::sync::Mutex<mpsc::UnboundedReceiver<ToolCall>>,
}

#[derive(Debug, Default)]
pub(crate) struct State {
    reports: Option<mpsc::Sender<Report>>,
    pub(crate) running: BTreeMap<CallNo, ToolCall>,
    pub(crate) cancelled: Vec<(CallNo, String)>,
    pub(crate) settled: Vec<Settled>,
    pub(crate) left: Vec<CallNo>,
    pub(crate) most_running: usize,
    /// Every slot turns out to be busy.
    pub(crate) refuse: bool,
}

impl FakeWorkers {
    pub(crate) fn new(slots: u32) -> Arc<Self> {
        let (calls, started) = mpsc::unbounded_channel();
        let this = Self {
            state: Mutex::default(),
            roster: watch::Sender::new(Roster::default()),
            calls,
            started: tokio::sync::Mutex::new(started),
        };
        this.set_slots(slots);
        Arc::new(this)
    }

    pub(crate) fn set_slots(&self, slots: u32) {
        self.roster.send_modify(|roster| {
            roster.version += 1;
            roster.pools = match slots {
                0 => BTreeMap::new(),
                _ => [(pool(), PoolSlots { total: slots, share: slots })].into(),
            };
            roster.tools = vec![entry()];
        });
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// The step consumer is gone: its calls are nobody's.
    pub(crate) fn restart(&self) {
        *self.state() = State::default();
    }

    /// The next call that is started.
    pub(crate) async fn started(&self) -> ToolCall {
        timeout(LONG, self.started.lock().await.recv()).await.expect("a call is started").unwrap()
    }

    /// No call is started for a long time.
    pub(crate) async fn none_started(&self) {
        let started = timeout(LONG, self.started.lock().await.recv()).await;
        assert!(started.is_err(), "{started:?} should not have been started");
    }

    pub(crate) async fn say(&self, report: Report) {
        let reports = self.state().reports.clone().expect("attached");
        reports.send(report).await.unwrap();
    }

    pub(crate) async fn end(&self, call: CallNo, result: ToolResult) {
        self.state().running.remove(&call);
        let ended = Ended { result, worker: "fake".into(), began_ago: None };
        self.say(Report::Ended { call, ended: Box::new(ended) }).await;
    }

    pub(crate) async fn done(&self, call: CallNo) {
        self.end(call, done()).await;
    }
}

pub(crate) fn done() -> ToolResult {
    ToolResult::Done { output: Bytes::from_static(b"1"), labels: Labels::NONE, workspace: None }
}

pub(crate) fn stopped(effect: EffectHint) -> ToolResult {
    ToolResult::Cancelled(Failure { effect, ..Failure::fatal(ErrorCode::Cancelled, "stopped") })
}

#[async_trait]
impl Workers for FakeWorkers {
    fn attach(&self, reports: mpsc::Sender<Report>) {
        self.state().reports = Some(reports);
    }

    fn roster(&self) -> Roster {
        self.roster.borrow().clone()
    }

    fn free(&self, pool: &Pool) -> u32 {
        let share = self.roster.borrow().pools.get(pool).map_or(0, |slots| slots.share);
        share.saturating_sub(u32::try_from(self.state().running.len()).unwrap())
    }

    async fn changed(&self, seen: u64) {
        let _ = self.roster.subscribe().wait_for(|roster| roster.version != seen).await;
    }

    fn start(&self, call: ToolCall) -> Result<(), NoPlace> {
        if call.step.entry != entry() {
            return Err(NoPlace::Unserved);
        }
        if self.free(&call.step.pool) == 0 || self.state().refuse {
            return Err(NoPlace::Full);
        }
        let mut state = self.state();
        state.running.insert(call.no, call.clone());
        state.most_running = state.most_running.max(state.running.len());
        let _ = self.calls.send(call);
        Ok(())
    }

    fn cancel(&self, call: CallNo, reason: &str) {
        self.state().cancelled.push((call, reason.to_owned()));
    }

    fn leave(&self, call: CallNo) {
        let mut state = self.state();
        state.running.remove(&call);
        state.left.push(call);
    }

    fn settle(&self, results: &[Settled]) {
        self.state().settled.extend(results);
    }
}
