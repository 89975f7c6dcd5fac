//! What a step consumer does: validates a start, starts the effect, publishes the result.

use crate::Loop;
use crate::bounds::Effect;
use crate::rows::Process;
use crate::state::{Call, Consumer, Message, Outcome, Phase, Report, State};
use crate::store::Claimed;

impl Loop {
    pub(crate) fn deliver(&self, state: &mut State, consumer: usize, message: Message) {
        state.broker.take_step(message);
        let once = self.effect(message.dispatch.step) == Effect::Once;
        let validated = if once { self.rules.claim_before_once } else { message.doubtful };
        let phase = if validated { Phase::Arrived } else { Phase::Placing };
        state.consumers[consumer].call = Some(Call { message, owed: true, phase, claimed: false });
    }

    /// Asks for the claim, before the start or while the call runs.
    pub(crate) fn ask(&self, state: &mut State, consumer: usize) {
        let process = Process { consumer: index(consumer), life: state.consumers[consumer].life };
        let dispatch = state.call(consumer).message.dispatch;
        let mine = &mut state.consumers[consumer];
        if mine.asked.contains(&dispatch) {
            // Somebody here runs it or ran it.
            if self.rules.asked_once {
                mine.call = None;
                return;
            }
        } else {
            mine.asked.push(dispatch);
            mine.asked.sort_unstable();
        }
        match self.claim(state, dispatch, process) {
            Claimed::Won => {
                let call = state.call(consumer);
                call.claimed = true;
                if call.phase == Phase::Arrived {
                    call.phase = Phase::Placing;
                } else {
                    call.owed = false;
                }
            }
            Claimed::Lost => state.consumers[consumer].call = None,
        }
    }

    pub(crate) fn start(&self, state: &mut State, consumer: usize) {
        let call = state.call(consumer);
        call.phase = Phase::Running;
        if call.claimed {
            call.owed = false;
        }
        let Message { dispatch, generation, .. } = call.message;
        let seen = &mut state.witness.steps[usize::from(dispatch.run)][usize::from(dispatch.step)];
        let generation = usize::from(generation).min(1);
        // More than twice is no worse than twice.
        seen.started[generation] = (seen.started[generation] + 1).min(2);
        seen.started_by[generation] = dispatch.number;
    }

    pub(crate) fn end(&self, state: &mut State, consumer: usize, outcome: Outcome) {
        state.call(consumer).phase = Phase::Ended(outcome);
    }

    /// Publishes the result, then acks the message. (That the message comes again between the two is the
    /// fault `duplicate`.)
    pub(crate) fn publish_result(&self, state: &mut State, consumer: usize) {
        let incarnation = state.broker.incarnation;
        let mine = &mut state.consumers[consumer];
        let Some(Call { message, phase: Phase::Ended(outcome), claimed, .. }) = mine.call.take() else { return };
        let report = Report { dispatch: message.dispatch, outcome, claimed };
        if self.rules.results_kept && claimed {
            mine.kept.push((report, incarnation));
        }
        state.broker.put_report(report);
    }

    /// The broker is another: results that may be lost are published again (rule `results_kept`).
    pub(crate) fn publish_kept(&self, state: &mut State, consumer: usize) {
        let incarnation = state.broker.incarnation;
        let kept = &mut state.consumers[consumer].kept;
        let lost: Vec<_> = kept.iter_mut().filter(|(_, at)| *at != incarnation).collect();
        let mut reports = Vec::new();
        for (report, at) in lost {
            *at = incarnation;
            reports.push(*report);
        }
        reports.into_iter().for_each(|report| state.broker.put_report(report));
    }

    /// The process ends, and another begins. Its messages come again.
    pub(crate) fn end_life(&self, state: &mut State, consumer: usize, next: u8) {
        let old = std::mem::replace(&mut state.consumers[consumer], Consumer { life: next, ..Default::default() });
        if let Some(call) = old.call.filter(|call| call.owed) {
            state.broker.put_steps(vec![Message { doubtful: true, ..call.message }]);
        }
    }
}

pub(crate) fn index(consumer: usize) -> u8 {
    u8::try_from(consumer).expect("two of them")
}
