//! Lives of service processes.

use super::build::{process_id, process_row};
use super::{Fixture, ok};
use crate::types::{ProcessRow, Processed};
use aidt_domain::{Digest, Pool, ProcessId};
use std::collections::BTreeMap;
use std::time::Duration;

const DEAD_AFTER_MS: u64 = 4_000;

async fn live(f: &Fixture) -> Vec<ProcessId> {
    ok(f.store.processes.live(DEAD_AFTER_MS).await).0.into_iter().map(|row| row.id).collect()
}

async fn register(f: &Fixture, processes: &[u64]) {
    for n in processes {
        ok(f.store.processes.register(process_row(*n)).await);
    }
}

pub async fn a_life_lives_while_it_says_so(f: Fixture) {
    register(&f, &[1, 2]).await;
    let (rows, now) = ok(f.store.processes.live(DEAD_AFTER_MS).await);
    assert_eq!(rows[0], ProcessRow { heartbeat: now, ..process_row(1) });
    assert_eq!(now, ok(f.store.run_log.now().await));
    f.clock.advance(Duration::from_millis(3_000));
    let answer = ok(f.store.processes.heartbeat(process_id(2)).await);
    assert_eq!(answer, Processed { now: ok(f.store.run_log.now().await), lost: false, cancels: Vec::new() });
    f.clock.advance(Duration::from_millis(1_000));
    assert_eq!(live(&f).await, [process_id(1), process_id(2)], "not older than that");
    f.clock.advance(Duration::from_millis(1));
    assert_eq!(live(&f).await, [process_id(2)]);
    let late = ok(f.store.processes.heartbeat(process_id(1)).await);
    assert!(!late.lost, "it was only slow");
    assert_eq!(live(&f).await, [process_id(1), process_id(2)]);
    assert!(ok(f.store.processes.heartbeat(process_id(9)).await).lost, "nobody registered it");
    assert_eq!(live(&f).await.len(), 2);
}

pub async fn a_closed_life_is_over(f: Fixture) {
    register(&f, &[1, 2]).await;
    ok(f.store.processes.close(process_id(1)).await);
    ok(f.store.processes.close(process_id(1)).await);
    ok(f.store.processes.close(process_id(9)).await);
    assert_eq!(live(&f).await, [process_id(2)]);
    assert!(ok(f.store.processes.heartbeat(process_id(1)).await).lost);
    register(&f, &[1]).await;
    assert!(ok(f.store.processes.heartbeat(process_id(1)).await).lost, "it does not come back");
    assert_eq!(live(&f).await, [process_id(2)]);
    f.clock.advance(crate::CLOSED_KEPT);
    register(&f, &[3]).await;
    assert!(ok(f.store.processes.heartbeat(process_id(1)).await).lost, "also when its row is gone");
}

pub async fn the_home_lock_closes_others(f: Fixture) {
    register(&f, &[1, 2, 3]).await;
    ok(f.store.processes.close(process_id(1)).await);
    assert_eq!(ok(f.store.processes.close_others(process_id(3)).await), 1);
    assert_eq!(live(&f).await, [process_id(3)]);
    assert_eq!(ok(f.store.processes.close_others(process_id(3)).await), 0);
}

pub async fn registering_again_changes_the_row(f: Fixture) {
    register(&f, &[1]).await;
    let pool = |name| Pool::new(name).expect("a pool");
    let changed = ProcessRow {
        service: "gateway".to_owned(),
        slots: BTreeMap::from([(pool("a"), 1), (pool("b"), 0)]),
        tools: vec![Digest::of(b"three")],
        format: 2,
        policy_revision: String::new(),
        ..process_row(1)
    };
    f.clock.advance(Duration::from_millis(9_000));
    ok(f.store.processes.register(changed.clone()).await);
    let (rows, now) = ok(f.store.processes.live(DEAD_AFTER_MS).await);
    assert_eq!(rows, [ProcessRow { heartbeat: now, ..changed }]);
}
