//! Streams of commands begin where they are told to, and nowhere else.

use crate::broker::{commands, connect, eventually, fresh, in_time, numbered, options, prefix, take_commands};
use aidt_domain::PartitionId;
use aidt_queue::{Kind, Queue};
use bytes::Bytes;
use std::collections::BTreeSet;

const P0: PartitionId = PartitionId(0);
const P3: PartitionId = PartitionId(3);

#[tokio::test]
async fn a_cursor_is_where_the_next_stream_begins() {
    let queue = fresh().await;
    queue.publish_commands(commands(P3, numbered(0..10))).await.expect("publish");
    let mut first = queue.commands(&[(P3, 0)]).await.expect("open");
    let taken = take_commands(&mut *first, 10).await;
    let done: Vec<_> = taken.iter().take(7).map(|(p, d)| (*p, d.tag)).collect();
    first.ack(&done).await.expect("ack");
    assert_eq!(first.cursors(), [(P3, 7)]);
    let mut second = queue.commands(&[(P3, 7)]).await.expect("open");
    let rest = take_commands(&mut *second, 3).await;
    let bodies: Vec<_> = rest.iter().map(|(_, d)| d.body.clone()).collect();
    assert_eq!(bodies, numbered(7..10));
    assert!(rest.iter().all(|(_, d)| d.doubtful), "they were there before this stream");
}

#[tokio::test]
async fn what_is_published_to_an_open_stream_is_fresh() {
    let queue = fresh().await;
    let mut stream = queue.commands(&[(P0, 0)]).await.expect("open");
    queue.publish_commands(commands(P0, numbered(0..10))).await.expect("publish");
    let taken = take_commands(&mut *stream, 10).await;
    assert!(taken.iter().all(|(_, d)| !d.doubtful && d.published_at.is_some()));
}

#[tokio::test]
async fn nudges_move_the_cursor_and_old_ones_are_not_told() {
    let queue = fresh().await;
    queue.nudge(&[P0, P0]).await;
    queue.publish_commands(commands(P0, numbered(0..1))).await.expect("publish");
    let mut stream = queue.commands(&[(P0, 0)]).await.expect("open");
    let (taken, nudged) = in_time(stream.recv(9)).await.expect("recv");
    assert_eq!((taken.len(), nudged), (1, vec![]), "the nudges came before the stream");
    assert_eq!(stream.cursors(), [(P0, 2)]);
}

#[tokio::test]
async fn a_cursor_beyond_the_end_begins_another_life() {
    let queue = fresh().await;
    queue.publish_commands(commands(P0, numbered(0..5))).await.expect("publish");
    let before = queue.incarnation().await.expect("incarnation");
    let refused = in_time(queue.commands(&[(P0, 6)])).await.err().expect("nothing can be read there");
    assert_eq!(refused.kind, Kind::Unavailable);
    eventually("another incarnation", async || queue.incarnation().await.expect("incarnation") != before).await;
    let mut stream = queue.commands(&[(P0, 0)]).await.expect("open");
    take_commands(&mut *stream, 5).await;
}

#[tokio::test]
async fn the_end_itself_is_a_good_cursor() {
    let queue = fresh().await;
    queue.publish_commands(commands(P0, numbered(0..5))).await.expect("publish");
    let mut stream = queue.commands(&[(P0, 5)]).await.expect("open");
    queue.publish_commands(commands(P0, vec![Bytes::from_static(b"new")])).await.expect("publish");
    let taken = take_commands(&mut *stream, 1).await;
    assert!(!taken[0].1.doubtful);
}

/// What is acked is deleted, many at a time; a cursor below what is kept reads what is kept.
#[tokio::test]
async fn what_is_done_is_deleted_and_cursors_below_begin_at_the_first_that_is_kept() {
    let queue = connect(options(&prefix())).await;
    let count = 12_000;
    queue.publish_commands(commands(P0, numbered(0..count))).await.expect("publish");
    let mut stream = queue.commands(&[(P0, 0)]).await.expect("open");
    let taken = take_commands(&mut *stream, count).await;
    let done: Vec<_> = taken.iter().take(count - 5).map(|(p, d)| (*p, d.tag)).collect();
    stream.ack(&done).await.expect("ack");
    eventually("commands that are done are deleted", async || {
        let mut again = queue.commands(&[(P0, 1)]).await.expect("open");
        // An error: it was deleted right now.
        let first = in_time(again.recv(1)).await;
        first.is_ok_and(|(first, _)| first[0].1.body == numbered(count - 5..count - 4)[0])
    })
    .await;
    // The open stream and the numbering go on.
    queue.publish_commands(commands(P0, vec![Bytes::from_static(b"new")])).await.expect("publish");
    let bodies: BTreeSet<_> = take_commands(&mut *stream, 1).await.into_iter().map(|(_, d)| d.body).collect();
    assert_eq!(bodies, [Bytes::from_static(b"new")].into());
}
