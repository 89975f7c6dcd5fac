//! Commands, idempotency keys and documents.

use super::build::{Owner, command_id, inbox_row, run_id, submission};
use super::{Fixture, ok, refused};
use crate::types::{InboxRow, Submission, Submitted, Turn};
use crate::{IDEMPOTENCY_KEPT, Kind};
use aidt_domain::{Digest, PartitionId, Project, RunId};
use bytes::Bytes;
use std::time::Duration;
use tokio::task::JoinSet;

fn ids(rows: &[InboxRow]) -> Vec<u64> {
    rows.iter().map(|row| u64::try_from(row.id.0.as_u128()).expect("a test's id")).collect()
}

pub async fn a_command_is_there_once(f: Fixture) {
    let run = run_id(2, 1);
    assert_eq!(ok(f.store.inbox.submit(submission(1, run)).await), Submitted::Accepted);
    assert_eq!(ok(f.store.inbox.submit(submission(1, run)).await), Submitted::Repeated(run));
    let rows = ok(f.store.inbox.inbox(PartitionId(2), 0, 10).await);
    assert_eq!(rows.len(), 1);
    let expected = InboxRow { seq: rows[0].seq, at: ok(f.store.run_log.now().await), ..inbox_row(1, run) };
    assert_eq!(rows[0], expected);
    assert!(rows[0].seq > 0);
    let nowhere = InboxRow { partition: PartitionId(super::PARTITIONS), ..inbox_row(2, run) };
    let nowhere = Submission { row: nowhere, documents: Vec::new(), idempotency: None };
    refused(f.store.inbox.submit(nowhere).await, Kind::Invalid);
}

pub async fn a_command_leaves_with_the_turn_that_applied_it(f: Fixture) {
    let run = run_id(2, 1);
    let mut owner = Owner::take(&f.store, 2).await;
    for n in 1..=3 {
        ok(f.store.inbox.submit(submission(n, run)).await);
    }
    let rows = ok(f.store.inbox.inbox(PartitionId(2), 0, 10).await);
    let all = [command_id(3), command_id(1), command_id(9)];
    assert_eq!(ok(f.store.inbox.pending(&all).await), [command_id(3), command_id(1)]);
    owner.commit(Turn { inbox_done: vec![rows[0].seq, rows[1].seq], ..Turn::default() }).await;
    assert_eq!(ids(&ok(f.store.inbox.inbox(PartitionId(2), 0, 10).await)), [3]);
    assert_eq!(ok(f.store.inbox.pending(&all).await), [command_id(3)]);
    // Places are not given again: a reader's `after` stays good.
    ok(f.store.inbox.submit(submission(4, run)).await);
    owner.commit(Turn { inbox_done: vec![rows[2].seq, rows[2].seq + 1], ..Turn::default() }).await;
    ok(f.store.inbox.submit(submission(5, run)).await);
    let rest = ok(f.store.inbox.inbox(PartitionId(2), rows[2].seq, 10).await);
    assert!(rest.iter().any(|row| row.id == command_id(5)), "{rest:?}");
}

pub async fn commands_keep_their_order_in_each_partition(f: Fixture) {
    for n in 1..=9 {
        let partition = if n % 3 == 0 { 5 } else { 4 };
        ok(f.store.inbox.submit(submission(n, run_id(partition, n))).await);
    }
    let first = ok(f.store.inbox.inbox(PartitionId(4), 0, 4).await);
    assert_eq!(ids(&first), [1, 2, 4, 5]);
    let rest = ok(f.store.inbox.inbox(PartitionId(4), first[3].seq, 4).await);
    assert_eq!(ids(&rest), [7, 8]);
    assert_eq!(ids(&ok(f.store.inbox.inbox(PartitionId(5), 0, 4).await)), [3, 6, 9]);
    assert_eq!(ids(&ok(f.store.inbox.inbox(PartitionId(6), 0, 4).await)), [0; 0]);
    let asked = [(PartitionId(5), 0), (PartitionId(6), 0), (PartitionId(4), first[1].seq)];
    let several = ok(f.store.inbox.inboxes(&asked, 3).await);
    assert_eq!(several.iter().map(|rows| ids(rows)).collect::<Vec<_>>(), [vec![3, 6, 9], vec![], vec![4, 5, 7]]);
    assert_eq!(ok(f.store.inbox.inboxes(&[], 3).await).len(), 0);
    assert_eq!(ids(&ok(f.store.inbox.inbox(PartitionId(4), u64::MAX, 4).await)), [0; 0]);
}

pub async fn what_waits_for_a_run(f: Fixture) {
    let (run, other) = (run_id(1, 1), run_id(1, 2));
    for (n, run) in [(1, run), (2, other), (3, run)] {
        ok(f.store.inbox.submit(submission(n, run)).await);
    }
    assert_eq!(ids(&ok(f.store.inbox.waiting(run).await)), [1, 3]);
    assert_eq!(ids(&ok(f.store.inbox.waiting(run_id(1, 3)).await)), [0; 0]);
}

pub async fn an_owner_puts_commands_into_other_inboxes(f: Fixture) {
    let (near, far) = (run_id(0, 1), run_id(6, 1));
    let mut owner = Owner::take(&f.store, 0).await;
    let turn = Turn { inbox_put: vec![inbox_row(1, far), inbox_row(2, near), inbox_row(1, far)], ..Turn::default() };
    owner.commit(turn.clone()).await;
    owner.commit(turn).await;
    let there = ok(f.store.inbox.inbox(PartitionId(6), 0, 9).await);
    assert_eq!(ids(&there), [1]);
    assert_eq!(there[0].at, ok(f.store.run_log.now().await));
    assert_eq!(ids(&ok(f.store.inbox.inbox(PartitionId(0), 0, 9).await)), [2]);
}

fn keyed(n: u64, run: RunId, key: &str, body: &[u8]) -> Submission {
    Submission { idempotency: Some((key.to_owned(), Digest::of(body))), ..submission(n, run) }
}

pub async fn an_idempotency_key_is_bound_to_its_body(f: Fixture) {
    let (first, second) = (run_id(1, 1), run_id(2, 2));
    let submit = |submission| f.store.inbox.submit(submission);
    assert_eq!(ok(submit(keyed(1, first, "k", b"body")).await), Submitted::Accepted);
    assert_eq!(ok(submit(keyed(2, second, "k", b"body")).await), Submitted::Repeated(first));
    assert_eq!(ok(submit(keyed(3, second, "k", b"other")).await), Submitted::KeyReused);
    assert_eq!(ok(submit(keyed(4, second, "K", b"other")).await), Submitted::Accepted);
    let none = [command_id(2), command_id(3)];
    assert_eq!(ok(f.store.inbox.pending(&none).await), [], "a repeated submission leaves nothing");
    // The key outlives its command.
    let mut owner = Owner::take(&f.store, 1).await;
    let seq = ok(f.store.inbox.inbox(PartitionId(1), 0, 1).await)[0].seq;
    owner.commit(Turn { inbox_done: vec![seq], ..Turn::default() }).await;
    assert_eq!(ok(submit(keyed(5, second, "k", b"body")).await), Submitted::Repeated(first));
}

pub async fn an_idempotency_key_belongs_to_its_project(f: Fixture) {
    let mine = keyed(1, run_id(1, 1), "k", b"body");
    let mut theirs = keyed(2, run_id(1, 2), "k", b"another body");
    theirs.row.project = Project::new("theirs").expect("a project");
    assert_eq!(ok(f.store.inbox.submit(mine).await), Submitted::Accepted);
    assert_eq!(ok(f.store.inbox.submit(theirs).await), Submitted::Accepted);
}

pub async fn an_idempotency_key_is_forgotten_after_a_day(f: Fixture) {
    let (first, second) = (run_id(1, 1), run_id(1, 2));
    ok(f.store.inbox.submit(keyed(1, first, "k", b"body")).await);
    f.clock.advance(IDEMPOTENCY_KEPT - Duration::from_millis(1));
    let again = ok(f.store.inbox.submit(keyed(2, second, "k", b"body")).await);
    assert_eq!(again, Submitted::Repeated(first));
    f.clock.advance(Duration::from_millis(1));
    assert_eq!(ok(f.store.inbox.submit(keyed(3, second, "k", b"new")).await), Submitted::Accepted);
    let again = ok(f.store.inbox.submit(keyed(4, first, "k", b"new")).await);
    assert_eq!(again, Submitted::Repeated(second));
}

pub async fn one_of_many_submissions_with_a_key_wins(f: Fixture) {
    let mut clients = JoinSet::new();
    for n in 1..=12 {
        let inbox = f.store.inbox.clone();
        clients.spawn(async move { (run_id(3, n), ok(inbox.submit(keyed(n, run_id(3, n), "k", b"body")).await)) });
    }
    let answers = clients.join_all().await;
    let rows = ok(f.store.inbox.inbox(PartitionId(3), 0, 99).await);
    assert_eq!(rows.len(), 1, "{answers:?}");
    for (run, answer) in answers {
        let expected = if run == rows[0].run { Submitted::Accepted } else { Submitted::Repeated(rows[0].run) };
        assert_eq!(answer, expected);
    }
}

pub async fn documents_come_with_the_submission(f: Fixture) {
    let bytes = Bytes::from_static(b"{}");
    let digest = Digest::of(&bytes);
    let with = |n| Submission { documents: vec![(digest, bytes.clone())], ..submission(n, run_id(0, n)) };
    ok(f.store.inbox.submit(with(1)).await);
    ok(f.store.inbox.submit(with(2)).await);
    assert_eq!(ok(f.store.catalog.documents(&[digest]).await), std::slice::from_ref(&bytes));
    // What is refused leaves nothing.
    let other = Bytes::from_static(b"[]");
    let refused_one =
        Submission { documents: vec![(Digest::of(&other), other.clone())], ..submission(1, run_id(0, 1)) };
    ok(f.store.inbox.submit(refused_one).await);
    refused(f.store.catalog.documents(&[Digest::of(&other)]).await, Kind::NotFound);
}

pub async fn documents_are_kept_by_content(f: Fixture) {
    let documents: Vec<(Digest, Bytes)> =
        [&b"one"[..], b"two", b""].into_iter().map(|bytes| (Digest::of(bytes), Bytes::from_static(bytes))).collect();
    ok(f.store.catalog.put_documents(&documents).await);
    ok(f.store.catalog.put_documents(&documents[1..]).await);
    let asked = [documents[1].0, documents[0].0, documents[1].0, documents[2].0];
    assert_eq!(ok(f.store.catalog.documents(&asked).await), [&b"two"[..], b"one", b"two", b""]);
    refused(f.store.catalog.documents(&[documents[0].0, Digest::of(b"no")]).await, Kind::NotFound);
    assert_eq!(ok(f.store.catalog.documents(&[]).await).len(), 0);
}
