//! What a dispatch ended with.

use crate::backoff;
use crate::effects::Effects;
use crate::run::Run;
use crate::step_states::StepInput;
use aidt_domain::{
    Decision, Effect, EffectHint, ErrorCode, EventBody, Failure, Finished, Outcome, Payload, RunState, StepIx,
    Timestamp, Verdict, WorkspaceChange,
};

impl Run {
    pub(crate) fn outcome(&mut self, finished: &Finished, now: Timestamp, fx: &mut Effects) {
        let ix = finished.step;
        if let Some(at) = finished.started_at {
            self.row_mut(ix).started_at = Some(at.min(now));
        }
        let cancelling = self.row.state == RunState::Cancelling;
        let log = String::from_utf8_lossy(&finished.log).into_owned();
        match &finished.outcome {
            Outcome::Done { workspace, .. } if !cancelling && self.is_based_elsewhere(ix, workspace.as_ref()) => {
                self.requeue(ix, "base_moved", now, fx);
            }
            Outcome::Done { .. } => self.succeed(finished, now, fx),
            Outcome::Failed(failure) => self.settle_failure(ix, failure.clone(), &log, now, fx),
            Outcome::Cancelled(failure) if self.is_unclear(ix, failure) => self.unclear(ix, failure.clone(), now, fx),
            Outcome::Cancelled(failure) if cancelling => self.cancel_step(ix, Some(failure.clone()), now, fx),
            Outcome::Released if cancelling => self.cancel_step(ix, None, now, fx),
            // Cancelled though nobody cancelled the run: its process gave up what it could not hold.
            Outcome::Cancelled(_) | Outcome::Released => self.requeue(ix, "released", now, fx),
            Outcome::Deferred(_) if cancelling => self.cancel_step(ix, None, now, fx),
            Outcome::Deferred(until) => self.defer(ix, *until, now, fx),
            Outcome::Refused(_) if cancelling => self.cancel_step(ix, None, now, fx),
            Outcome::Refused(decision) => self.deny(ix, decision, now, fx),
        }
    }

    /// A change that was made on something else than the head would undo what came between.
    fn is_based_elsewhere(&self, ix: StepIx, change: Option<&WorkspaceChange>) -> bool {
        let (Some(change), Some(head)) = (change, &self.row.head) else {
            return false;
        };
        // What prepares the workspace has no base: its commit is the head, also when it is prepared anew.
        let writes = change.commit != change.base && !change.base.is_empty();
        writes && change.base != *head && self.step(ix).effect != Effect::Once
    }

    pub(crate) fn succeed(&mut self, finished: &Finished, now: Timestamp, fx: &mut Effects) {
        let ix = finished.step;
        let Outcome::Done { output, labels, workspace } = &finished.outcome else {
            return;
        };
        self.clear_timer(ix, fx);
        self.shift(ix, StepInput::Succeeded, fx);
        let row = self.row_mut(ix);
        row.ended_at = Some(now);
        row.error = None;
        let (mut commit, mut paths) = (None, Vec::new());
        if let Some(change) = workspace
            && (change.base.is_empty() || self.row.head.as_ref().is_none_or(|head| *head == change.base))
        {
            self.row.head = Some(change.commit.clone());
            commit = Some(change.commit.clone());
            paths.clone_from(&change.paths);
        }
        let body = EventBody::StepFinished {
            worker: finished.worker.clone(),
            started_at: finished.started_at,
            commit,
            paths,
            log: String::from_utf8_lossy(&finished.log).into_owned(),
        };
        let payload = Payload { name: "output", bytes: output.clone(), labels: labels.clone() };
        self.tell_step(now, ix, body, Some(payload), fx);
        self.release(ix, fx);
    }

    /// A `once` effect that may have happened, of a call that did not say.
    fn is_unclear(&self, ix: StepIx, failure: &Failure) -> bool {
        self.step(ix).effect == Effect::Once && failure.effect == EffectHint::Maybe
    }

    pub(crate) fn settle_failure(&mut self, ix: StepIx, failure: Failure, log: &str, now: Timestamp, fx: &mut Effects) {
        if self.is_unclear(ix, &failure) {
            self.unclear(ix, failure, now, fx);
        } else if self.may_retry(ix, &failure) {
            self.back_off(ix, failure, now, fx);
        } else if self.row.state == RunState::Cancelling {
            self.cancel_step(ix, Some(failure), now, fx);
        } else {
            self.fail(ix, StepInput::FailedForGood, failure, log, now, fx);
        }
    }

    fn may_retry(&self, ix: StepIx, failure: &Failure) -> bool {
        let retry = &self.spec(ix).retry;
        let named = |word: &String| {
            word == failure.code.as_str() || failure.reason.as_ref().is_some_and(|reason| reason == word)
        };
        self.row.state == RunState::Running
            && failure.retryable
            && self.step(ix).attempt.0 < retry.max_attempts
            && !retry.not_on.iter().any(named)
    }

    fn back_off(&mut self, ix: StepIx, failure: Failure, now: Timestamp, fx: &mut Effects) {
        self.clear_timer(ix, fx);
        let row = self.step(ix);
        let wait = backoff::delay(&self.spec(ix).retry, self.row.id, &row.path, row.generation, row.attempt);
        let until = now.plus(wait);
        self.tell_step(now, ix, EventBody::StepRetrying { error: failure.clone(), until }, None, fx);
        self.shift(ix, StepInput::FailedForNow, fx);
        let row = self.row_mut(ix);
        if failure.effect == EffectHint::None {
            row.clean_attempt = Some(row.attempt);
        }
        row.attempt = row.attempt.next();
        // The next attempt waits for a worker anew.
        row.ready_at = None;
        row.wake_at = Some(until);
        row.error = Some(failure);
        fx.set_timer(Some(ix), until);
    }

    fn defer(&mut self, ix: StepIx, until: Timestamp, now: Timestamp, fx: &mut Effects) {
        self.clear_timer(ix, fx);
        self.shift(ix, StepInput::Deferred, fx);
        self.row_mut(ix).wake_at = Some(until);
        // It goes on waiting for a worker: its timeout.queue runs on.
        fx.set_timer(Some(ix), self.queue_deadline(ix).map_or(until, |deadline| deadline.min(until)));
        let body = EventBody::StepRequeued { reason: "deferred".to_owned(), until: Some(until) };
        self.tell_step(now, ix, body, None, fx);
    }

    pub(crate) fn requeue(&mut self, ix: StepIx, reason: &str, now: Timestamp, fx: &mut Effects) {
        self.clear_timer(ix, fx);
        let body = EventBody::StepRequeued { reason: reason.to_owned(), until: None };
        self.tell_step(now, ix, body, None, fx);
        if self.step(ix).started_at.is_some() {
            self.row_mut(ix).ready_at = None;
        }
        self.make_ready(ix, StepInput::Requeued, now, fx);
    }

    pub(crate) fn unclear(&mut self, ix: StepIx, failure: Failure, now: Timestamp, fx: &mut Effects) {
        self.clear_timer(ix, fx);
        self.shift(ix, StepInput::Unclear, fx);
        self.row_mut(ix).error = Some(failure.clone());
        self.tell_step(now, ix, EventBody::StepUnknown { error: failure }, None, fx);
    }

    /// Ends a step badly. The first failure that is not forgiven becomes the run's error.
    pub(crate) fn fail(
        &mut self,
        ix: StepIx,
        input: StepInput,
        failure: Failure,
        log: &str,
        now: Timestamp,
        fx: &mut Effects,
    ) {
        self.clear_timer(ix, fx);
        self.shift(ix, input, fx);
        let row = self.row_mut(ix);
        row.ended_at = Some(now);
        row.error = Some(failure.clone());
        if !self.spec(ix).continue_on_error {
            self.blame(ix, as_cause(&failure));
        }
        let body = EventBody::StepFailed { error: failure, log: log.to_owned() };
        self.tell_step(now, ix, body, None, fx);
        self.release(ix, fx);
    }

    pub(crate) fn deny(&mut self, ix: StepIx, decision: &Decision, now: Timestamp, fx: &mut Effects) {
        self.clear_timer(ix, fx);
        self.shift(ix, StepInput::Refused, fx);
        let what = match decision.verdict {
            Verdict::Escalate => "needs an approval, and this step cannot wait for one",
            _ => "was denied",
        };
        let message = format!("capability {} {what}: {}", decision.capability, decision.reasons.join("; "));
        let failure = Failure::fatal(ErrorCode::Denied, message);
        let row = self.row_mut(ix);
        row.ended_at = Some(now);
        row.error = Some(failure.clone());
        self.blame(ix, failure);
        self.tell_step(now, ix, EventBody::StepDenied { decision: decision.clone() }, None, fx);
        self.release(ix, fx);
    }

    fn blame(&mut self, ix: StepIx, failure: Failure) {
        if self.row.error.is_none() {
            let step = Some(self.step(ix).path.clone());
            self.row.error = Some(Failure { step, ..failure });
        }
    }

    /// Clears what timer row a step of this state may have.
    pub(crate) fn clear_timer(&self, ix: StepIx, fx: &mut Effects) {
        let queued = self.spec(ix).timeouts.queue_ms.is_some();
        let stopping = self.row.state == RunState::Cancelling;
        let backing_off = self.state(ix) == aidt_domain::StepState::BackingOff;
        if queued || stopping || backing_off {
            fx.clear_timer(Some(ix));
        }
    }
}

/// A step's failure as the cause of its run's.
pub(crate) fn as_cause(failure: &Failure) -> Failure {
    let code = if failure.code == ErrorCode::ToolFailed { ErrorCode::StepFailed } else { failure.code };
    Failure { code, ..failure.clone() }
}
