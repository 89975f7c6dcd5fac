//! Claims and journals.

use super::state::{Holder, State};
use super::{MemoryStore, Result};
use crate::types::{ClaimRequest, ClaimState, JournalEntry, JournalKey};
use crate::{Claims, Journal, Kind, StoreError};
use aidt_domain::StepState;
use async_trait::async_trait;

#[async_trait]
impl Claims for MemoryStore {
    async fn claim(&self, requests: &[ClaimRequest]) -> Result<Vec<ClaimState>> {
        let mut state = self.state();
        Ok(requests.iter().map(|request| claim(&mut state, request)).collect())
    }
}

/// Whoever inserts first decides, while the dispatch is the step's current one.
fn claim(state: &mut State, request: &ClaimRequest) -> ClaimState {
    let key = (request.run, request.step, request.dispatch);
    let Some(step) = state.out(key).map(|row| row.state) else {
        return ClaimState::Stale;
    };
    match state.claims.get(&key) {
        Some(Holder { process: None, .. }) => ClaimState::Burned,
        Some(Holder { process: Some(holder), .. }) if *holder == request.process => ClaimState::Won,
        Some(Holder { process: Some(holder), .. }) => ClaimState::Held(*holder),
        None if step == StepState::Dispatched => {
            state.claims.insert(key, Holder { process: Some(request.process), stop: false });
            ClaimState::Won
        }
        None => ClaimState::Stale,
    }
}

#[async_trait]
impl Journal for MemoryStore {
    async fn open(&self, key: &JournalKey, request: &ClaimRequest) -> Result<Vec<JournalEntry>> {
        let mut state = self.state();
        match claim(&mut state, request) {
            ClaimState::Won => Ok(state.journal.get(key).cloned().unwrap_or_default()),
            other => Err(refused("open", request, &format!("the claim is {other:?}"))),
        }
    }

    async fn append(&self, key: &JournalKey, request: &ClaimRequest, entry: JournalEntry) -> Result<()> {
        let mut state = self.state();
        let dispatch = (request.run, request.step, request.dispatch);
        let mine = state.claims.get(&dispatch).is_some_and(|holder| holder.process == Some(request.process));
        if !mine || state.out(dispatch).is_none() {
            return Err(refused("append", request, "it is no longer current, or not this process's"));
        }
        let entries = state.journal.entry(key.clone()).or_default();
        if entry.index as usize != entries.len() {
            let why = format!("entry {} came where {} is next", entry.index, entries.len());
            return Err(refused("append", request, &why));
        }
        entries.push(entry);
        Ok(())
    }
}

fn refused(operation: &'static str, claim: &ClaimRequest, why: &str) -> StoreError {
    let message = format!("journal of {} step {} dispatch {}: {why}", claim.run, claim.step, claim.dispatch);
    StoreError::new(operation, Kind::Conflict, message)
}
