//! Ending a run by request.

use crate::CANCEL_GRACE_MS;
use crate::effects::Effects;
use crate::run::Run;
use crate::run_states::RunInput;
use crate::step_states::StepInput;
use aidt_domain::{Effect, ErrorCode, EventBody, Failure, RunState, StepIx, StepState, Timestamp};
use std::time::Duration;

impl Run {
    pub(crate) fn cancel(&mut self, by: &str, reason: &str, now: Timestamp, fx: &mut Effects) {
        if !self.turn(RunInput::Cancel, now, fx) {
            let message = format!("the run is {}", self.row.state);
            return self.refuse("cancel", ErrorCode::NotApplicable, &message, now, fx);
        }
        self.frontier.clear();
        self.swept = 0;
        let body = EventBody::RunCancelling { by: by.to_owned(), reason: reason.to_owned() };
        self.tell(now, body, None, fx);
    }

    /// Looks at the next chunk of steps: what nobody runs is cancelled at once, what may be running is
    /// burned or told to stop. Where it stands is not stored: what is done shows in the rows.
    pub(crate) fn sweep(&mut self, now: Timestamp, fx: &mut Effects) {
        let mut acted = 0;
        while (self.swept as usize) < self.steps.len() && acted < Self::CHUNK {
            let ix = StepIx(self.swept);
            self.swept += 1;
            fx.visited += 1;
            match self.state(ix) {
                StepState::Pending | StepState::Ready | StepState::BackingOff => {
                    self.cancel_step(ix, None, now, fx);
                    acted += 1;
                }
                StepState::Dispatched => {
                    fx.burns.push((ix, self.step(ix).dispatch));
                    acted += 1;
                }
                StepState::Running => {
                    self.stop(ix, now, fx);
                    acted += 1;
                }
                _ => {}
            }
        }
    }

    /// Tells whoever runs it, and gives it its grace.
    pub(crate) fn stop(&mut self, ix: StepIx, now: Timestamp, fx: &mut Effects) {
        fx.stops.push((ix, self.step(ix).dispatch));
        let until = now.plus(Duration::from_millis(CANCEL_GRACE_MS));
        self.row_mut(ix).wake_at = Some(until);
        fx.changed.push(ix);
        fx.set_timer(Some(ix), until);
    }

    pub(crate) fn cancel_grace_over(&mut self, ix: StepIx, now: Timestamp, fx: &mut Effects) {
        // Only its own timer ends it, not any other look at the step.
        match self.step(ix).wake_at {
            Some(until) if until <= now => {}
            Some(until) => return fx.set_timer(Some(ix), until),
            None => return self.stop(ix, now, fx),
        }
        let silent = Failure::transient(ErrorCode::Cancelled, "the call did not report within the cancel's grace");
        if self.step(ix).effect == Effect::Once {
            self.unclear(ix, silent, now, fx);
        } else {
            self.cancel_step(ix, Some(silent), now, fx);
        }
    }

    pub(crate) fn cancel_step(&mut self, ix: StepIx, error: Option<Failure>, now: Timestamp, fx: &mut Effects) {
        self.clear_timer(ix, fx);
        self.shift(ix, StepInput::Cancelled, fx);
        let row = self.row_mut(ix);
        row.ended_at = Some(now);
        row.wake_at = None;
        row.error.clone_from(&error);
        self.tell_step(now, ix, EventBody::StepCancelled { error }, None, fx);
    }

    /// The cancel is complete when nothing is out any more.
    pub(crate) fn quiet(&mut self, now: Timestamp, fx: &mut Effects) {
        let swept = self.swept as usize == self.steps.len();
        if !swept || self.out > 0 || self.row.state != RunState::Cancelling {
            return;
        }
        let unknown: Vec<_> = if self.unknown == 0 {
            Vec::new()
        } else {
            let open = self.steps.iter().filter(|s| s.row.state == StepState::Unknown);
            open.map(|s| s.row.path.clone()).collect()
        };
        let by = "the run was cancelled".to_owned();
        self.row.error = Some(Failure::fatal(ErrorCode::Cancelled, by));
        self.turn(RunInput::Quiet, now, fx);
        self.tell(now, EventBody::RunCancelled { unknown }, None, fx);
    }
}
