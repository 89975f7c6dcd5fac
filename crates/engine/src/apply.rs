//! One command.

use crate::effects::Effects;
use crate::run::Run;
use crate::run_states::RunInput;
use crate::step_states::StepInput;
use crate::{BACKSTOP_MS, CHUNK};
use aidt_domain::{
    Command, CommandBody, DispatchNo, ErrorCode, EventBody, Failure, Finished, Judged, Labels, Outcome, Payload,
    ProcessId, RunState, Start, StepIx, StepState, Timestamp, Verdict,
};
use bytes::Bytes;
use std::time::Duration;

impl Run {
    /// Applies one command at `now` (the store's time as the owner estimates it; never taken below the
    /// run's last event). What follows is added to `fx`; a command that does not fit changes nothing but
    /// history, which gets a `command_refused` if the command has an id.
    ///
    /// Cost: O(what it unblocks). What starts or cancels more than [`CHUNK`] steps goes on at
    /// `TimerDue { step: None }`, for which it sets a timer.
    ///
    /// # Panics
    /// Only on a defect: a transition that the tables lack. The owner catches it and ends the run.
    pub fn apply(&mut self, command: &Command, now: Timestamp, fx: &mut Effects) {
        let now = now.max(self.row.updated_at);
        self.cause = command.id;
        match &command.body {
            CommandBody::Start(start) => self.start(start, now, fx),
            CommandBody::Cancel { reason } => self.cancel(&command.actor.0, reason, now, fx),
            CommandBody::Retry(scope) => self.retry(scope, &command.actor.0, now, fx),
            CommandBody::Resolve { step, resolve } => self.resolve(step, resolve, &command.actor.0, now, fx),
            CommandBody::Finished(finished) => self.finished(finished, now, fx),
            CommandBody::Started { step, dispatch, process, at } => {
                self.started(*step, *dispatch, *process, *at, now, fx);
            }
            CommandBody::Progress { step, dispatch, offset, text } => {
                self.progress(*step, *dispatch, *offset, text, now, fx);
            }
            CommandBody::Conditioned { step, wanted } => self.conditioned(*step, wanted, now, fx),
            CommandBody::Judged { step, judged } => self.judged(*step, judged, now, fx),
            CommandBody::Concluded(outputs, labels) => self.concluded(outputs, labels, now, fx),
            CommandBody::Burned { step, dispatch, won } => self.burned(*step, *dispatch, *won, now, fx),
            CommandBody::TimerDue { step: Some(step) } => self.timer_due(*step, now, fx),
            CommandBody::TimerDue { step: None } => {}
            CommandBody::ProcessDead { step, dispatch } => self.process_dead(*step, *dispatch, now, fx),
            CommandBody::Poisoned(failure) => self.poisoned(failure, now, fx),
        }
        self.advance(now, fx);
        self.cause = None;
    }

    fn start(&mut self, start: &Start, now: Timestamp, fx: &mut Effects) {
        if !self.turn(RunInput::Started, now, fx) {
            return self.refuse("start", ErrorCode::NotApplicable, "the run has started already", now, fx);
        }
        let inputs = serde_json::to_vec(&start.inputs).expect("a map with string keys");
        let body = EventBody::RunStarted {
            plan: self.row.plan.clone(),
            snapshot: self.row.snapshot,
            labels: self.row.labels.clone(),
            by: self.row.submitted_by.clone(),
        };
        let payload = Payload { name: "inputs", bytes: inputs.into(), labels: start.input_labels.clone() };
        self.tell(now, body, Some(payload), fx);
    }

    fn conditioned(&mut self, ix: StepIx, wanted: &Result<bool, Failure>, now: Timestamp, fx: &mut Effects) {
        if self.state(ix) != StepState::Pending || self.row.state != RunState::Running {
            return;
        }
        match wanted {
            Ok(true) => self.make_ready(ix, StepInput::Wanted, now, fx),
            Ok(false) => self.skip(ix, "condition".to_owned(), now, fx),
            Err(failure) => self.fail(ix, StepInput::Unrenderable, failure.clone(), "", now, fx),
        }
    }

    fn judged(&mut self, ix: StepIx, judged: &Result<Box<Judged>, Failure>, now: Timestamp, fx: &mut Effects) {
        if self.state(ix) != StepState::Ready || self.row.state != RunState::Running {
            return;
        }
        match judged {
            Err(failure) => self.fail(ix, StepInput::Unrenderable, failure.clone(), "", now, fx),
            Ok(judged) => match judged.decision.verdict {
                Verdict::Allow | Verdict::Transform => self.dispatch(ix, judged, now, fx),
                Verdict::Deny | Verdict::Escalate => self.deny(ix, &judged.decision, now, fx),
            },
        }
    }

    fn dispatch(&mut self, ix: StepIx, judged: &Judged, now: Timestamp, fx: &mut Effects) {
        self.shift(ix, StepInput::Allowed, fx);
        let spec = self.graph.clone();
        let spec = spec.spec(ix);
        let tool = spec.kind.tool().expect("only tool steps are judged here");
        let queue = spec.timeouts.queue_ms.map(Duration::from_millis);
        let commit = if tool.uses_workspace() { self.row.head.clone() } else { None };
        let seq = self.row.last_seq.next();
        let row = self.row_mut(ix);
        row.dispatch = row.dispatch.next();
        row.dispatched_at = Some(now);
        row.dispatch_event = seq;
        row.started_at = None;
        let queue_deadline = queue.and_then(|q| row.ready_at.map(|at| at.plus(q)));
        let body = EventBody::StepDispatched {
            tool: tool.name.clone(),
            pool: tool.pool.clone(),
            decision: judged.decision.clone(),
            commit,
            queue_deadline,
        };
        let payload = Payload { name: "arguments", bytes: judged.arguments.clone(), labels: judged.labels.clone() };
        self.tell_step(now, ix, body, Some(payload), fx);
        fx.dispatched.push(ix);
    }

    fn started(
        &mut self,
        ix: StepIx,
        dispatch: DispatchNo,
        process: ProcessId,
        at: Timestamp,
        now: Timestamp,
        fx: &mut Effects,
    ) {
        if !self.is_current(ix, dispatch) || self.state(ix) != StepState::Dispatched {
            return;
        }
        self.shift(ix, StepInput::Claimed, fx);
        self.row_mut(ix).started_at = Some(at.min(now));
        if self.spec(ix).timeouts.queue_ms.is_some() && self.row.state != RunState::Cancelling {
            fx.clear_timer(Some(ix));
        }
        fx.backstops.push((self.backstop(ix), ix));
        self.tell_step(now, ix, EventBody::StepStarted { process }, None, fx);
        if self.row.state == RunState::Cancelling {
            fx.stops.push((ix, dispatch));
        }
    }

    /// When the owner gives up a running step that its step consumer should have ended.
    #[must_use]
    pub fn backstop(&self, ix: StepIx) -> Timestamp {
        let row = self.step(ix);
        let since = row.started_at.or(row.dispatched_at).unwrap_or_default();
        since.plus(self.spec(ix).timeouts.run()).plus(Duration::from_millis(BACKSTOP_MS))
    }

    fn progress(
        &mut self,
        ix: StepIx,
        dispatch: DispatchNo,
        offset: u64,
        text: &str,
        now: Timestamp,
        fx: &mut Effects,
    ) {
        if self.is_current(ix, dispatch) && self.state(ix).is_out() {
            let bytes = serde_json::to_vec(text).expect("text");
            let payload = Payload { name: "text", bytes: bytes.into(), labels: Labels::one("unknown") };
            self.tell_step(now, ix, EventBody::StepProgress { offset }, Some(payload), fx);
        }
    }

    fn concluded(&mut self, outputs: &Result<Bytes, Failure>, labels: &Labels, now: Timestamp, fx: &mut Effects) {
        if self.row.state != RunState::Running || self.remaining > 0 {
            return;
        }
        match outputs {
            Ok(bytes) => {
                self.turn(RunInput::Succeeded, now, fx);
                let payload = Payload { name: "outputs", bytes: bytes.clone(), labels: labels.clone() };
                self.tell(now, EventBody::RunDone, Some(payload), fx);
            }
            Err(failure) => {
                self.row.error = Some(failure.clone());
                self.turn(RunInput::Failed, now, fx);
                self.tell(now, EventBody::RunFailed { error: failure.clone() }, None, fx);
            }
        }
    }

    fn timer_due(&mut self, ix: StepIx, now: Timestamp, fx: &mut Effects) {
        match (self.row.state, self.state(ix)) {
            (RunState::Running, StepState::BackingOff) if self.queue_deadline(ix).is_some_and(|d| d <= now) => {
                self.fail(ix, StepInput::FailedForGood, waited_too_long(), "", now, fx);
            }
            (RunState::Running, StepState::BackingOff) => {
                // A timer that is early (a takeover, another clock) is set again.
                match self.step(ix).wake_at {
                    Some(wake) if wake > now => fx.set_timer(Some(ix), wake),
                    _ => self.make_ready(ix, StepInput::Woken, now, fx),
                }
            }
            (RunState::Running, StepState::Ready) => self.queue_timeout(ix, now, fx),
            (RunState::Running, StepState::Dispatched) if self.queue_deadline(ix).is_some_and(|d| d <= now) => {
                fx.clear_timer(Some(ix));
                fx.burns.push((ix, self.step(ix).dispatch));
            }
            (RunState::Running, StepState::Running) if self.backstop(ix) <= now => {
                let failure = Failure::transient(
                    ErrorCode::TimeoutRun,
                    format!("no result {} s after the step's run time", BACKSTOP_MS / 1000),
                );
                self.settle_failure(ix, failure, "", now, fx);
            }
            (RunState::Cancelling, state) if state.is_out() => self.cancel_grace_over(ix, now, fx),
            _ => {}
        }
    }

    pub(crate) fn queue_deadline(&self, ix: StepIx) -> Option<Timestamp> {
        let queue = Duration::from_millis(self.spec(ix).timeouts.queue_ms?);
        Some(self.step(ix).ready_at?.plus(queue))
    }

    fn queue_timeout(&mut self, ix: StepIx, now: Timestamp, fx: &mut Effects) {
        match self.queue_deadline(ix) {
            Some(deadline) if deadline <= now => {
                self.settle_failure(ix, waited_too_long(), "", now, fx);
            }
            Some(deadline) => fx.set_timer(Some(ix), deadline),
            None => {}
        }
    }

    fn burned(&mut self, ix: StepIx, dispatch: DispatchNo, won: bool, now: Timestamp, fx: &mut Effects) {
        if !self.is_current(ix, dispatch) || !self.state(ix).is_out() {
            return;
        }
        match (self.row.state, won) {
            (state, _) if state.is_terminal() => {}
            (RunState::Cancelling, true) => self.cancel_step(ix, None, now, fx),
            (RunState::Cancelling, false) => self.stop(ix, now, fx),
            // Somebody runs it: it is not waiting any more.
            (_, false) => {}
            (_, true) if self.queue_deadline(ix).is_some_and(|d| d <= now) => {
                self.settle_failure(ix, waited_too_long(), "", now, fx);
            }
            (_, true) => self.requeue(ix, "burned", now, fx),
        }
    }

    fn process_dead(&mut self, ix: StepIx, dispatch: DispatchNo, now: Timestamp, fx: &mut Effects) {
        if !self.is_current(ix, dispatch) || !self.state(ix).is_out() {
            return;
        }
        let lost = Failure::transient(ErrorCode::WorkerLost, "the process that ran the step died");
        if self.step(ix).effect == aidt_domain::Effect::Once {
            self.unclear(ix, lost, now, fx);
        } else if self.row.state == RunState::Cancelling {
            self.cancel_step(ix, Some(lost), now, fx);
        } else {
            self.requeue(ix, "process_dead", now, fx);
        }
    }

    fn poisoned(&mut self, failure: &Failure, now: Timestamp, fx: &mut Effects) {
        if !self.turn(RunInput::Poisoned, now, fx) {
            return;
        }
        self.frontier.clear();
        let open: Vec<StepIx> =
            self.steps.iter().map(|s| s.row.ix).filter(|&ix| !self.state(ix).is_terminal()).collect();
        for ix in open {
            match self.state(ix) {
                StepState::Unknown => {}
                state if state.is_out() && self.step(ix).effect == aidt_domain::Effect::Once => {
                    self.unclear(ix, failure.clone(), now, fx);
                }
                _ => self.cancel_step(ix, None, now, fx),
            }
        }
        self.row.error = Some(failure.clone());
        self.tell(now, EventBody::RunFailed { error: failure.clone() }, None, fx);
    }

    /// Whether this is the step's current dispatch.
    #[must_use]
    pub fn is_current(&self, ix: StepIx, dispatch: DispatchNo) -> bool {
        self.steps.get(ix.0 as usize).is_some_and(|s| s.row.dispatch == dispatch)
    }

    /// Nothing changes; a command with an id leaves the refusal in history.
    pub(crate) fn refuse(&mut self, command: &str, code: ErrorCode, message: &str, now: Timestamp, fx: &mut Effects) {
        if self.cause.is_some() {
            let body = EventBody::CommandRefused { command: command.to_owned(), code, message: message.to_owned() };
            self.tell(now, body, None, fx);
        }
    }

    fn finished(&mut self, finished: &Finished, now: Timestamp, fx: &mut Effects) {
        let ix = finished.step;
        // Recorded once: only the current dispatch, and only while nothing was recorded for it.
        if !self.is_current(ix, finished.dispatch) {
            return;
        }
        match self.state(ix) {
            state if state.is_out() => self.outcome(finished, now, fx),
            StepState::Unknown => self.late(finished, now, fx),
            _ => {}
        }
    }

    /// A late result of the current dispatch settles an unknown outcome, if it is conclusive.
    fn late(&mut self, finished: &Finished, now: Timestamp, fx: &mut Effects) {
        match &finished.outcome {
            Outcome::Done { .. } => self.succeed(finished, now, fx),
            Outcome::Failed(failure) | Outcome::Cancelled(failure)
                if failure.effect == aidt_domain::EffectHint::None =>
            {
                let log = String::from_utf8_lossy(&finished.log).into_owned();
                self.fail(finished.step, StepInput::FailedForGood, failure.clone(), &log, now, fx);
            }
            _ => {}
        }
    }

    /// At most this many steps are looked at before the rest waits for the run's own timer.
    pub(crate) const CHUNK: usize = CHUNK;
}

/// Nobody started it, so nothing happened, and another attempt may find a worker.
fn waited_too_long() -> Failure {
    let message = "no worker took the step within its timeout.queue";
    Failure { retryable: true, ..Failure::fatal(ErrorCode::TimeoutQueue, message) }
}
