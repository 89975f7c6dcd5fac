//! Consumers that come, go, and die under load.

use crate::broker::{connect, in_time, numbered, options, pool, prefix, settled, steps, tags, take};
use aidt_domain::Pool;
use aidt_queue::{Queue, Steps};
use aidt_queue_kafka::KafkaQueue;
use bytes::Bytes;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};
use tokio::time::Instant;

/// What consumers saw between them.
#[derive(Default)]
struct Seen {
    fresh: BTreeMap<Bytes, u32>,
    acked: BTreeSet<Bytes>,
}

/// Takes a little, keeps some in hand, acks the oldest.
async fn work(stream: &mut dyn Steps, hand: &mut VecDeque<aidt_queue::Delivery>, seen: &mut Seen, keep: usize) {
    for delivery in stream.recv(16).await.expect("recv") {
        if !delivery.doubtful {
            *seen.fresh.entry(delivery.body.clone()).or_default() += 1;
        }
        hand.push_back(delivery);
    }
    while hand.len() > keep {
        let delivery = hand.pop_front().expect("more than none");
        stream.ack(&[delivery.tag]).await.expect("ack");
        seen.acked.insert(delivery.body);
    }
}

/// Two streams that join and leave while messages are in hand: all are acked, and none is fresh twice.
#[tokio::test]
async fn nothing_is_lost_or_fresh_twice_while_streams_come_and_go() {
    let prefix = prefix();
    let (queue, other) = (connect(options(&prefix)).await, connect(options(&prefix)).await);
    let pool = pool("p");
    let count = 3_000;
    let mut seen = Seen::default();
    let mut stays = queue.steps(&pool, 64).await.expect("open");
    let mut its_hand = VecDeque::new();
    let mut guest: Option<(Box<dyn Steps>, VecDeque<_>)> = None;
    let mut published = 0;
    let mut rounds = 0_u32;
    in_time(async {
        while seen.acked.len() < count {
            if published < count {
                let more = numbered(published..(published + 20).min(count));
                published += more.len();
                other.publish_steps(steps(&pool, more)).await.expect("publish");
            }
            rounds += 1;
            // A guest comes every 30 rounds and leaves 15 later, with what it has in hand.
            match (&guest, rounds % 30) {
                (None, 0) => guest = Some((other.steps(&pool, 64).await.expect("open"), VecDeque::new())),
                (Some(_), 15) => guest = None,
                _ => {}
            }
            let keep = if published < count { 16 } else { 0 };
            let one_moment = std::time::Duration::from_millis(20);
            let _ = tokio::time::timeout(one_moment, work(&mut *stays, &mut its_hand, &mut seen, keep)).await;
            if let Some((stream, hand)) = &mut guest {
                let _ = tokio::time::timeout(one_moment, work(&mut **stream, hand, &mut seen, keep)).await;
            }
        }
    })
    .await;
    let twice: Vec<_> = seen.fresh.iter().filter(|(_, times)| **times > 1).collect();
    assert!(twice.is_empty(), "fresh more than once: {twice:?}");
}

/// A stream that is dropped leaves the group at once: its successor does not wait for a session to end.
#[tokio::test]
async fn a_dropped_stream_hands_over_at_once() {
    let (queue, pool) = (connect(options(&prefix())).await, pool("p"));
    let mut first = queue.steps(&pool, 100).await.expect("open");
    settled(&queue, &pool, &mut *first).await;
    queue.publish_steps(steps(&pool, numbered(0..40))).await.expect("publish");
    take(&mut *first, 40).await;
    let mut second = queue.steps(&pool, 100).await.expect("open");
    let start = Instant::now();
    drop(first);
    take_all(&mut *second, 40).await;
    eprintln!("handed over in {:?}", start.elapsed());
    assert!(start.elapsed() < queue_session() / 2, "took {:?}", start.elapsed());
}

fn queue_session() -> std::time::Duration {
    options("x").session_timeout
}

async fn take_all(stream: &mut dyn Steps, count: usize) {
    let expected: BTreeSet<Bytes> = numbered(0..count).into_iter().collect();
    let mut got = BTreeSet::new();
    in_time(async {
        while !got.is_superset(&expected) {
            let taken = stream.recv(count).await.expect("recv");
            assert!(taken.iter().all(|d| d.doubtful || !expected.contains(&d.body)), "redelivered, so doubtful");
            got.extend(taken.into_iter().map(|d| d.body));
        }
    })
    .await;
}

/// Acks of what is another's by now move nothing: that one still gets it.
#[tokio::test]
async fn late_acks_do_not_commit_for_the_next_owner_of_a_partition() {
    let prefix = prefix();
    let (queue, other) = (connect(options(&prefix)).await, connect(options(&prefix)).await);
    let pool = pool("p");
    let mut first = queue.steps(&pool, 400).await.expect("open");
    settled(&queue, &pool, &mut *first).await;
    queue.publish_steps(steps(&pool, numbered(0..200))).await.expect("publish");
    let taken = take(&mut *first, 200).await;
    let mut second = other.steps(&pool, 400).await.expect("open");
    // It has some partitions now, and holds their messages.
    let held = in_time(second.recv(1)).await.expect("recv");
    first.ack(&tags(&taken)).await.expect("ack");
    drop(first);
    drop(second);
    let mut third = queue.steps(&pool, 400).await.expect("open");
    let mut back = BTreeSet::new();
    in_time(async {
        while !back.contains(&held[0].body) {
            back.extend(third.recv(100).await.expect("recv").into_iter().map(|d| d.body));
        }
    })
    .await;
}

const CHILD: &str = "AIDT_TEST_KAFKA_CHILD";

/// A consumer's process is killed with messages in hand: another gets them when the session is over.
#[tokio::test]
async fn a_killed_consumers_steps_come_to_another() {
    #[expect(clippy::disallowed_methods, reason = "this very test, started as the process to be killed")]
    if let Ok(prefix) = std::env::var(CHILD) {
        return hold_for_ever(&prefix).await;
    }
    let prefix = prefix();
    let (queue, pool) = (connect(options(&prefix)).await, pool("p"));
    queue.publish_steps(steps(&pool, numbered(0..20))).await.expect("publish");
    let own_path = std::env::current_exe().expect("this program");
    let mut child = Command::new(own_path)
        .args(["--exact", "rebalance::a_killed_consumers_steps_come_to_another", "--nocapture"])
        .env(CHILD, &prefix)
        .stdout(Stdio::piped())
        .spawn()
        .expect("a child");
    let out = child.stdout.take().expect("piped");
    let holds =
        tokio::task::spawn_blocking(move || BufReader::new(out).lines().map_while(Result::ok).any(|l| l == "held"));
    assert!(in_time(holds).await.expect("no panic"), "the child took all");
    let mut heir = queue.steps(&pool, 100).await.expect("open");
    child.kill().expect("kill");
    let start = Instant::now();
    child.wait().expect("it is dead");
    take_all(&mut *heir, 20).await;
    eprintln!("all of a killed consumer's steps after {:?}", start.elapsed());
    assert!(start.elapsed() < queue_session() * 2, "took {:?}", start.elapsed());
}

async fn hold_for_ever(prefix: &str) {
    let (queue, pool): (_, Pool) = (connect(options(prefix)).await, pool("p"));
    let queue: &KafkaQueue = &queue;
    let mut stream = queue.steps(&pool, 100).await.expect("open");
    take(&mut *stream, 20).await;
    println!("held");
    std::future::pending::<()>().await;
}
