//! A person wants steps run again, or settles an unknown outcome.

use crate::effects::Effects;
use crate::outcome::as_cause;
use crate::run::Run;
use crate::run_states::RunInput;
use crate::step_states::StepInput;
use aidt_domain::{
    Attempt, ErrorCode, EventBody, Failure, Labels, Payload, ResolveAs, RetryScope, RunState, StepIx, StepPath,
    StepState, Timestamp,
};
use std::sync::Arc;

impl Run {
    pub(crate) fn retry(&mut self, scope: &RetryScope, by: &str, now: Timestamp, fx: &mut Effects) {
        let roots = match self.retry_roots(scope) {
            Ok(roots) => roots,
            Err((code, message)) => return self.refuse("retry", code, &message, now, fx),
        };
        let again = self.downstream(&roots);
        if let Some(&ix) = again.iter().find(|&&ix| self.is_busy(ix)) {
            let row = self.step(ix);
            let message = format!("step {} is {}", row.path, row.state);
            return self.refuse("retry", ErrorCode::NotApplicable, &message, now, fx);
        }
        if !self.turn(RunInput::Reopened, now, fx) {
            let message = format!("the run is {}", self.row.state);
            return self.refuse("retry", ErrorCode::NotApplicable, &message, now, fx);
        }
        self.row.outputs = None;
        let steps = again.iter().map(|&ix| self.step(ix).path.clone()).collect();
        self.tell(now, EventBody::RunReopened { by: by.to_owned(), steps }, None, fx);
        self.reset(&again, fx);
        self.row.error = self.remaining_blame();
    }

    fn retry_roots(&self, scope: &RetryScope) -> Result<Vec<StepIx>, (ErrorCode, String)> {
        match scope {
            RetryScope::From(path) => match self.graph.find(path) {
                Some(ix) => Ok(vec![ix]),
                None => Err((ErrorCode::NotFound, format!("the run has no step {path}"))),
            },
            RetryScope::Failed => {
                let bad = |s: &StepState| matches!(s, StepState::Failed | StepState::Denied | StepState::Cancelled);
                let roots: Vec<_> = self.steps.iter().filter(|s| bad(&s.row.state)).map(|s| s.row.ix).collect();
                if roots.is_empty() {
                    return Err((ErrorCode::NotApplicable, "no step failed".to_owned()));
                }
                Ok(roots)
            }
        }
    }

    /// These and all that need them, in the snapshot's order of discovery.
    fn downstream(&self, roots: &[StepIx]) -> Vec<StepIx> {
        let graph = Arc::clone(&self.graph);
        let mut seen = vec![false; self.steps.len()];
        let mut found = Vec::new();
        let mut stack = roots.to_vec();
        while let Some(ix) = stack.pop() {
            if !std::mem::replace(&mut seen[ix.0 as usize], true) {
                found.push(ix);
                stack.extend_from_slice(graph.dependents(ix));
            }
        }
        found.sort_unstable();
        found
    }

    /// Something of it is under way, or unresolved: it cannot be started anew beside that.
    fn is_busy(&self, ix: StepIx) -> bool {
        let state = self.state(ix);
        !state.is_terminal() && state != StepState::Pending
    }

    /// Back to pending, in a new generation; what was recorded stays in history.
    fn reset(&mut self, steps: &[StepIx], fx: &mut Effects) {
        for &ix in steps {
            if self.state(ix) != StepState::Pending {
                self.shift(ix, StepInput::Reopened, fx);
            }
            let row = self.row_mut(ix);
            row.generation = row.generation.next();
            row.attempt = Attempt(1);
            row.clean_attempt = None;
            row.error = None;
            row.output = None;
            row.ready_at = None;
            row.dispatched_at = None;
            row.started_at = None;
            row.ended_at = None;
            row.wake_at = None;
            fx.changed.push(ix);
        }
        self.frontier.retain(|ix| steps.binary_search(ix).is_err());
        for &ix in steps {
            fx.visited += 1;
            self.recount(ix);
        }
    }

    /// The error that remains when some steps start anew: the first failure that is still there.
    fn remaining_blame(&self) -> Option<Failure> {
        let bad = self.steps.iter().filter(|s| {
            let forgiven = self.spec(s.row.ix).continue_on_error && s.row.state == StepState::Failed;
            matches!(s.row.state, StepState::Failed | StepState::Denied | StepState::Cancelled) && !forgiven
        });
        let first = bad.min_by_key(|s| (s.row.ended_at, s.row.ix))?;
        let cancelled = || Failure::fatal(ErrorCode::Cancelled, "the step was cancelled and not run again");
        let error = first.row.error.as_ref().map_or_else(cancelled, as_cause);
        Some(Failure { step: Some(first.row.path.clone()), ..error })
    }

    pub(crate) fn resolve(&mut self, path: &StepPath, resolve: &ResolveAs, by: &str, now: Timestamp, fx: &mut Effects) {
        let Some(ix) = self.graph.find(path) else {
            let message = format!("the run has no step {path}");
            return self.refuse("resolve", ErrorCode::NotFound, &message, now, fx);
        };
        if self.state(ix) != StepState::Unknown {
            let message = format!("step {path} is {}, not unknown", self.state(ix));
            return self.refuse("resolve", ErrorCode::NotApplicable, &message, now, fx);
        }
        match resolve {
            ResolveAs::Done(output) => self.resolve_done(ix, output, by, now, fx),
            ResolveAs::Failed(message) => self.resolve_failed(ix, message, by, now, fx),
            ResolveAs::Retry => self.resolve_retry(ix, by, now, fx),
        }
    }

    fn resolve_done(&mut self, ix: StepIx, output: &serde_json::Value, by: &str, now: Timestamp, fx: &mut Effects) {
        self.shift(ix, StepInput::Succeeded, fx);
        let row = self.row_mut(ix);
        row.ended_at = Some(now);
        row.error = None;
        let bytes = serde_json::to_vec(output).expect("a JSON value");
        let payload = Payload { name: "output", bytes: bytes.into(), labels: Labels::user() };
        let body = EventBody::StepResolved { resolve: "done".to_owned(), by: by.to_owned(), error: None };
        self.tell_step(now, ix, body, Some(payload), fx);
        self.release(ix, fx);
    }

    fn resolve_failed(&mut self, ix: StepIx, message: &str, by: &str, now: Timestamp, fx: &mut Effects) {
        let error = Failure::fatal(ErrorCode::ToolFailed, message);
        let body =
            EventBody::StepResolved { resolve: "failed".to_owned(), by: by.to_owned(), error: Some(error.clone()) };
        self.tell_step(now, ix, body, None, fx);
        self.fail(ix, StepInput::FailedForGood, error, "", now, fx);
    }

    fn resolve_retry(&mut self, ix: StepIx, by: &str, now: Timestamp, fx: &mut Effects) {
        if self.row.state != RunState::Running {
            let message =
                format!("the run is {}: resolve the step as done or failed, then retry the run", self.row.state);
            return self.refuse("resolve", ErrorCode::NotApplicable, &message, now, fx);
        }
        let body = EventBody::StepResolved { resolve: "retry".to_owned(), by: by.to_owned(), error: None };
        self.tell_step(now, ix, body, None, fx);
        self.reset(&[ix], fx);
    }
}
