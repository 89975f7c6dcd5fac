//! What must hold, in every state.

use crate::Loop;
use crate::bounds::Effect;
use crate::rows::{Command, Dispatch, RUNS, RunState, STEPS, Step, StepState, Wish};
use crate::state::{State, Witnessed};
use stateright::Property;

/// Names of the properties.
#[expect(missing_docs, reason = "they are sentences")]
pub mod named {
    pub const RECORDED_ONCE: &str = "each end of a step is recorded once";
    pub const CURRENT_ONLY: &str = "only a result of the current dispatch is recorded";
    pub const ACK_LAST: &str = "a result is acked after it is recorded";
    pub const ONE_WRITER: &str = "only who holds the epoch writes";
    pub const AT_MOST_ONCE: &str = "a once effect is started once, unless a person retries it";
    pub const UNKNOWN: &str = "a once effect that began and is not done is unknown";
    pub const NOT_LOST: &str = "an accepted command waits or was applied";
    pub const APPLIED_ONCE: &str = "a command is applied once";
    pub const GAPLESS: &str = "history has no gaps";
    pub const DURABLE_FIRST: &str = "nothing is visible before it is durable";
    pub const ENDS: &str = "every accepted run ends";
    pub const ENDS_PROMPTLY: &str = "every accepted run ends without a long wait";
    pub const NO_BLAME: &str = "no run fails by what the broker loses";
}
use named::*;

impl Loop {
    /// All that must hold; `strict` ones only where asked for.
    pub(crate) fn all_properties(&self) -> Vec<Property<Self>> {
        let mut all = vec![
            Property::always(RECORDED_ONCE, |_: &Self, s: &State| {
                s.witness.steps.iter().flatten().all(|seen| seen.recorded.iter().all(|n| *n <= 1))
            }),
            Property::always(CURRENT_ONLY, |_: &Self, s: &State| !s.witness.stale_record),
            Property::always(ACK_LAST, |_: &Self, s: &State| !s.witness.early_ack),
            Property::always(ONE_WRITER, |_: &Self, s: &State| !s.witness.stale_write),
            Property::always(AT_MOST_ONCE, |m: &Self, s: &State| {
                m.each_once(s, |_, seen| seen.started.iter().all(|n| *n <= 1))
            }),
            Property::always(UNKNOWN, |m: &Self, s: &State| m.each_once(s, is_told)),
            Property::always(NOT_LOST, |m: &Self, s: &State| m.not_lost(s)),
            Property::always(APPLIED_ONCE, |_: &Self, s: &State| s.witness.applied_again == 0),
            Property::always(GAPLESS, |_: &Self, s: &State| {
                (0..RUNS).all(|r| s.store.runs[r].seq == s.store.events[r])
            }),
            Property::always(DURABLE_FIRST, |_: &Self, s: &State| is_durable_first(s)),
            Property::always(ENDS, |m: &Self, s: &State| m.have_ended(s) || m.goes_on(s, true)),
        ];
        let excused = !self.strict;
        all.push(if excused {
            Property::always(ENDS_PROMPTLY, |m: &Self, s: &State| {
                s.witness.claimed_result_lost || s.witness.silent_loss || m.have_ended(s) || m.goes_on(s, false)
            })
        } else {
            Property::always(ENDS_PROMPTLY, |m: &Self, s: &State| {
                s.witness.silent_loss || m.have_ended(s) || m.goes_on(s, false)
            })
        });
        all.push(if excused {
            Property::always(NO_BLAME, |_: &Self, s: &State| s.witness.claimed_result_lost || !has_failed(s))
        } else {
            Property::always(NO_BLAME, |_: &Self, s: &State| !has_failed(s))
        });
        all
    }

    /// Whether this holds for each step whose effect is `once`.
    fn each_once(&self, state: &State, holds: fn(&Step, &Witnessed) -> bool) -> bool {
        let once = |step: usize| self.bounds.effects.get(step) == Some(&Effect::Once);
        let steps = (0..RUNS).flat_map(|run| (0..STEPS).map(move |step| (run, step)));
        steps
            .filter(|(_, step)| once(*step))
            .all(|(run, step)| holds(&state.store.runs[run].steps[step], &state.witness.steps[run][step]))
    }

    fn not_lost(&self, state: &State) -> bool {
        let commands = (0..self.bounds.runs)
            .flat_map(|run| [Wish::Start, Wish::Cancel, Wish::Retry].map(|wish| Command { run, wish }));
        commands
            .filter(|c| state.witness.accepted & c.bit() != 0)
            .all(|command| state.witness.applied & command.bit() != 0 || state.store.inbox.contains(&command))
    }

    /// Every accepted run has ended, or says what is unknown.
    fn have_ended(&self, state: &State) -> bool {
        let accepted = |run, wish| state.witness.accepted & Command { run, wish }.bit() != 0;
        (0..self.bounds.runs).filter(|&run| accepted(run, Wish::Start)).all(|run| {
            let row = &state.store.runs[usize::from(run)];
            let unknown =
                row.steps.iter().any(|s| s.state == StepState::Unknown) && !row.steps.iter().any(|s| s.state.is_out());
            let retried = accepted(run, Wish::Retry) && state.store.inbox.iter().any(|c| c.wish == Wish::Retry);
            row.state.is_terminal()
                || (row.state == RunState::Running && unknown && !accepted(run, Wish::Cancel) && !retried)
        })
    }

    /// Something can happen by itself.
    fn goes_on(&self, state: &State, slow: bool) -> bool {
        let mut actions = Vec::new();
        self.prompt(state, &mut actions);
        if slow && actions.is_empty() {
            self.slow(state, &mut actions);
        }
        !actions.is_empty()
    }
}

fn has_failed(state: &State) -> bool {
    state.store.runs.iter().any(|run| run.steps.iter().any(|s| s.state == StepState::Failed))
}

/// Whoever reads the row of a `once` step knows that its effect may have begun.
fn is_told(row: &Step, seen: &Witnessed) -> bool {
    let by = seen.started_by[usize::from(row.generation).min(1)];
    let told = matches!(row.state, StepState::Dispatched | StepState::Running | StepState::Unknown | StepState::Done);
    by == 0 || (by == row.dispatch && told)
}

/// Whatever the broker, a step consumer or a subscriber sees stands in the store.
fn is_durable_first(state: &State) -> bool {
    let stands = |dispatch: Dispatch| dispatch.number <= state.stored(dispatch).dispatch;
    let calls = state.consumers.iter().filter_map(|c| c.call).map(|call| call.message.dispatch);
    state.broker.steps.iter().map(|m| m.dispatch).chain(calls).all(stands)
}
