//! Owners, claimers and submitters against each other, each with a store of its own.

use crate::common::{Schema, eventually, number, sql};
use aidt_domain::{BatchId, DispatchNo, PartitionId, RunId, Seq, StepIx, StepState};
use aidt_store::conformance::build::{
    Owner, claim_request, command_id, plain_ref, run_id, run_row, segment, step_row, submission,
};
use aidt_store::conformance::{PARTITIONS, ok, refused};
use aidt_store::{ClaimState, Claims, Inbox, Kind, NewRun, RunLog, Store, StoreError, Turn};
use bytes::Bytes;
use tokio::task::JoinSet;

/// A turn that appends one event, which names its owner's epoch.
async fn append(store: &Store, owner: &mut Owner, run: RunId) -> Result<bool, StoreError> {
    let last = ok(store.run_log.load(&[run]).await)[0].row.last_seq.0;
    let mut segment = segment(run, last + 1, 1, b"");
    segment.events = Bytes::from(owner.row.epoch.0.to_string());
    let turn = Turn { runs: vec![run_row(run, last + 1)], segments: vec![segment], ..Turn::default() };
    Ok(!owner.try_commit(turn).await?.held.is_empty())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_owners_of_one_partition_write_one_history() {
    let (schema, run) = (Schema::new(), run_id(0, 1));
    let stores = [Store::new(schema.store().await), Store::new(schema.store().await)];
    Owner::take(&stores[0], 0).await.begin(run).await;
    let mut owners = JoinSet::new();
    for store in stores.clone() {
        owners.spawn(async move {
            let mut written = 0;
            for _ in 0..40 {
                let mut owner = Owner::take(&store, 0).await;
                while written % 5 != 4 && ok(append(&store, &mut owner, run).await) {
                    written += 1;
                }
                written += usize::from(ok(append(&store, &mut owner, run).await));
            }
            written
        });
    }
    let written: usize = owners.join_all().await.into_iter().sum();
    let history = ok(stores[0].history.segments(run, Seq(0), 9_999).await);
    assert!(written > 0);
    assert_eq!(history.len(), written, "what was answered as written is there, and nothing else");
    assert!(history.iter().zip(1..).all(|(segment, seq)| segment.first_seq.0 == seq), "no gap");
    let epochs = history.iter().map(|segment| String::from_utf8_lossy(&segment.events).parse::<u64>().expect("one"));
    assert!(epochs.is_sorted(), "nobody wrote after his time");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn owners_that_fight_for_all_partitions_do_not_deadlock() {
    let schema = Schema::new();
    let mut owners = JoinSet::new();
    for backwards in [false, true] {
        let store = Store::new(schema.store().await);
        owners.spawn(async move {
            for _ in 0..40 {
                let mut batches = Vec::new();
                for n in 0..PARTITIONS {
                    let n = if backwards { PARTITIONS - 1 - n } else { n };
                    batches.push(Owner::take(&store, n).await.batch(Turn::default()));
                }
                ok(store.run_log.commit(batches).await);
            }
        });
    }
    owners.join_all().await;
}

/// Claimers in both orders, while the owner burns the same dispatches and moves their steps on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dispatch_is_claimed_or_burned_and_never_both() {
    const STEPS: u32 = 24;
    let schema = Schema::new();
    let owners = Store::new(schema.store().await);
    let claimers = schema.store().await;
    let mut owner = Owner::take(&owners, 0).await;
    for round in 1..=12 {
        let run = run_id(0, round);
        owner.begin(run).await;
        owner.write_steps(run, (0..STEPS).map(|ix| step_row(ix, StepState::Dispatched, 1))).await;
        let mut claims = JoinSet::new();
        for process in 1..=4_u64 {
            let store = claimers.clone();
            claims.spawn(async move {
                let mut requests: Vec<_> = (0..STEPS).map(|ix| claim_request(run, ix, 1, process)).collect();
                if process % 2 == 0 {
                    requests.reverse();
                }
                let mut won = Vec::new();
                for some in requests.chunks(7) {
                    let states = ok(store.claim(some).await);
                    won.extend(some.iter().zip(states).filter(|(_, s)| *s == ClaimState::Won).map(|(r, _)| r.step.0));
                }
                won
            });
        }
        let burns = (0..STEPS).rev().map(|ix| (run, StepIx(ix), DispatchNo(1))).collect();
        let steps = (0..STEPS).rev().map(|ix| (run, step_row(ix, StepState::Cancelled, 1))).collect();
        let burned = owner.commit(Turn { burns, steps, ..Turn::default() }).await.burns;
        let mut winners = claims.join_all().await.concat();
        winners.extend(burned.iter().filter(|burn| burn.won).map(|burn| burn.step.0));
        winners.sort_unstable();
        assert_eq!(winners, (0..STEPS).collect::<Vec<_>>(), "each dispatch has one winner");
    }
}

#[tokio::test]
async fn a_poison_row_among_256_writes_nothing_and_then_stands_alone() {
    let schema = Schema::new();
    let store = Store::new(schema.store().await);
    let mut owner = Owner::take(&store, 0).await;
    let runs: Vec<RunId> = (1..=256).map(|n| run_id(0, n)).collect();
    let new_runs = runs.iter().map(|run| NewRun { row: run_row(*run, 0) }).collect();
    owner.commit(Turn { new_runs, ..Turn::default() }).await;
    let turn = |runs: &[RunId]| Turn {
        runs: runs.iter().map(|run| run_row(*run, if *run == run_id(0, 137) { 2 } else { 1 })).collect(),
        segments: runs.iter().map(|run| segment(*run, if *run == run_id(0, 137) { 2 } else { 1 }, 1, b"x")).collect(),
        steps: runs.iter().map(|run| (*run, step_row(0, StepState::Dispatched, 1))).collect(),
        ..Turn::default()
    };
    let before = ok(store.run_log.partition(PartitionId(0)).await);
    let refusal = owner.try_commit(turn(&runs)).await.expect_err("one of them does not stand there");
    assert_eq!(refusal.kind, Kind::Conflict);
    let cause = refusal.source.as_deref().and_then(std::error::Error::source).expect("the database's words");
    assert!(cause.to_string().contains(&run_id(0, 137).0.to_string()), "the run is named: {cause}");
    assert_eq!(ok(store.run_log.partition(PartitionId(0)).await), before);
    assert_eq!(ok(store.run_log.open_dispatches(PartitionId(0)).await), []);
    let good: Vec<RunId> = runs.into_iter().filter(|run| *run != run_id(0, 137)).collect();
    owner.commit(turn(&good)).await;
    assert_eq!(ok(store.run_log.open_dispatches(PartitionId(0)).await).len(), 255);
}

#[tokio::test]
async fn a_turn_is_one_statement() {
    let schema = Schema::new();
    let adapter = schema.store().await;
    let store = Store::new(adapter.clone());
    let mut owner = Owner::take(&store, 0).await;
    for turn in 1..=3 {
        let new_runs = (0..50).map(|n| NewRun { row: run_row(run_id(0, turn * 100 + n), 1) }).collect();
        let segments = (0..50).map(|n| segment(run_id(0, turn * 100 + n), 1, 1, b"x")).collect();
        let before = adapter.counters();
        owner.commit(Turn { new_runs, segments, ..Turn::default() }).await;
        let after = adapter.counters();
        assert_eq!((after.statements - before.statements, after.transactions - before.transactions), (1, 1));
        assert_eq!(after.rows - before.rows, 150);
        assert_eq!(after.connections, before.connections);
    }
}

#[tokio::test]
async fn a_command_that_is_committed_late_is_not_passed_over() {
    let schema = Schema::new();
    let store = schema.store().await;
    let mut slow = schema.shell().await;
    sql(&mut slow, "BEGIN").await;
    let late = format!(
        "INSERT INTO inbox (partition, id, project, run, at, command) \
         VALUES (0, '{}', 'default', '{}', 0, 'late')",
        command_id(1).0,
        run_id(0, 1).0
    );
    sql(&mut slow, &late).await;
    ok(store.submit(submission(2, run_id(0, 2))).await);
    let first = ok(store.inbox(PartitionId(0), 0, 9).await);
    assert_eq!(first.iter().map(|row| row.id).collect::<Vec<_>>(), [command_id(2)]);
    let ports = Store::new(store.clone());
    let mut owner = Owner::take(&ports, 0).await;
    owner.commit(Turn { inbox_done: vec![first[0].seq], ..Turn::default() }).await;
    sql(&mut slow, "COMMIT").await;
    let rest = ok(store.inbox(PartitionId(0), 0, 9).await);
    assert_eq!(rest.iter().map(|row| row.id).collect::<Vec<_>>(), [command_id(1)]);
    assert!(rest[0].seq < first[0].seq, "its place was given before");
}

#[tokio::test]
async fn a_failover_that_lost_commits_is_noticed() {
    let schema = Schema::new();
    let store = schema.store().await;
    let ports = Store::new(store.clone());
    for _ in 0..3 {
        Owner::take(&ports, 0).await;
    }
    sql(&mut schema.shell().await, "UPDATE partitions SET epoch = 1 WHERE id = 0").await;
    refused(store.partition(PartitionId(0)).await, Kind::Corrupt);
    let error = store.take(PartitionId(0), aidt_store::conformance::build::process_id(1), 9).await;
    let error = error.expect_err("its epoch went back");
    assert_eq!(error.kind, Kind::Corrupt);
    let why = error.source.expect("the reason").to_string();
    assert!(why.contains("is at epoch 2, and was at 4 or above"), "{why}");
    Owner::take(&ports, 1).await;
}

#[tokio::test]
async fn ten_mebibytes_come_back() {
    let (schema, run) = (Schema::new(), run_id(0, 1));
    let store = Store::new(schema.store().await);
    let mut owner = Owner::take(&store, 0).await;
    let large: Bytes = (0..10 << 20).map(|n: u32| n.wrapping_mul(2_654_435_761).to_le_bytes()[3]).collect();
    let mut row = segment(run, 1, 1, &large);
    row.events = large.clone();
    let turn = Turn { new_runs: vec![NewRun { row: run_row(run, 1) }], segments: vec![row], ..Turn::default() };
    owner.commit(turn).await;
    assert_eq!(ok(store.run_log.segment(run, Seq(1)).await).events, large);
    let slice = ok(store.run_log.payloads(&[(run, plain_ref(1, 5_000_000, 3))]).await);
    assert_eq!(slice, [large.slice(5_000_000..5_000_003)]);
    assert_eq!(ok(store.run_log.partition(PartitionId(0)).await).batch_id, BatchId(1));
}

#[tokio::test]
async fn keys_past_their_time_are_swept_out() {
    let schema = Schema::new();
    let store = schema.store().await;
    let mut shell = schema.shell().await;
    let old = "INSERT INTO idempotency SELECT sha256(n::text::bytea), '', gen_random_uuid(), n \
               FROM generate_series(1, 500) AS n";
    sql(&mut shell, old).await;
    for n in 1..=64 {
        let mut submission = submission(n, run_id(0, n));
        submission.idempotency = Some((format!("key {n}"), aidt_domain::Digest::of(b"body")));
        ok(store.submit(submission).await);
    }
    eventually("the old keys are gone", async || number(&mut shell, "SELECT count(*) FROM idempotency").await == 64)
        .await;
}
