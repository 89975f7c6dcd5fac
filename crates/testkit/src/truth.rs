//! What has been committed, as events tell it, and what the broker was given. Kept beside the store, at the
//! very place where a transaction takes effect.

use crate::Invariant;
use crate::ledger::Ledger;
use crate::notes::Notes;
use crate::shared::EPOCH;
use aidt_domain::{
    CommandId, DispatchNo, Effect, Event, EventBody, Generation, ProcessId, RunId, RunState, Seq, StepIx, StepPath,
    StepState, Timestamp, Verdict,
};
use std::collections::{BTreeMap, BTreeSet};

/// Names a dispatch.
pub(crate) type Key = (RunId, StepIx, DispatchNo);

/// A step, as its events tell it.
#[derive(Clone, Debug)]
pub(crate) struct StepTruth {
    pub(crate) state: StepState,
    pub(crate) dispatch: DispatchNo,
    pub(crate) generation: Generation,
    /// Not to be handed out before this.
    pub(crate) wake_at: Option<Timestamp>,
    pub(crate) dispatched_at: Timestamp,
    /// A person settled it; the failure that follows is theirs.
    resolved: bool,
}

impl StepTruth {
    fn new() -> Self {
        Self {
            state: StepState::Pending,
            dispatch: DispatchNo(0),
            generation: Generation(1),
            wake_at: None,
            dispatched_at: Timestamp(0),
            resolved: false,
        }
    }
}

/// A run, as its events tell it.
#[derive(Clone, Debug)]
pub(crate) struct RunTruth {
    pub(crate) state: RunState,
    pub(crate) last: Seq,
    pub(crate) at: Timestamp,
    pub(crate) steps: BTreeMap<StepIx, StepTruth>,
    /// Effect classes by step.
    pub(crate) effects: Vec<Effect>,
    /// Ended because what follows could not be stored.
    pub(crate) poisoned: bool,
}

#[derive(Debug, Default)]
pub(crate) struct Truth {
    pub(crate) runs: BTreeMap<RunId, RunTruth>,
    /// Effect classes of submitted runs.
    pub(crate) submitted: BTreeMap<RunId, Vec<Effect>>,
    /// Dispatches that a decision on record allows.
    pub(crate) allowed: BTreeSet<Key>,
    /// Claimed (or, `None`, burned).
    pub(crate) claims: BTreeMap<Key, Option<ProcessId>>,
    /// Dispatches of which a message was published since the broker was last wiped.
    pub(crate) published: BTreeSet<Key>,
    /// Dispatches of which a result was published or handed over, ever.
    pub(crate) reported: BTreeSet<Key>,
    /// Commands that were answered by an event.
    pub(crate) answered: BTreeSet<CommandId>,
}

/// Steps of the simulation are named `s` and their index.
pub(crate) fn index(path: &StepPath) -> StepIx {
    StepIx(path.as_str().trim_start_matches('s').parse().unwrap_or(u32::MAX))
}

/// What an event is held against.
pub(crate) struct Witness<'a> {
    pub(crate) notes: &'a mut Notes,
    pub(crate) ledger: &'a Ledger,
    pub(crate) now: Timestamp,
}

impl Witness<'_> {
    fn breaks(&mut self, invariant: Invariant, why: impl FnOnce() -> String) {
        self.notes.breaks(Timestamp(self.now.0 - EPOCH.0), invariant, why);
    }
}

impl Truth {
    /// The step's current dispatch is out and is this one.
    pub(crate) fn is_out(&self, (run, step, dispatch): Key) -> bool {
        let Some(truth) = self.runs.get(&run) else { return false };
        let current = truth.steps.get(&step).is_some_and(|s| s.dispatch == dispatch && s.state.is_out());
        current && !truth.state.is_terminal() && !truth.poisoned
    }

    /// An event was committed.
    pub(crate) fn committed(&mut self, run: RunId, event: &Event, witness: &mut Witness<'_>) {
        let submitted = &self.submitted;
        let truth = self.runs.entry(run).or_insert_with(|| RunTruth {
            state: RunState::Created,
            last: Seq(0),
            at: Timestamp(0),
            steps: BTreeMap::new(),
            effects: submitted.get(&run).cloned().unwrap_or_default(),
            poisoned: false,
        });
        if event.seq != truth.last.next() || event.at < truth.at {
            let (last, at) = (truth.last, truth.at);
            witness.breaks(Invariant::HistoryGapless, || {
                format!("{run}: event {} of {} follows event {last} of {at}", event.seq, event.at)
            });
        }
        if event.at > witness.now {
            let now = witness.now;
            witness.breaks(Invariant::Time, || {
                format!("{run}: event {} is dated {} at {now} of the store's clock", event.seq, event.at)
            });
        }
        truth.last = event.seq;
        truth.at = event.at;
        self.answered.extend(event.cause);
        match event.step.as_ref().map(index) {
            Some(ix) => {
                if let EventBody::StepDispatched { decision, .. } = &event.body
                    && matches!(decision.verdict, Verdict::Allow | Verdict::Transform)
                {
                    self.allowed.insert((run, ix, event.dispatch));
                }
                step_event(run, truth, ix, event, witness);
            }
            None => run_event(run, truth, event, witness),
        }
    }
}

fn run_event(run: RunId, truth: &mut RunTruth, event: &Event, witness: &mut Witness<'_>) {
    let before = truth.state;
    truth.state = match &event.body {
        EventBody::RunStarted { .. } => RunState::Running,
        EventBody::RunCancelling { .. } => RunState::Cancelling,
        EventBody::RunCancelled { .. } => RunState::Cancelled,
        EventBody::RunDone => RunState::Done,
        EventBody::RunFailed { error } => {
            truth.poisoned |= error.code == aidt_domain::ErrorCode::Internal;
            RunState::Failed
        }
        EventBody::RunReopened { steps, .. } => {
            for path in steps {
                reset(truth.steps.entry(index(path)).or_insert_with(StepTruth::new));
            }
            truth.poisoned = false;
            RunState::Running
        }
        _ => before,
    };
    if event.body.ends_run() && before.is_terminal() {
        witness.breaks(Invariant::CancelWinsOrLoses, || format!("{run} ended twice: {before}, then {}", truth.state));
    }
}

fn reset(step: &mut StepTruth) {
    step.state = StepState::Pending;
    step.generation = step.generation.next();
    step.wake_at = None;
    step.resolved = false;
}

fn step_event(run: RunId, truth: &mut RunTruth, ix: StepIx, event: &Event, witness: &mut Witness<'_>) {
    let effect = truth.effects.get(ix.0 as usize).copied().unwrap_or(Effect::Read);
    let (state, poisoned) = (truth.state, truth.poisoned);
    let step = truth.steps.entry(ix).or_insert_with(StepTruth::new);
    if matches!(event.body, EventBody::StepDispatched { .. }) {
        return handed_out(run, state, ix, step, event, witness);
    }
    let why = why(run, ix, step.state, event);
    if event.dispatch != step.dispatch {
        let current = step.dispatch;
        witness.breaks(Invariant::RecordedOnce, || why(&format!("the current dispatch is {current}")));
    }
    let is_open = step.state.is_out() || step.state == StepState::Unknown;
    let unsure = effect == Effect::Once
        && !poisoned
        && is_open
        && witness.ledger.of(run, ix, event.dispatch).any(|e| e.happened || e.is_unclear());
    if unsure && !step.resolved {
        check_unsure(&event.body, witness, &why);
    }
    check_once(step.state, effect, event, witness, &why);
    follow(step, &event.body);
}

/// What happened to which step, for a violation.
fn why(run: RunId, ix: StepIx, was: StepState, event: &Event) -> impl Fn(&str) -> String {
    let (kind, dispatch) = (event.body.kind(), event.dispatch);
    move |what| format!("{run} step {ix} dispatch {dispatch}: {kind} while {was}: {what}")
}

fn handed_out(run: RunId, state: RunState, ix: StepIx, step: &mut StepTruth, event: &Event, witness: &mut Witness<'_>) {
    let why = why(run, ix, step.state, event);
    if event.dispatch != step.dispatch.next() || step.state.is_out() || step.state.is_terminal() {
        witness.breaks(Invariant::RecordedOnce, || why("handed out though it is out or over"));
    }
    if state != RunState::Running {
        witness.breaks(Invariant::CancelWinsOrLoses, || why("handed out though its run is not running"));
    }
    if let Some(wake) = step.wake_at.take()
        && witness.now < wake
    {
        witness.breaks(Invariant::Time, || why(&format!("it was not to start before {wake}")));
    }
    step.dispatch = event.dispatch;
    step.dispatched_at = witness.now;
    step.state = StepState::Dispatched;
}

/// A `once` call may have had its effect: that is not a failure, and no reason for another try.
fn check_unsure(body: &EventBody, witness: &mut Witness<'_>, why: &dyn Fn(&str) -> String) {
    match body {
        EventBody::StepFailed { .. } | EventBody::StepRetrying { .. } | EventBody::StepRequeued { .. } => {
            witness.breaks(Invariant::EffectsAsClassed, || why("nobody knows that its effect did not happen"));
        }
        EventBody::StepCancelled { .. } => {
            witness.breaks(Invariant::CancelWinsOrLoses, || why("somebody runs it, or has run it"));
        }
        _ => {}
    }
}

/// An end is recorded for what had not ended, from a result of this very dispatch.
fn check_once(was: StepState, effect: Effect, event: &Event, witness: &mut Witness<'_>, why: &dyn Fn(&str) -> String) {
    let over = match &event.body {
        EventBody::StepFinished { .. } => !was.is_out() && was != StepState::Unknown,
        EventBody::StepFailed { .. } | EventBody::StepCancelled { .. } | EventBody::StepSkipped { .. } => {
            was.is_terminal()
        }
        EventBody::StepUnknown { .. } | EventBody::StepStarted { .. } => !was.is_out(),
        EventBody::StepResolved { .. } => was != StepState::Unknown,
        _ => false,
    };
    if over {
        witness.breaks(Invariant::RecordedOnce, || why("its dispatch is over"));
    }
    match &event.body {
        EventBody::StepFinished { .. } => check_output(event, witness, why),
        EventBody::StepUnknown { .. } if effect != Effect::Once => {
            witness.breaks(Invariant::EffectsAsClassed, || why("its effect is not once"));
        }
        _ => {}
    }
}

/// The state that an event says a step is in.
fn follow(step: &mut StepTruth, body: &EventBody) {
    match body {
        EventBody::StepStarted { .. } => step.state = StepState::Running,
        EventBody::StepFinished { .. } => step.state = StepState::Done,
        EventBody::StepFailed { .. } => step.state = StepState::Failed,
        EventBody::StepRetrying { until, .. } => {
            step.wake_at = Some(*until);
            step.state = StepState::BackingOff;
        }
        EventBody::StepRequeued { until, .. } => {
            step.wake_at = *until;
            step.state = if until.is_some() { StepState::BackingOff } else { StepState::Ready };
        }
        EventBody::StepUnknown { .. } => step.state = StepState::Unknown,
        EventBody::StepResolved { resolve, .. } => match resolve.as_str() {
            "done" => step.state = StepState::Done,
            "retry" => reset(step),
            _ => step.resolved = true,
        },
        EventBody::StepCancelled { .. } => step.state = StepState::Cancelled,
        EventBody::StepSkipped { .. } => step.state = StepState::Skipped,
        EventBody::StepDenied { .. } => step.state = StepState::Denied,
        _ => {}
    }
}

/// Workers of the simulation write the dispatch into their output.
fn check_output(event: &Event, witness: &mut Witness<'_>, why: &dyn Fn(&str) -> String) {
    let output = event.payload.as_ref().and_then(|p| serde_json::from_slice::<serde_json::Value>(&p.bytes).ok());
    let of = output.as_ref().and_then(|o| o.get("d")).and_then(serde_json::Value::as_u64);
    if of != Some(u64::from(event.dispatch.0)) {
        witness.breaks(Invariant::RecordedOnce, || why(&format!("its output is of dispatch {of:?}")));
    }
}
