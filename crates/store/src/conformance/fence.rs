//! The partition's epoch and the checks of a batch.

use super::build::{Owner, inbox_row, process_id, run_id, run_row, segment, step_row, submission};
use super::{Fixture, PARTITIONS, ok, refused};
use crate::types::{Batch, Commit, DeadLetter, NewRun, TimerRow, Turn};
use crate::{Kind, Store};
use aidt_domain::{
    BatchId, DispatchNo, Epoch, FORMAT, OutSeq, PartitionId, Project, RunId, Seq, StepIx, StepState, Timestamp,
};
use bytes::Bytes;
use std::time::Duration;
use tokio::task::JoinSet;

pub async fn take_raises_the_epoch_once_for_each_taker(f: Fixture) {
    assert_eq!(f.store.run_log.partitions(), PARTITIONS);
    let mut takers = JoinSet::new();
    for n in 0..16 {
        let log = f.store.run_log.clone();
        takers.spawn(async move {
            let row = ok(log.take(PartitionId(3), process_id(n), FORMAT).await);
            assert_eq!(row.owner, Some(process_id(n)));
            row.epoch
        });
    }
    let mut epochs = takers.join_all().await;
    epochs.sort();
    assert_eq!(epochs, (1..=16).map(Epoch).collect::<Vec<_>>());
    assert_eq!(ok(f.store.run_log.partition(PartitionId(3)).await).epoch, Epoch(16));
    assert_eq!(ok(f.store.run_log.partition(PartitionId(2)).await).epoch, Epoch(0));
    refused(f.store.run_log.take(PartitionId(PARTITIONS), process_id(1), FORMAT).await, Kind::Invalid);
    refused(f.store.run_log.partition(PartitionId(PARTITIONS)).await, Kind::Invalid);
}

pub async fn a_newer_format_is_not_taken(f: Fixture) {
    let log = &f.store.run_log;
    let newer = ok(log.take(PartitionId(0), process_id(1), FORMAT + 1).await);
    assert_eq!(newer.format, FORMAT + 1);
    refused(log.take(PartitionId(0), process_id(2), FORMAT).await, Kind::Conflict);
    assert_eq!(ok(log.partition(PartitionId(0)).await), newer);
}

/// A turn that touches everything that a turn can.
fn everything(run: RunId) -> Turn {
    Turn {
        new_runs: vec![NewRun { row: run_row(run, 2) }],
        steps: vec![(run, step_row(0, StepState::Ready, 0)), (run, step_row(1, StepState::Dispatched, 1))],
        segments: vec![segment(run, 1, 2, b"payload")],
        timers_set: vec![TimerRow { at: Timestamp(5), run, step: None }],
        inbox_done: vec![1],
        burns: vec![(run, StepIx(1), DispatchNo(1))],
        inbox_put: vec![inbox_row(77, run)],
        dead_letters: vec![DeadLetter {
            id: 0,
            inlet: "inbox".to_owned(),
            run: Some(run),
            headers: std::collections::BTreeMap::new(),
            project: None,
            reason: "unreadable".to_owned(),
            bytes: Bytes::from_static(b"?"),
            at: Timestamp(0),
        }],
        ..Turn::default()
    }
}

/// How much of [`everything`] is there.
async fn traces(store: &Store, run: RunId) -> Vec<bool> {
    let (log, home) = (&store.run_log, PartitionId::of(run, PARTITIONS));
    vec![
        ok(store.history.run(&Project::default(), run).await).is_some(),
        !ok(store.history.steps(run, None, 9).await).is_empty(),
        !ok(store.history.segments(run, Seq(0), 9).await).is_empty(),
        !ok(log.timers(home, Timestamp(9), 9).await).0.is_empty(),
        !ok(log.open_dispatches(home).await).is_empty(),
        !ok(log.ready(home, None, 9).await).is_empty(),
        !ok(log.claims(home).await).is_empty(),
        ok(store.inbox.inbox(home, 0, 9).await).iter().any(|row| row.id == inbox_row(77, run).id),
        !ok(store.dead_letters.dead_letters(0, 9).await).is_empty(),
        ok(log.partition(home).await).batch_id != BatchId(0),
    ]
}

pub async fn a_stale_epoch_writes_nothing(f: Fixture) {
    let run = run_id(4, 1);
    let mut old = Owner::take(&f.store, 4).await;
    let mut new = Owner::take(&f.store, 4).await;
    ok(f.store.inbox.submit(submission(1, run)).await);

    assert_eq!(ok(old.try_commit(everything(run)).await), Commit::default());
    assert!(traces(&f.store, run).await.iter().all(|there| !there), "{:?}", traces(&f.store, run).await);
    assert_eq!(ok(f.store.inbox.inbox(PartitionId(4), 0, 9).await).len(), 1, "the command waits on");

    new.commit(everything(run)).await;
    assert!(traces(&f.store, run).await.iter().all(|there| *there), "{:?}", traces(&f.store, run).await);
}

pub async fn one_stale_batch_leaves_the_others_alone(f: Fixture) {
    let runs = [run_id(0, 1), run_id(1, 1), run_id(2, 1)];
    let mut batches: Vec<Batch> = Vec::new();
    for (partition, run) in runs.iter().enumerate() {
        let mut owner = Owner::take(&f.store, u16::try_from(partition).expect("three")).await;
        batches.push(owner.batch(Turn { inbox_done: Vec::new(), ..everything(*run) }));
    }
    Owner::take(&f.store, 1).await;
    let commit = ok(f.store.run_log.commit(batches).await);
    assert_eq!(commit.held, [PartitionId(0), PartitionId(2)]);
    let burned: Vec<RunId> = commit.burns.iter().map(|burn| burn.run).collect();
    assert_eq!(burned, [runs[0], runs[2]], "a burn of a batch that was not written is not answered");
    for (run, there) in runs.into_iter().zip([true, false, true]) {
        assert_eq!(ok(f.store.history.run(&Project::default(), run).await).is_some(), there, "{run}");
        assert_eq!(!ok(f.store.history.segments(run, Seq(0), 9).await).is_empty(), there, "{run}");
    }
}

pub async fn a_turn_writes_the_partition_row(f: Fixture) {
    let mut owner = Owner::take(&f.store, 7).await;
    owner.row.published = OutSeq(5);
    owner.row.out_seq = OutSeq(8);
    owner.row.cursor = -3;
    owner.row.incarnation = "queue-2".to_owned();
    owner.commit(Turn::default()).await;
    assert_eq!(ok(f.store.run_log.partition(PartitionId(7)).await), owner.row);
    let next = ok(f.store.run_log.take(PartitionId(7), process_id(5), FORMAT).await);
    assert_eq!((next.epoch, next.out_seq, next.cursor), (Epoch(2), OutSeq(8), -3));
    assert_eq!((next.batch_id, next.incarnation.as_str()), (BatchId(1), "queue-2"));
}

pub async fn a_run_must_stand_where_the_turn_believes(f: Fixture) {
    let run = run_id(0, 1);
    let mut owner = Owner::take(&f.store, 0).await;
    let begin = Turn {
        new_runs: vec![NewRun { row: run_row(run, 2) }],
        segments: vec![segment(run, 1, 2, b"")],
        ..Turn::default()
    };
    owner.commit(begin.clone()).await;
    let before = ok(f.store.run_log.partition(PartitionId(0)).await);
    refused(owner.try_commit(begin).await, Kind::Conflict);
    let change = |last_seq, segments| Turn { runs: vec![run_row(run, last_seq)], segments, ..Turn::default() };
    refused(owner.try_commit(change(4, vec![segment(run, 4, 1, b"")])).await, Kind::Conflict);
    refused(owner.try_commit(change(2, vec![segment(run, 2, 1, b"")])).await, Kind::Conflict);
    refused(owner.try_commit(change(3, Vec::new())).await, Kind::Conflict);
    let stranger = run_id(0, 2);
    let unknown = Turn { runs: vec![run_row(stranger, 0)], ..Turn::default() };
    refused(owner.try_commit(unknown).await, Kind::Conflict);
    let steps = Turn { steps: vec![(stranger, step_row(0, StepState::Ready, 0))], ..Turn::default() };
    refused(owner.try_commit(steps).await, Kind::Invalid);
    assert_eq!(ok(f.store.run_log.partition(PartitionId(0)).await), before, "nothing at all was written");

    owner.commit(change(3, vec![segment(run, 3, 1, b"")])).await;
    owner.commit(change(5, vec![segment(run, 4, 1, b""), segment(run, 5, 1, b"")])).await;
    owner.commit(change(5, Vec::new())).await;
    let segments = ok(f.store.history.segments(run, Seq(0), 9).await);
    assert_eq!(segments.iter().map(|s| s.first_seq.0).collect::<Vec<_>>(), [1, 3, 4, 5]);
}

pub async fn a_failed_batch_takes_the_whole_transaction_along(f: Fixture) {
    let (good, bad) = (run_id(0, 1), run_id(1, 1));
    let mut first = Owner::take(&f.store, 0).await;
    let mut second = Owner::take(&f.store, 1).await;
    let batches =
        vec![first.batch(everything(good)), second.batch(Turn { runs: vec![run_row(bad, 0)], ..Turn::default() })];
    refused(f.store.run_log.commit(batches).await, Kind::Conflict);
    assert!(traces(&f.store, good).await.iter().all(|there| !there));
    first.commit(everything(good)).await;
    assert!(traces(&f.store, good).await.iter().all(|there| *there));
}

pub async fn batches_that_can_never_be_written(f: Fixture) {
    let (run, elsewhere) = (run_id(0, 1), run_id(1, 1));
    let mut owner = Owner::take(&f.store, 0).await;
    let new = |run, last_seq| vec![NewRun { row: run_row(run, last_seq) }];
    let turns = [
        Turn { new_runs: new(elsewhere, 0), ..Turn::default() },
        Turn { steps: vec![(elsewhere, step_row(0, StepState::Ready, 0))], ..Turn::default() },
        Turn { new_runs: new(run, 0), runs: vec![run_row(run, 0)], ..Turn::default() },
        Turn { segments: vec![segment(run, 1, 1, b"")], ..Turn::default() },
        Turn { new_runs: new(run, 1), segments: vec![segment(run, 1, 2, b"")], ..Turn::default() },
        Turn { new_runs: new(run, 0), segments: vec![segment(run, 1, 0, b"")], ..Turn::default() },
        Turn {
            new_runs: new(run, 3),
            segments: vec![segment(run, 1, 1, b""), segment(run, 3, 1, b"")],
            ..Turn::default()
        },
    ];
    for turn in turns {
        refused(owner.try_commit(turn.clone()).await, Kind::Invalid);
    }
    let twice = vec![owner.batch(Turn::default()), owner.batch(Turn::default())];
    refused(f.store.run_log.commit(twice).await, Kind::Invalid);
    let nowhere = Batch { partition: PartitionId(PARTITIONS), ..owner.batch(Turn::default()) };
    refused(f.store.run_log.commit(vec![nowhere]).await, Kind::Invalid);
    assert_eq!(ok(f.store.run_log.commit(Vec::new()).await), Commit::default());
}

pub async fn the_clock_never_goes_back(f: Fixture) {
    let first = ok(f.store.run_log.now().await);
    f.clock.advance(Duration::from_millis(1_500));
    let second = ok(f.store.run_log.now().await);
    assert_eq!(second.since(first), Duration::from_millis(1_500));
    f.clock.set(first);
    assert_eq!(ok(f.store.run_log.now().await), second);
    ok(f.store.inbox.submit(submission(1, run_id(0, 1))).await);
    assert_eq!(ok(f.store.inbox.inbox(PartitionId(0), 0, 1).await)[0].at, second);
}
