//! Timers.

use super::build::{Owner, run_id};
use super::{Fixture, ok};
use crate::types::{TimerRow, Turn};
use aidt_domain::{PartitionId, RunId, StepIx, Timestamp};

fn timer(at: i64, run: RunId, step: Option<u32>) -> TimerRow {
    TimerRow { at: Timestamp(at), run, step: step.map(StepIx) }
}

fn set(timers: &[TimerRow]) -> Turn {
    Turn { timers_set: timers.to_vec(), ..Turn::default() }
}

async fn due(f: &Fixture, until: i64, limit: u32) -> (Vec<i64>, Option<i64>) {
    let (due, next) = ok(f.store.run_log.timers(PartitionId(0), Timestamp(until), limit).await);
    (due.iter().map(|timer| timer.at.0).collect(), next.map(|at| at.0))
}

pub async fn timers_come_by_due_time(f: Fixture) {
    let run = run_id(0, 1);
    let mut owner = Owner::take(&f.store, 0).await;
    owner.begin(run).await;
    assert_eq!(due(&f, i64::MAX, 9).await, (vec![], None));
    let timers = [timer(30, run, None), timer(10, run, Some(0)), timer(20, run, Some(7)), timer(20, run, Some(8))];
    owner.commit(set(&timers)).await;
    assert_eq!(due(&f, 9, 9).await, (vec![], Some(10)));
    assert_eq!(due(&f, 20, 9).await, (vec![10, 20, 20], Some(30)));
    assert_eq!(due(&f, 20, 2).await, (vec![10, 20], Some(20)), "the limit cuts");
    assert_eq!(due(&f, 20, 0).await, (vec![], Some(10)));
    let (all, next) = ok(f.store.run_log.timers(PartitionId(0), Timestamp(99), 9).await);
    let (mut found, mut expected) = (all.clone(), timers.to_vec());
    found.sort();
    expected.sort();
    assert_eq!((found, next), (expected, None));
    assert!(all.is_sorted_by_key(|timer| timer.at));
}

pub async fn a_timer_is_replaced_and_cleared(f: Fixture) {
    let run = run_id(0, 1);
    let mut owner = Owner::take(&f.store, 0).await;
    owner.begin(run).await;
    owner.commit(set(&[timer(10, run, None), timer(11, run, Some(0))])).await;
    owner.commit(set(&[timer(5, run, Some(0))])).await;
    assert_eq!(due(&f, 99, 9).await, (vec![5, 10], None), "a step's timer is not the run's");
    owner.commit(set(&[timer(50, run, Some(0))])).await;
    assert_eq!(due(&f, 99, 9).await, (vec![10, 50], None));
    let cleared = |timers_cleared| Turn { timers_cleared, ..Turn::default() };
    owner.commit(cleared(vec![(run, None), (run, Some(StepIx(3)))])).await;
    assert_eq!(due(&f, 99, 9).await, (vec![50], None));
    let both = Turn { timers_set: vec![timer(60, run, Some(0))], ..cleared(vec![(run, Some(StepIx(0)))]) };
    owner.commit(both).await;
    assert_eq!(due(&f, 99, 9).await, (vec![60], None), "in one turn, clearing comes first");
    owner.commit(cleared(vec![(run, Some(StepIx(0))), (run_id(0, 9), None)])).await;
    assert_eq!(due(&f, 99, 9).await, (vec![], None));
}

pub async fn timers_belong_to_a_partition(f: Fixture) {
    for partition in [0, 1] {
        let run = run_id(partition, 1);
        let mut owner = Owner::take(&f.store, partition).await;
        owner.begin(run).await;
        owner.commit(set(&[timer(10 + i64::from(partition), run, None)])).await;
    }
    assert_eq!(due(&f, 99, 9).await, (vec![10], None));
}
