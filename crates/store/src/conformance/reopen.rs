//! For adapters that keep what they are given: opened again, everything is there.

use super::build::{
    Owner, claim_request, full_run_row, full_step_row, inbox_row, process_id, process_row, run_id, segment, step_row,
};
use super::{ManualClock, ok};
use crate::Store;
use crate::types::{
    ClaimState, DeadLetter, JournalEntry, JournalKey, LogChunk, NewRun, Submission, Submitted, TimerRow, Turn,
};
use aidt_domain::{
    Attempt, Digest, DispatchNo, Generation, PartitionId, Project, RunId, Seq, StepIx, StepState, Timestamp,
};
use bytes::Bytes;
use std::sync::Arc;

/// Fills a store, drops it, opens it again with `open` and reads.
pub async fn everything_is_still_there(open: impl AsyncFn(Arc<ManualClock>) -> Store) {
    let clock = Arc::new(ManualClock::default());
    let run = run_id(0, 1);
    let before = {
        let store = open(clock.clone()).await;
        fill(&store, run).await;
        read(&store, run).await
    };
    let store = open(clock.clone()).await;
    assert_eq!(read(&store, run).await, before);
    let late = keyed(2, run_id(0, 2));
    assert_eq!(ok(store.inbox.submit(late).await), Submitted::Repeated(run));
    let claims = [claim_request(run, 1, 1, 2), claim_request(run, 2, 1, 2)];
    let answers = ok(store.claims.claim(&claims).await);
    assert_eq!(answers, [ClaimState::Held(process_id(1)), ClaimState::Burned]);
    let mut next = Owner::take(&store, 0).await;
    assert_eq!(next.row.epoch.0, 2);
    next.begin(run_id(0, 3)).await;
}

fn keyed(n: u64, run: RunId) -> Submission {
    Submission {
        row: inbox_row(n, run),
        documents: vec![(Digest::of(b"doc"), Bytes::from_static(b"doc"))],
        idempotency: Some(("key".to_owned(), Digest::of(b"body"))),
    }
}

async fn fill(store: &Store, run: RunId) {
    ok(store.inbox.submit(keyed(1, run)).await);
    ok(store.processes.register(process_row(1)).await);
    let mut owner = Owner::take(store, 0).await;
    owner.row.incarnation = "queue-1".to_owned();
    let letter = DeadLetter {
        id: 0,
        inlet: "inbox".to_owned(),
        run: None,
        headers: std::collections::BTreeMap::new(),
        project: None,
        reason: "no".to_owned(),
        bytes: Bytes::new(),
        at: Timestamp(0),
    };
    let out = |ix| (run, step_row(ix, StepState::Dispatched, 1));
    owner
        .commit(Turn {
            new_runs: vec![NewRun { row: full_run_row(run, 2) }],
            steps: vec![(run, full_step_row(0, StepState::Done, 1)), out(1), out(2)],
            segments: vec![segment(run, 1, 2, b"abcdefg")],
            timers_set: vec![TimerRow { at: Timestamp(50), run, step: Some(StepIx(1)) }],
            burns: vec![(run, StepIx(2), DispatchNo(1))],
            dead_letters: vec![letter],
            ..Turn::default()
        })
        .await;
    let claim = claim_request(run, 1, 1, 1);
    ok(store.journal.open(&journal_key(run), &claim).await);
    let entry = JournalEntry { index: 0, dispatch: DispatchNo(1), entry: Bytes::from_static(b"asked") };
    ok(store.journal.append(&journal_key(run), &claim, entry).await);
    let chunk =
        LogChunk { run, step: StepIx(1), dispatch: DispatchNo(1), offset: 0, bytes: Bytes::from_static(b"log") };
    ok(store.logs.append_logs(vec![chunk]).await);
}

fn journal_key(run: RunId) -> JournalKey {
    JournalKey { run, step: StepIx(1), generation: Generation(1), attempt: Attempt(1) }
}

/// Everything that was filled in, as text.
async fn read(store: &Store, run: RunId) -> Vec<String> {
    let (log, home) = (&store.run_log, PartitionId(0));
    vec![
        format!("{:?}", ok(log.partition(home).await)),
        format!("{:?}", ok(log.load(&[run]).await)),
        format!("{:?}", ok(store.history.run(&Project::default(), run).await)),
        format!("{:?}", ok(store.history.segments(run, Seq(0), 9).await)),
        format!("{:?}", ok(log.timers(home, Timestamp(99), 9).await)),
        format!("{:?}", ok(log.claims(home).await)),
        format!("{:?}", ok(log.open_dispatches(home).await)),
        format!("{:?}", ok(store.inbox.inbox(home, 0, 9).await)),
        format!("{:?}", ok(store.catalog.documents(&[Digest::of(b"doc")]).await)),
        format!("{:?}", ok(store.journal.open(&journal_key(run), &claim_request(run, 1, 1, 1)).await)),
        format!("{:?}", ok(store.logs.logs(run, StepIx(1), (DispatchNo(0), 0), 9).await)),
        format!("{:?}", ok(store.dead_letters.dead_letters(0, 9).await)),
        format!("{:?}", ok(store.processes.live(4_000).await)),
    ]
}
