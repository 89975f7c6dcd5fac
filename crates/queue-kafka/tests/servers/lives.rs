//! Topics that are deleted and made again: the incarnation changes, streams end, and nothing is skipped.

use crate::broker::{
    Outsider, PATIENCE, commands, connect, eventually, in_time, message, numbered, options, pool, prefix, settled,
    steps, tags, take_commands,
};
use aidt_domain::PartitionId;
use aidt_queue::{Commands, Queue};
use aidt_queue_kafka::KafkaQueue;
use bytes::Bytes;
use std::collections::BTreeSet;
use std::time::Duration;
use tokio::time::{Instant, timeout};

const P0: PartitionId = PartitionId(0);
/// Half a second between looks, and the time of a few requests on a busy machine.
const SOON: Duration = Duration::from_secs(4);

async fn another_life(queue: &KafkaQueue, before: &str) -> (String, Duration) {
    let after =
        eventually("another incarnation", async || queue.incarnation().await.is_ok_and(|now| now != before)).await;
    (queue.incarnation().await.expect("incarnation"), after)
}

/// Until the stream says that it is over.
async fn ends(stream: &mut dyn Commands) {
    in_time(async { while stream.recv(100).await.is_ok() {} }).await;
}

#[tokio::test]
async fn commands_deleted_and_made_again_by_us_under_load() {
    commands_made_again(false).await;
}

#[tokio::test]
async fn commands_deleted_and_made_again_by_an_outsider_under_load() {
    commands_made_again(true).await;
}

async fn commands_made_again(by_outsider: bool) {
    let prefix = prefix();
    let (queue, publisher) = (connect(options(&prefix)).await, connect(options(&prefix)).await);
    let before = queue.incarnation().await.expect("incarnation");
    let mut old = queue.commands(&[(P0, 0)]).await.expect("open");
    publisher.publish_commands(commands(P0, numbered(0..40))).await.expect("publish");
    let taken = take_commands(&mut *old, 40).await;
    old.ack(&taken.iter().map(|(p, d)| (*p, d.tag)).collect::<Vec<_>>()).await.expect("ack");
    let cursor = old.cursors()[0].1;
    assert_eq!(cursor, 40);

    let (outsider, topic) = (Outsider::new(), format!("{prefix}.commands"));
    let wiped = Instant::now();
    outsider.delete(&topic).await;
    if by_outsider {
        // With fewer partitions than there should be.
        outsider.make(&topic, 3).await;
    }
    // Publishing goes on, also while nobody knows yet.
    let mut publishing = 0..;
    let now = loop {
        let body = publishing.next().expect("endless").to_string();
        let _ = publisher.publish_commands(vec![(P0, message(body))]).await;
        assert!(wiped.elapsed() < PATIENCE, "another incarnation: not in time");
        match queue.incarnation().await {
            Ok(now) if now != before => break now,
            _ => {}
        }
    };
    eprintln!("another incarnation {:?} after the topic was deleted", wiped.elapsed());
    assert!(wiped.elapsed() < SOON, "within two seconds or so, not {:?}", wiped.elapsed());
    publisher.publish_commands(commands(P0, numbered(0..100))).await.expect("publish");
    ends(&mut *old).await;
    drop(old);
    // The old cursor lies among what there is now, and nothing of that may be skipped.
    let count = outsider.count(&topic, 0).await;
    assert!(count > usize::try_from(cursor).expect("no less than 0"));
    let mut new = queue.commands(&[(P0, 0)]).await.expect("open");
    let mut got = 0;
    while got < count {
        got += in_time(new.recv(100)).await.expect("recv").0.len();
    }
    assert_eq!(got, count);
    // Every process says the same, and it lasts.
    eventually("the other process says the same", async || publisher.incarnation().await.is_ok_and(|i| i == now)).await;
    let last = PartitionId(7);
    publisher.publish_commands(commands(last, numbered(0..1))).await.expect("all partitions are there");
    assert_eq!(queue.incarnation().await.expect("incarnation"), now);
}

#[tokio::test]
async fn a_cursor_of_an_earlier_life_opens_nothing() {
    let prefix = prefix();
    let queue = connect(options(&prefix)).await;
    queue.publish_commands(commands(P0, numbered(0..40))).await.expect("publish");
    let told = queue.incarnation().await.expect("incarnation");
    let outsider = Outsider::new();
    outsider.delete(&format!("{prefix}.commands")).await;
    // Nobody asked for the incarnation since, so the cursor is of the life before. (The broker may answer for a
    // moment as if nothing had been deleted.)
    eventually("refused", async || queue.commands(&[(P0, 40)]).await.is_err()).await;
    eventually("published", async || queue.publish_commands(commands(P0, numbered(0..60))).await.is_ok()).await;
    assert!(queue.commands(&[(P0, 40)]).await.is_err(), "though there is such a place");
    another_life(&queue, &told).await;
    let mut stream = queue.commands(&[(P0, 0)]).await.expect("open");
    take_commands(&mut *stream, 60).await;
}

#[tokio::test]
async fn steps_deleted_and_made_again_by_us() {
    steps_made_again(false).await;
}

#[tokio::test]
async fn steps_deleted_and_made_again_by_an_outsider() {
    steps_made_again(true).await;
}

async fn steps_made_again(by_outsider: bool) {
    let prefix = prefix();
    let (owner, consumer) = (connect(options(&prefix)).await, connect(options(&prefix)).await);
    let pool = pool("p_1-x");
    let mut old = consumer.steps(&pool, 100).await.expect("open");
    settled(&owner, &pool, &mut *old).await;
    let before = owner.incarnation().await.expect("incarnation");
    let wiped = Instant::now();
    let (outsider, topic) = (Outsider::new(), format!("{prefix}.steps.{pool}"));
    outsider.delete(&topic).await;
    if by_outsider {
        outsider.make(&topic, 1).await;
    }
    let (_, _) = another_life(&owner, &before).await;
    eprintln!("another incarnation {:?} after the pool's topic was deleted", wiped.elapsed());
    assert!(wiped.elapsed() < SOON, "within two seconds or so, not {:?}", wiped.elapsed());
    // The outcome may be unknown at first: the client still works for partitions that are gone.
    eventually("published", async || owner.publish_steps(steps(&pool, numbered(0..100))).await.is_ok()).await;
    // The stream ends by itself; the next one gets everything.
    in_time(async {
        while let Ok(taken) = old.recv(100).await {
            old.ack(&tags(&taken)).await.expect("ack");
        }
    })
    .await;
    drop(old);
    let mut new = consumer.steps(&pool, 1_000).await.expect("open");
    let expected: BTreeSet<Bytes> = numbered(0..100).into_iter().collect();
    let mut got = BTreeSet::new();
    in_time(async {
        while !got.is_superset(&expected) {
            got.extend(new.recv(100).await.expect("recv").into_iter().map(|d| d.body));
        }
    })
    .await;
}

#[tokio::test]
async fn a_new_pool_is_no_new_life() {
    let prefix = prefix();
    let (one, other) = (connect(options(&prefix)).await, connect(options(&prefix)).await);
    let before = one.incarnation().await.expect("incarnation");
    for name in ["a", "b", "c"] {
        let pool = pool(name);
        let (x, y) = tokio::join!(
            one.publish_steps(steps(&pool, numbered(0..1))),
            other.publish_steps(steps(&pool, numbered(1..2)))
        );
        x.and(y).expect("publish");
    }
    let third = connect(options(&prefix)).await;
    let changed = async {
        loop {
            for queue in [&one, &other, &third] {
                if queue.incarnation().await.expect("incarnation") != before {
                    return;
                }
            }
            tokio::task::yield_now().await;
        }
    };
    assert!(timeout(Duration::from_millis(1_500), changed).await.is_err(), "three looks and no change");
}
