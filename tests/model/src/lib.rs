//! The durable loop as a model, checked exhaustively for small bounds: one partition, up to two runs of up
//! to two steps, two owners, two step consumers, and every combination of a few faults at every moment.
//!
//! In reading order: `rules` (each can be taken away), `bounds`, `rows` and `state` (what there is),
//! `actions` with `enabled` and `faults` (what can happen), then who does it: `store`, `broker`, `owner` with
//! `engine` (what a turn decides), `consumer`; and `properties` (what must hold). What it says of the
//! loop stands in `docs/reference/model.md`.

#![forbid(unsafe_code)]

mod actions;
mod bounds;
mod broker;
mod consumer;
mod enabled;
mod engine;
mod faults;
mod owner;
mod properties;
mod rows;
mod rules;
mod state;
mod store;

pub use actions::{Action, Landing};
pub use bounds::{Bounds, Effect, Faults};
pub use properties::named;
pub use rows::{
    Batch, Command, Dispatch, Holder, Process, RUNS, Row, Run, RunState, STEPS, Step, StepState, Store, Wish,
};
pub use rules::{Ambiguous, InboxRow, Rules};
pub use state::{
    Before, Broker, Call, Consumer, Held, Message, Outcome, Own, Owner, Phase, Report, State, Taken, Turn, Witness,
    Witnessed,
};

use stateright::{Model, Property};

/// The loop, under these rules, within these bounds.
#[derive(Clone, Debug)]
pub struct Loop {
    /// Which rules hold.
    pub rules: Rules,
    /// How much happens.
    pub bounds: Bounds,
    /// Also hold what the loop does not promise when the broker loses the result of a claimed step.
    pub strict: bool,
}

impl Loop {
    pub(crate) fn effect(&self, step: u8) -> Effect {
        self.bounds.effects[usize::from(step)]
    }

    pub(crate) fn steps(&self) -> u8 {
        u8::try_from(self.bounds.effects.len()).expect("one or two steps")
    }

    /// Owners may go back to before a turn, because a rule is taken away.
    pub(crate) fn undoes_turns(&self) -> bool {
        matches!(self.rules.ambiguous, Ambiguous::ReadBack | Ambiguous::TakenAsFailed)
    }
}

impl Loop {
    /// Where everything begins.
    #[must_use]
    pub fn initial(&self) -> State {
        State {
            store: Store::default(),
            broker: Broker::default(),
            owners: [Owner::Free, Owner::Free],
            consumers: [Consumer::default(), Consumer::default()],
            witness: Witness::default(),
            cancels: self.bounds.cancels,
            retries: self.bounds.retries,
            left: self.bounds.faults,
        }
    }

    /// What follows a state, and whether it does so by itself: neither asked for nor a fault.
    #[must_use]
    pub fn follow(&self, state: &State) -> Vec<(State, bool)> {
        let mut actions = Vec::new();
        self.by_itself(state, &mut actions);
        let by_itself = actions.len();
        self.people(state, &mut actions);
        self.faults(state, &mut actions);
        let next = actions.into_iter().filter_map(|action| self.next_state(state, action));
        next.enumerate().map(|(index, next)| (next, index < by_itself)).collect()
    }

    fn by_itself(&self, state: &State, actions: &mut Vec<Action>) {
        self.prompt(state, actions);
        if actions.is_empty() {
            self.slow(state, actions);
        }
    }
}

impl Model for Loop {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        vec![self.initial()]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        self.by_itself(state, actions);
        self.people(state, actions);
        self.faults(state, actions);
    }

    fn next_state(&self, last: &State, action: Action) -> Option<State> {
        let mut state = last.clone();
        self.act(&mut state, action);
        state.tidy(&self.bounds);
        Some(state)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        self.all_properties()
    }
}
