//! A run in memory: its row, its steps, and the few numbers that make a command cheap.

use crate::effects::Effects;
use crate::graph::Graph;
use crate::run_states::{self, RunInput};
use crate::step_states::{self, StepInput};
use aidt_domain::{
    Attempt, CommandId, DispatchNo, Effect, Event, EventBody, Generation, OutSeq, OutputRef, Payload, RunRow, RunState,
    Seq, StepIx, StepRow, StepSpec, StepState, Timestamp,
};
use std::collections::VecDeque;
use std::sync::Arc;

/// A step in memory.
#[derive(Clone, Debug)]
pub struct Step {
    /// What is stored of it (nothing, while it is pending in its first generation).
    pub row: StepRow,
    /// Needs that have not ended.
    unmet: u32,
    /// The need that ended without success, and without `continue_on_error`.
    blocked_by: Option<StepIx>,
}

/// A run in memory. Public fields are for reading; only `apply` and `place` change them.
#[derive(Clone, Debug)]
pub struct Run {
    /// What is stored of it.
    pub row: RunRow,
    /// Its plan.
    pub graph: Arc<Graph>,
    /// Its steps, by index.
    pub steps: Vec<Step>,
    /// Steps that are not terminal.
    pub(crate) remaining: usize,
    /// Steps that are handed out and not ended.
    pub(crate) out: usize,
    /// Steps whose outcome is unknown.
    pub(crate) unknown: usize,
    /// Pending steps whose needs have all ended, not looked at yet.
    pub(crate) frontier: VecDeque<StepIx>,
    /// Cancelling: steps before this one have been looked at.
    pub(crate) swept: u32,
    /// What the events of the command at hand follow from.
    pub(crate) cause: Option<CommandId>,
    /// A timer of the run's own is set, to go on with large work.
    pub(crate) continuing: bool,
}

/// Rows that do not fit their snapshot.
#[derive(Debug, thiserror::Error)]
#[error("run {run}: {what}")]
pub struct Broken {
    run: aidt_domain::RunId,
    what: String,
}

impl Run {
    /// A run that begins: its row as accepted, all steps pending.
    #[must_use]
    pub fn new(graph: Arc<Graph>, row: RunRow) -> Self {
        let steps: Vec<Step> = graph.snapshot().steps.iter().enumerate().map(|(i, s)| Step::new(i, s)).collect();
        let mut run = Self {
            row,
            remaining: steps.len(),
            steps,
            graph,
            out: 0,
            unknown: 0,
            frontier: VecDeque::new(),
            swept: 0,
            cause: None,
            continuing: false,
        };
        run.derive();
        run
    }

    /// A run as stored.
    ///
    /// # Errors
    /// When a row names a step that the snapshot lacks.
    pub fn load(graph: Arc<Graph>, row: RunRow, rows: Vec<StepRow>) -> Result<Self, Broken> {
        let id = row.id;
        if row.snapshot != graph.digest() {
            return Err(Broken { run: id, what: format!("snapshot {} is not {}", row.snapshot, graph.digest()) });
        }
        let mut run = Self::new(graph, row);
        for row in rows {
            let ix = row.ix.0 as usize;
            let Some(step) = run.steps.get_mut(ix) else {
                return Err(Broken { run: id, what: format!("step {} is not in its snapshot", row.ix) });
            };
            step.row = row;
        }
        run.derive();
        Ok(run)
    }

    /// Everything that follows from the rows is computed from them, never stored.
    fn derive(&mut self) {
        self.remaining = 0;
        self.out = 0;
        self.unknown = 0;
        self.frontier.clear();
        for i in 0..self.steps.len() {
            let state = self.steps[i].row.state;
            self.remaining += usize::from(!state.is_terminal());
            self.out += usize::from(state.is_out());
            self.unknown += usize::from(state == StepState::Unknown);
            if state == StepState::Pending {
                self.recount(StepIx(u32::try_from(i).expect("at most 100,000 steps")));
            }
        }
        if !matches!(self.row.state, RunState::Created | RunState::Running) {
            self.frontier.clear();
        }
        // A run that is being cancelled may have a timer to go on with: clearing one too many is harmless.
        self.continuing = !self.frontier.is_empty() || self.row.state == RunState::Cancelling;
    }

    /// Counts a pending step's needs anew; one that has none left joins the frontier.
    pub(crate) fn recount(&mut self, ix: StepIx) {
        let graph = Arc::clone(&self.graph);
        let mut unmet = 0;
        let mut blocked_by = None;
        for &need in &graph.spec(ix).needs {
            let state = self.state(need);
            unmet += u32::from(!state.is_terminal());
            if state.is_terminal() && !self.satisfies(need) {
                blocked_by.get_or_insert(need);
            }
        }
        let step = &mut self.steps[ix.0 as usize];
        step.unmet = unmet;
        step.blocked_by = blocked_by;
        if unmet == 0 {
            self.frontier.push_back(ix);
        }
    }

    /// A step's state.
    #[must_use]
    pub fn state(&self, ix: StepIx) -> StepState {
        self.steps[ix.0 as usize].row.state
    }

    /// A step's row.
    #[must_use]
    pub fn step(&self, ix: StepIx) -> &StepRow {
        &self.steps[ix.0 as usize].row
    }

    /// A step's row, to note where it stands in the partition's order.
    pub fn set_out_seq(&mut self, ix: StepIx, out_seq: OutSeq) {
        self.steps[ix.0 as usize].row.out_seq = out_seq;
    }

    pub(crate) fn row_mut(&mut self, ix: StepIx) -> &mut StepRow {
        &mut self.steps[ix.0 as usize].row
    }

    pub(crate) fn spec(&self, ix: StepIx) -> &StepSpec {
        self.graph.spec(ix)
    }

    pub(crate) fn blocked_by(&self, ix: StepIx) -> Option<StepIx> {
        self.steps[ix.0 as usize].blocked_by
    }

    /// Whether whoever needs this terminal step may go on.
    pub(crate) fn satisfies(&self, ix: StepIx) -> bool {
        match self.state(ix) {
            StepState::Done => true,
            StepState::Failed => self.spec(ix).continue_on_error,
            _ => false,
        }
    }

    /// Notes that a need of `ix` has ended; whether it was the last.
    pub(crate) fn met(&mut self, ix: StepIx, need: StepIx) -> bool {
        let blocks = !self.satisfies(need);
        let step = &mut self.steps[ix.0 as usize];
        if step.row.state != StepState::Pending {
            return false;
        }
        if blocks {
            step.blocked_by.get_or_insert(need);
        }
        step.unmet -= 1;
        step.unmet == 0
    }

    /// Whether a turn may forget this run now: nothing of it is in flight in memory only.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        self.frontier.is_empty()
    }

    /// Moves a step along its table and keeps the counters. Panics on a pair that the table lacks: the
    /// callers look at the state first, and the owner turns a panic into a failed run.
    pub(crate) fn shift(&mut self, ix: StepIx, input: StepInput, fx: &mut Effects) {
        let from = self.state(ix);
        let to = step_states::next(from, input)
            .unwrap_or_else(|| panic!("step {} is {from}: {input:?} does not fit", self.step(ix).path));
        self.row_mut(ix).state = to;
        self.remaining = self.remaining + usize::from(!to.is_terminal()) - usize::from(!from.is_terminal());
        self.out = self.out + usize::from(to.is_out()) - usize::from(from.is_out());
        self.unknown = self.unknown + usize::from(to == StepState::Unknown) - usize::from(from == StepState::Unknown);
        fx.changed.push(ix);
    }

    /// Moves the run along its table, if the pair is in it.
    pub(crate) fn turn(&mut self, input: RunInput, now: Timestamp, fx: &mut Effects) -> bool {
        let Some(to) = run_states::next(self.row.state, input) else {
            return false;
        };
        self.row.state = to;
        self.row.ended_at = to.is_terminal().then_some(now);
        fx.run_changed = true;
        true
    }

    /// Appends an event about the run.
    pub(crate) fn tell(&mut self, now: Timestamp, body: EventBody, payload: Option<Payload>, fx: &mut Effects) {
        self.append(now, None, body, payload, fx);
    }

    /// Appends an event about a step.
    pub(crate) fn tell_step(
        &mut self,
        now: Timestamp,
        ix: StepIx,
        body: EventBody,
        payload: Option<Payload>,
        fx: &mut Effects,
    ) {
        self.append(now, Some(ix), body, payload, fx);
    }

    fn append(
        &mut self,
        now: Timestamp,
        ix: Option<StepIx>,
        body: EventBody,
        payload: Option<Payload>,
        fx: &mut Effects,
    ) {
        let seq = self.row.last_seq.next();
        self.row.last_seq = seq;
        self.row.updated_at = now;
        fx.run_changed = true;
        let row = ix.map(|ix| self.step(ix));
        fx.events.push(Event {
            seq,
            at: now,
            cause: self.cause,
            step: row.map(|r| r.path.clone()),
            dispatch: row.map_or(DispatchNo(0), |r| r.dispatch),
            attempt: row.map_or(Attempt(0), |r| r.attempt),
            generation: row.map_or(Generation(0), |r| r.generation),
            body,
            payload,
        });
    }

    /// Notes where an event's payload stands, once its segment is encoded.
    pub fn place(&mut self, event: &Event, at: OutputRef) {
        match (&event.body, &event.step) {
            (EventBody::RunStarted { .. }, _) => self.row.inputs = Some(at),
            (EventBody::RunDone, _) => self.row.outputs = Some(at),
            (EventBody::StepFinished { .. } | EventBody::StepResolved { .. }, Some(path)) => {
                if let Some(ix) = self.graph.find(path) {
                    self.row_mut(ix).output = Some(at);
                }
            }
            _ => {}
        }
    }

    /// Every derived number is what the rows say: for tests and the simulation.
    #[must_use]
    pub fn is_consistent(&self) -> bool {
        let mut fresh = self.clone();
        fresh.derive();
        let pending = |r: &Self| -> Vec<_> {
            let steps = r.steps.iter().filter(|s| s.row.state == StepState::Pending);
            steps.map(|s| (s.row.ix, s.unmet, s.blocked_by.is_some())).collect()
        };
        let live = self.row.state == RunState::Running;
        fresh.remaining == self.remaining
            && fresh.out == self.out
            && fresh.unknown == self.unknown
            && (!live || pending(&fresh) == pending(self))
    }
}

impl Step {
    fn new(i: usize, spec: &StepSpec) -> Self {
        let tool = spec.kind.tool();
        let row = StepRow {
            ix: StepIx(u32::try_from(i).expect("at most 100,000 steps")),
            path: spec.path.clone(),
            state: StepState::Pending,
            dispatch: DispatchNo(0),
            attempt: Attempt(1),
            generation: Generation(1),
            pool: tool.map(|t| t.pool.clone()),
            effect: tool.map_or(Effect::Read, |t| t.effect),
            priority: spec.priority,
            out_seq: OutSeq(0),
            dispatch_event: Seq(0),
            clean_attempt: None,
            ready_at: None,
            dispatched_at: None,
            started_at: None,
            ended_at: None,
            wake_at: None,
            error: None,
            output: None,
        };
        Self { row, unmet: 0, blocked_by: None }
    }
}
