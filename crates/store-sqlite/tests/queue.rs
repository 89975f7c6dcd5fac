//! What others queue goes along with the owner's transaction, and each fails alone.

use aidt_domain::{PartitionId, StepIx};
use aidt_store::conformance::build::{
    Owner, claim_request, inbox_row, process_id, process_row, run_id, run_row, submission,
};
use aidt_store::conformance::{ManualClock, PARTITIONS, ok, refused};
use aidt_store::{ClaimState, Kind, LogChunk, Store, Submitted, Turn};
use aidt_store_sqlite::{Options, SqliteStore};
use bytes::Bytes;
use futures::future::join_all;
use std::sync::Arc;
use std::time::Duration;

fn open(folder: &std::path::Path) -> Arc<SqliteStore> {
    let options = Options::new(PARTITIONS, Arc::new(ManualClock::default()));
    SqliteStore::open(folder.join("aidt.db"), options).expect("the store opens")
}

fn log_of(run: u64) -> Vec<LogChunk> {
    let (dispatch, bytes) = (aidt_domain::DispatchNo(1), Bytes::from_static(b"text"));
    vec![LogChunk { run: run_id(0, run), step: StepIx(0), dispatch, offset: 0, bytes }]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_fails_leaves_the_others_alone() {
    let folder = tempfile::tempdir().unwrap();
    let sqlite = open(folder.path());
    let store = Store::new(sqlite.clone());
    let mut owner = Owner::take(&store, 0).await;
    owner.begin_dispatched(run_id(0, 1)).await;
    let before = sqlite.counters();
    let good = join_all((0..40).map(|n| store.inbox.submit(submission(n, run_id(0, n)))));
    let bad = join_all((0..40).map(|n| store.logs.append_logs(log_of(100 + n))));
    let claims = join_all((1..40).map(|n| {
        let store = store.clone();
        async move { store.claims.claim(&[claim_request(run_id(0, 1), 0, 1, n)]).await }
    }));
    let wrong = async {
        for _ in 0..20 {
            refused(
                owner.try_commit(Turn { runs: vec![run_row(run_id(0, 77), 0)], ..Turn::default() }).await,
                Kind::Conflict,
            );
            tokio::task::yield_now().await;
        }
    };
    let (good, bad, claims, ()) = tokio::join!(good, bad, claims, wrong);
    assert!(good.into_iter().all(|answer| ok(answer) == Submitted::Accepted));
    bad.into_iter().for_each(|answer| refused(answer, Kind::NotFound));
    let won = claims.into_iter().filter(|answer| matches!(answer, Ok(states) if states[0] == ClaimState::Won));
    assert_eq!(won.count(), 1);
    assert_eq!(ok(store.inbox.inbox(PartitionId(0), 0, 99).await).len(), 40);
    let after = sqlite.counters();
    assert!(after.transactions - before.transactions < 119, "several went together: {after:?}");
}

#[tokio::test]
async fn a_run_that_was_rolled_back_is_not_remembered() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::new(open(folder.path()));
    let mut owner = Owner::take(&store, 0).await;
    let new = |n| aidt_store::NewRun { row: run_row(run_id(0, n), 0) };
    let bad = Turn { new_runs: vec![new(1), new(2)], runs: vec![run_row(run_id(0, 3), 0)], ..Turn::default() };
    refused(owner.try_commit(bad).await, Kind::Conflict);
    owner.begin(run_id(0, 9)).await;
    refused(store.logs.append_logs(log_of(1)).await, Kind::NotFound);
    owner.begin(run_id(0, 2)).await;
    ok(store.logs.append_logs(log_of(2)).await);
    let logs = async |run| ok(store.logs.logs(run_id(0, run), StepIx(0), Default::default(), 9).await);
    assert_eq!(logs(2).await.len(), 1);
    assert_eq!(logs(9).await.len(), 0);
}

#[tokio::test]
async fn what_nobody_waits_for_is_written_all_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::new(open(folder.path()));
    for n in 0..50 {
        let row = aidt_store::Submission { row: inbox_row(n, run_id(0, n)), documents: vec![], idempotency: None };
        let submitting = store.inbox.submit(row);
        // Polled once, then dropped.
        drop(tokio::time::timeout(Duration::ZERO, submitting).await);
    }
    drop(store);
    let store = Store::new(open(folder.path()));
    assert_eq!(ok(store.inbox.inbox(PartitionId(0), 0, 99).await).len(), 50);
}

#[tokio::test]
async fn a_long_log_is_copied_while_it_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let clock = Arc::new(ManualClock::default());
    let options = Options { checkpoint_pages: 64, ..Options::new(PARTITIONS, clock.clone()) };
    let sqlite = SqliteStore::open(folder.path().join("aidt.db"), options).unwrap();
    let store = Store::new(sqlite.clone());
    for n in 0..3_000 {
        clock.advance(Duration::from_millis(1));
        ok(store.processes.register(process_row(n % 7)).await);
        ok(store.processes.heartbeat(process_id(n % 7)).await);
        if sqlite.counters().checkpoints >= 2 {
            break;
        }
    }
    assert!(sqlite.counters().checkpoints >= 2, "{:?}", sqlite.counters());
    let log = folder.path().join("aidt.db-wal").metadata().unwrap().len();
    assert!(log < 4 << 20, "the log begins anew: {log} bytes");
    assert_eq!(ok(store.processes.live(u64::MAX).await).0.len(), 7);
}
