//! What the store does: one transaction at a time.

use crate::Loop;
use crate::rows::{Batch, Dispatch, Holder, Process, StepState};
use crate::state::State;

/// What became of a transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Written {
    /// It is durable; whether each burn was won.
    Held(Vec<(Dispatch, bool)>),
    /// The epoch is another: nothing was written.
    Fenced,
    /// A run stands elsewhere: nothing was written.
    Conflict,
}

/// What a process that asks for a claim is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Claimed {
    Won,
    Lost,
}

impl Loop {
    /// One transaction behind the fence.
    pub(crate) fn write(&self, state: &mut State, batch: &Batch) -> Written {
        let (store, witness) = (&mut state.store, &mut state.witness);
        let fits = batch.epoch == store.epoch;
        if self.rules.epoch_fence && !fits {
            return Written::Fenced;
        }
        let stands = |&(run, base, _): &(u8, u8, _)| store.runs[usize::from(run)].seq == base;
        if self.rules.run_stands_where_believed && !batch.runs.iter().all(stands) {
            return Written::Conflict;
        }
        witness.stale_write |= !fits;
        store.published = batch.published;
        store.out_seq = batch.out_seq;
        store.incarnation = batch.incarnation;
        for dispatch in &batch.recorded {
            let old = store.runs[usize::from(dispatch.run)].steps[usize::from(dispatch.step)];
            witness.stale_record |= old.dispatch != dispatch.number;
            let seen = &mut witness.steps[usize::from(dispatch.run)][usize::from(dispatch.step)];
            seen.recorded[usize::from(old.generation).min(1)] += 1;
        }
        for &(run, base, row) in &batch.runs {
            store.runs[usize::from(run)] = row;
            store.events[usize::from(run)] += row.seq - base;
        }
        for &command in &batch.applied {
            witness.applied_again |= witness.applied & command.bit();
            witness.applied |= command.bit();
            if self.removes_with_commit() {
                store.inbox.retain(|c| *c != command);
            }
        }
        let burns = batch.burns.iter().map(|&dispatch| {
            let claim = &mut store.claims[usize::from(dispatch.run)][usize::from(dispatch.step)];
            let holder = claim.filter(|(number, _)| *number == dispatch.number).map(|(_, holder)| holder);
            let won = holder.is_none_or(|holder| holder == Holder::Burned);
            if won {
                *claim = Some((dispatch.number, Holder::Burned));
            }
            (dispatch, won || !self.rules.burn_excludes_claim)
        });
        Written::Held(burns.collect())
    }

    /// Inserts a claim while the step's row says `dispatched` with this dispatch and nobody holds it.
    pub(crate) fn claim(&self, state: &mut State, dispatch: Dispatch, process: Process) -> Claimed {
        let step = state.stored(dispatch);
        if step.dispatch != dispatch.number || !step.state.is_out() {
            return Claimed::Lost;
        }
        let claim = &mut state.store.claims[usize::from(dispatch.run)][usize::from(dispatch.step)];
        let holder = claim.filter(|(number, _)| *number == dispatch.number).map(|(_, holder)| holder);
        match holder {
            Some(Holder::Process(holder)) if holder == process => Claimed::Won,
            Some(Holder::Process(_)) if self.rules.claim_unique => Claimed::Lost,
            Some(Holder::Burned) if self.rules.burn_excludes_claim => Claimed::Lost,
            None if step.state != StepState::Dispatched => Claimed::Lost,
            _ => {
                *claim = Some((dispatch.number, Holder::Process(process)));
                Claimed::Won
            }
        }
    }
}
