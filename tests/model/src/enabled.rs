//! What can happen next by itself: at once or after seconds, or after a long wait; and what people ask for.

use crate::Loop;
use crate::actions::Action;
use crate::consumer::index;
use crate::rows::{Command, Dispatch, Holder, RunState, StepState, Wish};
use crate::state::{Held, Own, Owner, Phase, State};

impl Loop {
    /// What happens by itself, at once or after seconds.
    pub(crate) fn prompt(&self, state: &State, actions: &mut Vec<Action>) {
        for owner in 0..2 {
            self.of_owner(state, owner, actions);
        }
        for consumer in 0..usize::from(self.bounds.consumers) {
            self.of_consumer(state, consumer, actions);
        }
    }

    fn of_owner(&self, state: &State, owner: usize, actions: &mut Vec<Action>) {
        let held = match &state.owners[owner] {
            Owner::Held(held) => held,
            Owner::Taking(_) => return actions.push(Action::Load(owner)),
            Owner::Loaded(_) => return actions.push(Action::Take(owner)),
            Owner::Free if self.is_held(state) || self.is_gone(state, owner) => return,
            Owner::Free => return actions.push(self.first_of_taking(owner)),
        };
        if held.epoch != state.store.epoch && (self.rules.loss_is_noticed_alone || self.is_held(state)) {
            actions.push(Action::NoticeLost(owner));
        }
        if held.turn.is_some() {
            return actions.push(Action::Commit(owner));
        }
        if !held.unpublished.is_empty() {
            actions.push(Action::Publish(owner));
        }
        if !held.remove.is_empty() {
            actions.push(Action::RemoveRows(owner));
        }
        if held.taken.iter().any(|taken| taken.applied) {
            return actions.push(Action::Ack(owner));
        }
        if held.taken.len() < 2 {
            let mut reports = state.broker.reports.clone();
            reports.dedup();
            actions.extend(reports.into_iter().map(|report| Action::Receive(owner, report)));
        }
        let inbox = state.store.inbox.iter().any(|c| !held.remove.contains(c));
        if inbox || !held.own.is_empty() || !held.taken.is_empty() || self.is_unswept(held) {
            actions.push(Action::Decide(owner));
        } else if held.published != held.published_stored && held.unpublished.is_empty() {
            actions.push(Action::Flush(owner));
        }
        if held.own.is_empty() && !self.news(state, owner).is_empty() {
            actions.push(Action::LookAtClaims(owner));
        }
        if self.rules.wipe_is_noticed && held.incarnation != state.broker.incarnation {
            actions.push(Action::NoticeWipe(owner));
        }
        for dispatch in outs(held, StepState::Running) {
            let cancelling = held.runs[usize::from(dispatch.run)].state == RunState::Cancelling;
            if cancelling && !held.own.contains(&Own::GraceOver(dispatch)) {
                actions.push(Action::GraceOver(owner, dispatch));
            }
        }
    }

    fn first_of_taking(&self, owner: usize) -> Action {
        if self.rules.load_after_taking { Action::Take(owner) } else { Action::Load(owner) }
    }

    /// A new owner goes through runs that are being cancelled.
    fn is_unswept(&self, held: &Held) -> bool {
        held.runs.iter().zip(held.swept).any(|(run, swept)| run.state == RunState::Cancelling && !swept)
    }

    /// Without that rule: a process that died does not come back as long as another believes that it holds.
    fn is_gone(&self, state: &State, owner: usize) -> bool {
        !self.rules.loss_is_noticed_alone && matches!(state.owners[1 - owner], Owner::Held(_))
    }

    /// Somebody has the epoch, or is about to.
    fn is_held(&self, state: &State) -> bool {
        state.owners.iter().any(|owner| match owner {
            Owner::Held(held) => held.epoch == state.store.epoch,
            Owner::Taking(row) => row.epoch == state.store.epoch,
            Owner::Loaded(_) => true,
            Owner::Free => false,
        })
    }

    fn of_consumer(&self, state: &State, consumer: usize, actions: &mut Vec<Action>) {
        let mine = &state.consumers[consumer];
        let alive = state.store.alive[consumer];
        if mine.life < alive {
            actions.push(Action::NoticeDead(consumer));
        }
        if has_claims_of_the_past(state, consumer) {
            actions.push(Action::DeclareDead(consumer));
        }
        if mine.kept.iter().any(|(_, at)| *at != state.broker.incarnation) {
            actions.push(Action::PublishKept(consumer));
        }
        let Some(call) = mine.call else {
            // A process that was taken for dead has what it had in hand; it takes nothing new.
            if mine.life < alive {
                return;
            }
            let mut messages = state.broker.steps.clone();
            messages.dedup();
            return actions.extend(messages.into_iter().map(|m| Action::Deliver(consumer, m)));
        };
        match call.phase {
            Phase::Arrived => actions.push(Action::Claim(consumer)),
            Phase::Placing => actions.push(Action::Start(consumer)),
            Phase::Running => {
                actions.push(Action::End(consumer));
                if !call.claimed && self.rules.claim_before_once {
                    actions.push(Action::Claim(consumer));
                }
            }
            Phase::Ended(_) => actions.push(Action::PublishResult(consumer)),
        }
    }

    /// What happens by itself after a minute, or after the step's whole run time: when nothing quicker is left.
    pub(crate) fn slow(&self, state: &State, actions: &mut Vec<Action>) {
        for owner in 0..2 {
            let Owner::Held(held) = &state.owners[owner] else { continue };
            if held.turn.is_some() || held.epoch != state.store.epoch || !held.own.is_empty() {
                continue;
            }
            for dispatch in outs(held, StepState::Dispatched).into_iter().filter(|d| !state.is_under_way(*d)) {
                if self.rules.unclaimed_again && self.news(state, owner).is_empty() {
                    actions.push(Action::PublishAgain(owner, dispatch));
                }
            }
            for dispatch in outs(held, StepState::Running).into_iter().filter(|d| !state.is_under_way(*d)) {
                if self.news(state, owner).is_empty() {
                    actions.push(Action::Overdue(owner, dispatch));
                }
            }
        }
    }

    /// What people ask for.
    pub(crate) fn people(&self, state: &State, actions: &mut Vec<Action>) {
        let mut submit = |run, wish, may: bool| {
            let command = Command { run, wish };
            if may && state.witness.accepted & command.bit() == 0 {
                actions.push(Action::Submit(command));
            }
        };
        for run in 0..self.bounds.runs {
            // Runs are alike: one order of submission stands for both.
            let before = run == 0 || state.witness.accepted & Command { run: run - 1, wish: Wish::Start }.bit() != 0;
            submit(run, Wish::Start, before);
            let started = state.witness.accepted & Command { run, wish: Wish::Start }.bit() != 0;
            submit(run, Wish::Cancel, started && state.cancels > 0);
            let row = &state.store.runs[usize::from(run)];
            let unknown = row.state == RunState::Running && row.steps.iter().any(|s| s.state == StepState::Unknown);
            submit(run, Wish::Retry, unknown && state.retries > 0);
        }
    }
}

/// A life of this step consumer that is over, and not known to be, holds a claim.
fn has_claims_of_the_past(state: &State, consumer: usize) -> bool {
    let past = state.store.alive[consumer]..state.consumers[consumer].life;
    let of = |holder| matches!(holder, Holder::Process(p) if p.consumer == index(consumer) && past.contains(&p.life));
    state.store.claims.iter().flatten().flatten().any(|(_, holder)| of(*holder))
}

/// Steps in this state, as an owner knows them.
fn outs(held: &Held, wanted: StepState) -> Vec<Dispatch> {
    let mut found = Vec::new();
    for (run, row) in (0_u8..).zip(&held.runs) {
        for (step, row) in (0_u8..).zip(&row.steps).filter(|(_, row)| row.state == wanted) {
            found.push(Dispatch { run, step, number: row.dispatch });
        }
    }
    found
}
