//! Step logs and dead letters.

use super::build::{Owner, run_id};
use super::{Fixture, ok, refused};
use crate::Kind;
use crate::types::{DeadLetter, LogChunk, Turn};
use aidt_domain::{DispatchNo, Project, RunId, StepIx, Timestamp};
use bytes::Bytes;
use std::collections::BTreeMap;

fn chunk(run: RunId, step: u32, dispatch: u32, offset: u64) -> LogChunk {
    let bytes = Bytes::from(format!("{step}.{dispatch}.{offset}\n"));
    LogChunk { run, step: StepIx(step), dispatch: DispatchNo(dispatch), offset, bytes }
}

pub async fn log_pieces_are_there_once(f: Fixture) {
    let run = run_id(0, 1);
    Owner::take(&f.store, 0).await.begin(run).await;
    let pieces = vec![chunk(run, 0, 1, 0), chunk(run, 0, 1, 6)];
    ok(f.store.logs.append_logs(pieces.clone()).await);
    let again = LogChunk { bytes: Bytes::from_static(b"other"), ..chunk(run, 0, 1, 6) };
    ok(f.store.logs.append_logs(vec![again, chunk(run, 0, 1, 12)]).await);
    let all = ok(f.store.logs.logs(run, StepIx(0), (DispatchNo(0), 0), 9).await);
    assert_eq!(all, [pieces[0].clone(), pieces[1].clone(), chunk(run, 0, 1, 12)]);
    let nobody = vec![chunk(run, 0, 2, 0), chunk(run_id(0, 9), 0, 1, 0)];
    refused(f.store.logs.append_logs(nobody).await, Kind::NotFound);
    assert_eq!(ok(f.store.logs.logs(run, StepIx(0), (DispatchNo(2), 0), 9).await), [], "all or none");
    ok(f.store.logs.append_logs(Vec::new()).await);
}

pub async fn logs_come_in_pages(f: Fixture) {
    let run = run_id(0, 1);
    Owner::take(&f.store, 0).await.begin(run).await;
    let all: Vec<LogChunk> =
        [(1, 0), (1, 5), (1, 70_000), (2, 0), (2, 5), (11, 0)].map(|(d, o)| chunk(run, 3, d, o)).into();
    ok(f.store.logs.append_logs(all.iter().rev().cloned().collect()).await);
    ok(f.store.logs.append_logs(vec![chunk(run, 2, 1, 0), chunk(run, 4, 1, 0)]).await);
    let page = async |dispatch, offset, limit| {
        ok(f.store.logs.logs(run, StepIx(3), (DispatchNo(dispatch), offset), limit).await)
    };
    assert_eq!(page(0, 0, 99).await, all);
    assert_eq!(page(1, 5, 2).await, all[1..3]);
    assert_eq!(page(1, 6, 2).await, all[2..4]);
    assert_eq!(page(2, 6, 9).await, all[5..]);
    assert_eq!(page(12, 0, 9).await, []);
}

pub async fn dead_letters_are_kept_in_order(f: Fixture) {
    let letter = |n: u64, run: Option<RunId>| DeadLetter {
        id: 0,
        inlet: format!("steps:pool-{n}"),
        project: run.map(|_| Project::default()),
        run,
        reason: format!("reason {n}"),
        headers: (0..n).map(|h| (format!("header {h}"), format!("value {n}"))).collect(),
        bytes: Bytes::from(format!("bytes {n}")),
        at: Timestamp(0),
    };
    let run = run_id(0, 1);
    ok(f.store.dead_letters.bury(vec![letter(1, Some(run)), letter(2, None)]).await);
    let mut owner = Owner::take(&f.store, 0).await;
    owner.commit(Turn { dead_letters: vec![letter(3, Some(run))], ..Turn::default() }).await;
    let all = ok(f.store.dead_letters.dead_letters(0, 9).await);
    let now = ok(f.store.run_log.now().await);
    let expected: Vec<DeadLetter> = [letter(1, Some(run)), letter(2, None), letter(3, Some(run))]
        .into_iter()
        .zip(&all)
        .map(|(letter, stored)| DeadLetter { id: stored.id, at: now, ..letter })
        .collect();
    assert_eq!(all, expected);
    assert!(all[0].id > 0 && all.is_sorted_by_key(|letter| letter.id));
    assert_eq!(ok(f.store.dead_letters.dead_letters(all[0].id, 1).await), all[1..2]);
    assert_eq!(ok(f.store.dead_letters.dead_letters(all[2].id, 1).await), []);
}

pub async fn a_dropped_dead_letter_is_gone_and_its_id_with_it(f: Fixture) {
    let letter = DeadLetter {
        id: 0,
        inlet: "inbox".to_owned(),
        project: None,
        run: None,
        reason: "no reason".to_owned(),
        headers: BTreeMap::new(),
        bytes: Bytes::from_static(b"\0"),
        at: Timestamp(0),
    };
    let store = &f.store.dead_letters;
    ok(store.bury(vec![letter.clone(), letter.clone(), letter.clone()]).await);
    let ids: Vec<u64> = ok(store.dead_letters(0, 9).await).iter().map(|l| l.id).collect();
    assert_eq!(ok(store.drop_dead_letters(&[ids[2], 999, ids[0]]).await), [ids[2], ids[0]]);
    assert_eq!(ok(store.drop_dead_letters(&[ids[2]]).await), Vec::<u64>::new());
    assert_eq!(ok(store.drop_dead_letters(&[]).await), Vec::<u64>::new());
    ok(store.bury(vec![letter]).await);
    let left: Vec<u64> = ok(store.dead_letters(0, 9).await).iter().map(|l| l.id).collect();
    assert_eq!((left.len(), left[0]), (2, ids[1]));
    assert!(!ids.contains(&left[1]), "{left:?} after {ids:?}");
}
