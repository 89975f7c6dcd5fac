//! Agents' journals.

use super::build::{Owner, claim_request, run_id, step_row};
use super::{Fixture, ok, refused};
use crate::Kind;
use crate::types::{ClaimState, JournalEntry, JournalKey, Turn};
use aidt_domain::{Attempt, DispatchNo, Generation, RunId, StepIx, StepState};
use bytes::Bytes;

fn key(run: RunId) -> JournalKey {
    JournalKey { run, step: StepIx(0), generation: Generation(1), attempt: Attempt(1) }
}

fn entry(index: u32, dispatch: u32) -> JournalEntry {
    JournalEntry { index, dispatch: DispatchNo(dispatch), entry: Bytes::from(format!("entry {index}\0")) }
}

async fn dispatched(f: &Fixture) -> (Owner, RunId) {
    let run = run_id(0, 1);
    let mut owner = Owner::take(&f.store, 0).await;
    owner.begin_dispatched(run).await;
    (owner, run)
}

pub async fn opening_claims(f: Fixture) {
    let (mut owner, run) = dispatched(&f).await;
    let journal = &f.store.journal;
    assert_eq!(ok(journal.open(&key(run), &claim_request(run, 0, 1, 1)).await), []);
    let rival = ok(f.store.claims.claim(&[claim_request(run, 0, 1, 2)]).await);
    assert!(matches!(rival[0], ClaimState::Held(_)));
    refused(journal.open(&key(run), &claim_request(run, 0, 1, 2)).await, Kind::Conflict);
    assert_eq!(ok(journal.open(&key(run), &claim_request(run, 0, 1, 1)).await), [], "again by the holder");
    owner.write_steps(run, [step_row(0, StepState::Dispatched, 2)]).await;
    refused(journal.open(&key(run), &claim_request(run, 0, 1, 1)).await, Kind::Conflict);
    let burns = vec![(run, StepIx(0), DispatchNo(2))];
    owner.commit(Turn { burns, ..Turn::default() }).await;
    refused(journal.open(&key(run), &claim_request(run, 0, 2, 1)).await, Kind::Conflict);
}

pub async fn entries_come_back_to_the_next_dispatch(f: Fixture) {
    let (mut owner, run) = dispatched(&f).await;
    let (journal, first) = (&f.store.journal, claim_request(run, 0, 1, 1));
    ok(journal.open(&key(run), &first).await);
    for index in 0..3 {
        ok(journal.append(&key(run), &first, entry(index, 1)).await);
    }
    owner.write_steps(run, [step_row(0, StepState::Dispatched, 2)]).await;
    let second = claim_request(run, 0, 2, 2);
    let found = ok(journal.open(&key(run), &second).await);
    assert_eq!(found, [entry(0, 1), entry(1, 1), entry(2, 1)]);
    ok(journal.append(&key(run), &second, entry(3, 2)).await);
    assert_eq!(ok(journal.open(&key(run), &second).await)[3], entry(3, 2));
}

pub async fn entries_have_no_gap(f: Fixture) {
    let (_, run) = dispatched(&f).await;
    let (journal, claim) = (&f.store.journal, claim_request(run, 0, 1, 1));
    refused(journal.append(&key(run), &claim, entry(0, 1)).await, Kind::Conflict);
    ok(journal.open(&key(run), &claim).await);
    refused(journal.append(&key(run), &claim, entry(1, 1)).await, Kind::Conflict);
    ok(journal.append(&key(run), &claim, entry(0, 1)).await);
    refused(journal.append(&key(run), &claim, entry(0, 1)).await, Kind::Conflict);
    refused(journal.append(&key(run), &claim, entry(2, 1)).await, Kind::Conflict);
    ok(journal.append(&key(run), &claim, entry(1, 1)).await);
    assert_eq!(ok(journal.open(&key(run), &claim).await).len(), 2);
}

pub async fn a_frozen_predecessor_writes_nothing(f: Fixture) {
    let (mut owner, run) = dispatched(&f).await;
    let (journal, frozen) = (&f.store.journal, claim_request(run, 0, 1, 1));
    ok(journal.open(&key(run), &frozen).await);
    owner.write_steps(run, [step_row(0, StepState::Running, 1)]).await;
    ok(journal.append(&key(run), &frozen, entry(0, 1)).await);
    owner.write_steps(run, [step_row(0, StepState::Dispatched, 2)]).await;
    refused(journal.append(&key(run), &frozen, entry(1, 1)).await, Kind::Conflict);
    let successor = claim_request(run, 0, 2, 2);
    assert_eq!(ok(journal.open(&key(run), &successor).await), [entry(0, 1)]);
    owner.write_steps(run, [step_row(0, StepState::Done, 2)]).await;
    refused(journal.append(&key(run), &successor, entry(1, 2)).await, Kind::Conflict);
}

pub async fn another_process_writes_nothing(f: Fixture) {
    let (_, run) = dispatched(&f).await;
    let journal = &f.store.journal;
    ok(journal.open(&key(run), &claim_request(run, 0, 1, 1)).await);
    refused(journal.append(&key(run), &claim_request(run, 0, 1, 2), entry(0, 1)).await, Kind::Conflict);
}

pub async fn each_attempt_has_its_own(f: Fixture) {
    let (_, run) = dispatched(&f).await;
    let (journal, claim) = (&f.store.journal, claim_request(run, 0, 1, 1));
    ok(journal.open(&key(run), &claim).await);
    ok(journal.append(&key(run), &claim, entry(0, 1)).await);
    for other in [JournalKey { attempt: Attempt(2), ..key(run) }, JournalKey { generation: Generation(2), ..key(run) }]
    {
        assert_eq!(ok(journal.open(&other, &claim).await), []);
        ok(journal.append(&other, &claim, entry(0, 1)).await);
    }
    assert_eq!(ok(journal.open(&key(run), &claim).await), [entry(0, 1)]);
}
