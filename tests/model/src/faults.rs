//! What can go wrong next.

use crate::Loop;
use crate::actions::{Action, Landing};
use crate::bounds::Effect;
use crate::state::{Owner, Phase, State};

impl Loop {
    /// What goes wrong.
    pub(crate) fn faults(&self, state: &State, actions: &mut Vec<Action>) {
        let left = state.left;
        if state.store.late.is_some() {
            actions.push(Action::Land);
        }
        if left.total == 0 {
            return;
        }
        for owner in 0..2 {
            self.faults_of_owner(state, owner, actions);
        }
        for consumer in 0..2 {
            let mine = &state.consumers[consumer];
            if left.consumer_crash > 0 && (mine.call.is_some() || !mine.asked.is_empty()) {
                actions.push(Action::CrashConsumer(consumer));
            }
            if left.false_death > 0 && mine.life == state.store.alive[consumer] && !mine.asked.is_empty() {
                actions.push(Action::DeclareLivingDead(consumer));
            }
            if let Some(call) = mine.call.filter(|_| left.release > 0) {
                let repeatable = self.effect(call.message.dispatch.step) == Effect::Idempotent;
                if call.phase == Phase::Placing || (call.phase == Phase::Running && repeatable) {
                    actions.push(Action::Release(consumer));
                }
            }
        }
        let mut messages = state.broker.steps.clone();
        messages.dedup();
        let mut reports = state.broker.reports.clone();
        reports.dedup();
        if left.duplicate > 0 {
            actions.extend(messages.iter().map(|m| Action::DuplicateStep(*m)));
            let calls = state.consumers.iter().filter_map(|c| c.call).filter(|call| call.owed);
            actions.extend(calls.map(|call| Action::DuplicateStep(call.message)));
            actions.extend(reports.iter().map(|r| Action::DuplicateReport(*r)));
        }
        if left.loss > 0 {
            actions.extend(messages.into_iter().map(Action::LoseStep));
            actions.extend(reports.into_iter().map(Action::LoseReport));
        }
        if left.wipe > 0 {
            actions.push(Action::Wipe);
        }
    }

    fn faults_of_owner(&self, state: &State, owner: usize, actions: &mut Vec<Action>) {
        let left = state.left;
        match &state.owners[owner] {
            Owner::Free => {
                let other = matches!(&state.owners[1 - owner], Owner::Held(held) if held.epoch == state.store.epoch);
                if left.takeover > 0 && other {
                    actions.push(Action::TakeFromOther(owner));
                }
            }
            Owner::Loaded(_) => {}
            Owner::Taking(_) if left.owner_crash > 0 => actions.push(Action::CrashOwner(owner)),
            Owner::Taking(_) => {}
            Owner::Held(held) => {
                if left.owner_crash > 0 {
                    actions.push(Action::CrashOwner(owner));
                }
                if left.unknown_commit > 0 && held.turn.is_some() {
                    let landings = [Landing::Now, Landing::Never, Landing::Later];
                    actions.extend(landings.map(|landing| Action::CommitUnknown(owner, landing)));
                }
                if left.unconfirmed > 0 && held.turn.is_none() && !held.unpublished.is_empty() {
                    actions.push(Action::PublishUnconfirmed(owner));
                }
            }
        }
    }
}
