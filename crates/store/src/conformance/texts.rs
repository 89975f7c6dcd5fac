//! Step logs and dead letters.

use super::build::{Owner, run_id};
use super::{Fixture, ok, refused};
use crate::Kind;
use crate::types::{DeadLetter, LogChunk, Turn};
use aidt_domain::{DispatchNo, RunId, StepIx, Timestamp};
use bytes::Bytes;

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
    let letter = |n: u64, run| DeadLetter {
        id: 0,
        inlet: format!("steps:pool-{n}"),
        run,
        reason: format!("reason {n}"),
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
