//! What became possible.

use crate::effects::Effects;
use crate::run::Run;
use crate::run_states::RunInput;
use crate::step_states::StepInput;
use aidt_domain::{EventBody, RunState, StepIx, StepState, Timestamp};
use std::sync::Arc;

impl Run {
    /// A step ended: tells those that need it.
    pub(crate) fn release(&mut self, ix: StepIx, fx: &mut Effects) {
        if self.row.state != RunState::Running {
            return;
        }
        let graph = Arc::clone(&self.graph);
        for &dependent in graph.dependents(ix) {
            fx.visited += 1;
            if self.met(dependent, ix) {
                self.frontier.push_back(dependent);
            }
        }
    }

    /// Looks at steps whose needs have all ended, at most a chunk of them; then at the run's end.
    pub(crate) fn advance(&mut self, now: Timestamp, fx: &mut Effects) {
        match self.row.state {
            RunState::Running => {
                for _ in 0..Self::CHUNK {
                    let Some(ix) = self.frontier.pop_front() else {
                        break;
                    };
                    fx.visited += 1;
                    self.consider(ix, now, fx);
                }
                self.continue_later(!self.frontier.is_empty(), now, fx);
                self.conclude(now, fx);
            }
            RunState::Cancelling => {
                self.sweep(now, fx);
                self.continue_later((self.swept as usize) < self.steps.len(), now, fx);
                self.quiet(now, fx);
            }
            _ => {}
        }
    }

    /// The rest of large work goes on at a timer of the run's own: it is a row, so whoever owns the
    /// partition then goes on with it.
    fn continue_later(&mut self, more: bool, now: Timestamp, fx: &mut Effects) {
        if more {
            fx.set_timer(None, now);
        } else if self.continuing {
            fx.clear_timer(None);
        }
        self.continuing = more;
    }

    fn consider(&mut self, ix: StepIx, now: Timestamp, fx: &mut Effects) {
        if self.state(ix) != StepState::Pending {
            return;
        }
        let graph = Arc::clone(&self.graph);
        let spec = graph.spec(ix);
        match self.blocked_by(ix) {
            Some(need) if !spec.always => {
                let reason = self.step(need).path.to_string();
                self.skip(ix, reason, now, fx);
            }
            _ if spec.when.is_some() => fx.evaluate.push(ix),
            _ => self.make_ready(ix, StepInput::Wanted, now, fx),
        }
    }

    pub(crate) fn make_ready(&mut self, ix: StepIx, input: StepInput, now: Timestamp, fx: &mut Effects) {
        self.clear_timer(ix, fx);
        self.shift(ix, input, fx);
        let row = self.row_mut(ix);
        // Handed back before anybody started it, it has been waiting since it first was ready.
        row.ready_at.get_or_insert(now);
        row.wake_at = None;
        if let Some(deadline) = self.queue_deadline(ix) {
            fx.set_timer(Some(ix), deadline);
        }
        fx.ready.push(ix);
    }

    pub(crate) fn skip(&mut self, ix: StepIx, reason: String, now: Timestamp, fx: &mut Effects) {
        self.shift(ix, StepInput::Unwanted, fx);
        self.row_mut(ix).ended_at = Some(now);
        self.tell_step(now, ix, EventBody::StepSkipped { reason }, None, fx);
        self.release(ix, fx);
    }

    /// The run ends when nothing of it is left to do.
    fn conclude(&mut self, now: Timestamp, fx: &mut Effects) {
        if self.remaining > 0 || !self.frontier.is_empty() || self.row.state != RunState::Running {
            return;
        }
        match self.row.error.clone() {
            Some(error) => {
                self.turn(RunInput::Failed, now, fx);
                self.tell(now, EventBody::RunFailed { error }, None, fx);
            }
            None => fx.conclude = true,
        }
    }
}
