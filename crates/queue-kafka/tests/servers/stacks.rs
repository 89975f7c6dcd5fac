//! Stacks that share a broker, large fan-outs, and the end.

use crate::broker::{commands, connect, fresh, in_time, numbered, options, pool, prefix, steps, tags, take_commands};
use aidt_domain::PartitionId;
use aidt_queue::{Kind, Queue};
use aidt_queue_kafka::{Error, KafkaQueue, Options};
use bytes::Bytes;
use std::collections::BTreeSet;
use std::time::Duration;
use tokio::time::{Instant, timeout};

const P0: PartitionId = PartitionId(0);

#[tokio::test]
async fn two_prefixes_are_apart() {
    let (one, other) = (fresh().await, fresh().await);
    let pool = pool("p");
    let (mut ours, mut theirs) =
        (one.steps(&pool, 9).await.expect("open"), other.commands(&[(P0, 0)]).await.expect("open"));
    other.publish_steps(steps(&pool, numbered(0..5))).await.expect("publish");
    one.publish_commands(commands(P0, numbered(0..5))).await.expect("publish");
    one.nudge(&[P0]).await;
    let quiet = Duration::from_millis(500);
    assert!(timeout(quiet, ours.recv(1)).await.is_err());
    assert!(timeout(quiet, theirs.recv(1)).await.is_err());
    assert_ne!(one.incarnation().await.expect("incarnation"), other.incarnation().await.expect("incarnation"));
}

#[tokio::test]
async fn a_prefix_that_could_meet_another_is_refused() {
    for bad in ["", "a.b", "a_b", "ä", &"x".repeat(61)] {
        let refused = KafkaQueue::connect(options(bad)).await;
        assert!(matches!(refused, Err(Error::Prefix(_))), "{bad:?}");
    }
}

#[tokio::test]
async fn a_topic_of_more_partitions_than_the_store_has_is_not_ours() {
    let prefix = prefix();
    let _first = connect(options(&prefix)).await;
    let refused = KafkaQueue::connect(Options { partitions: 4, ..options(&prefix) }).await;
    assert!(matches!(refused, Err(Error::Partitions { found: 8, wanted: 4, .. })), "{refused:?}");
    let grown = connect(Options { partitions: 9, ..options(&prefix) }).await;
    grown.publish_commands(commands(PartitionId(8), numbered(0..1))).await.expect("publish");
}

#[tokio::test]
async fn a_fan_out_of_twenty_thousand_arrives() {
    let (queue, pool) = (fresh().await, pool("p"));
    let count = 20_000;
    let mut stream = queue.steps(&pool, 512).await.expect("open");
    let body = |n: usize| Bytes::from(format!("{n:0>1000}"));
    let all: Vec<Bytes> = (0..count).map(body).collect();
    queue.publish_steps(steps(&pool, all)).await.expect("publish");
    let mut got = BTreeSet::new();
    in_time(async {
        while got.len() < count {
            let taken = stream.recv(256).await.expect("recv");
            stream.ack(&tags(&taken)).await.expect("ack");
            got.extend(taken.into_iter().map(|d| d.body));
        }
    })
    .await;
}

#[tokio::test]
async fn a_message_that_is_too_large_is_invalid() {
    let queue = fresh().await;
    let body = Bytes::from(vec![0; 3 << 20]);
    let refused = queue.publish_commands(commands(P0, vec![body])).await.expect_err("too large");
    assert_eq!(refused.kind, Kind::Invalid);
    let fits = Bytes::from(vec![7; 1 << 20]);
    queue.publish_commands(commands(P0, vec![fits.clone()])).await.expect("a mebibyte fits");
    let mut stream = queue.commands(&[(P0, 0)]).await.expect("open");
    assert_eq!(take_commands(&mut *stream, 1).await[0].1.body, fits);
}

#[tokio::test]
async fn a_broker_that_is_not_there_is_told_in_time() {
    let start = Instant::now();
    let nowhere = Options {
        brokers: "127.0.0.1:1".to_owned(),
        request_timeout: Duration::from_secs(1),
        ..Options::new("", "nowhere", 1)
    };
    assert!(KafkaQueue::connect(nowhere).await.is_err());
    assert!(start.elapsed() < Duration::from_secs(5), "took {:?}", start.elapsed());
}

#[tokio::test]
async fn closing_ends_streams_and_dropping_does_not_block() {
    let (queue, pool) = (fresh().await, pool("p"));
    let mut steps_of = queue.steps(&pool, 9).await.expect("open");
    let mut commands_of = queue.commands(&[(P0, 0)]).await.expect("open");
    queue.close();
    assert_eq!(in_time(steps_of.recv(1)).await.expect_err("closed").kind, Kind::Closed);
    assert_eq!(in_time(commands_of.recv(1)).await.expect_err("closed").kind, Kind::Closed);
    assert_eq!(queue.publish_commands(Vec::new()).await.expect_err("closed").kind, Kind::Closed);
    let start = Instant::now();
    drop((steps_of, commands_of, queue));
    assert!(start.elapsed() < Duration::from_millis(200), "took {:?}", start.elapsed());
}
