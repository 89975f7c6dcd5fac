//! Consumers that come, go, and die under load.

use crate::broker::{
    Outsider, connect, eventually, in_time, numbered, options, pool, prefix, settled, steps, tags, take,
};
use aidt_domain::{Pool, ProcessId};
use aidt_queue::{Delivery, Queue, Readers, Steps};
use aidt_queue_kafka::KafkaQueue;
use bytes::Bytes;
use std::collections::{BTreeSet, VecDeque};
use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};
use std::time::Duration;
use tokio::time::Instant;
use uuid::Uuid;

/// A stream that is told what to read does so at once.
const AT_ONCE: Duration = Duration::from_secs(2);

fn readers(me: u128, all: &[u128]) -> Readers {
    let process = |n| ProcessId(Uuid::from_u128(n));
    Readers { me: process(me), all: all.iter().map(|n| process(*n)).collect() }
}

/// Takes a little, keeps some in hand, acks the oldest.
async fn work(stream: &mut dyn Steps, hand: &mut VecDeque<Delivery>, acked: &mut BTreeSet<Bytes>, keep: usize) {
    hand.extend(stream.recv(16).await.expect("recv"));
    while hand.len() > keep {
        let delivery = hand.pop_front().expect("more than none");
        stream.ack(&[delivery.tag]).await.expect("ack");
        acked.insert(delivery.body);
    }
}

/// Two streams, of which one comes and goes with messages in hand, and the other hears of it late: all are acked.
#[tokio::test]
async fn nothing_is_lost_while_streams_come_and_go() {
    let prefix = prefix();
    let (queue, other) = (connect(options(&prefix)).await, connect(options(&prefix)).await);
    let pool = pool("p");
    let count = 3_000;
    let mut acked = BTreeSet::new();
    let mut stays = queue.steps(&pool, 64).await.expect("open");
    let mut its_hand = VecDeque::new();
    let mut guest: Option<(Box<dyn Steps>, VecDeque<_>)> = None;
    let mut published = 0;
    let mut rounds = 0_u32;
    in_time(async {
        while acked.len() < count {
            if published < count {
                let more = numbered(published..(published + 20).min(count));
                published += more.len();
                other.publish_steps(steps(&pool, more)).await.expect("publish");
            }
            rounds += 1;
            // A guest comes every 30 rounds and leaves 15 later, with what it has in hand.
            match rounds % 30 {
                0 => {
                    let mut stream = other.steps(&pool, 64).await.expect("open");
                    stream.share(&readers(2, &[1, 2]));
                    guest = Some((stream, VecDeque::new()));
                }
                4 => stays.share(&readers(1, &[1, 2])),
                15 => guest = None,
                19 => stays.share(&readers(1, &[1])),
                _ => {}
            }
            let keep = if published < count { 16 } else { 0 };
            let one_moment = std::time::Duration::from_millis(20);
            let _ = tokio::time::timeout(one_moment, work(&mut *stays, &mut its_hand, &mut acked, keep)).await;
            if let Some((stream, hand)) = &mut guest {
                let _ = tokio::time::timeout(one_moment, work(&mut **stream, hand, &mut acked, keep)).await;
            }
        }
    })
    .await;
}

/// What a stream had that was dropped comes to the other as soon as that is told.
#[tokio::test]
async fn a_dropped_stream_hands_over_at_once() {
    let (queue, pool) = (connect(options(&prefix())).await, pool("p"));
    let mut first = queue.steps(&pool, 100).await.expect("open");
    settled(&queue, &pool, &mut *first).await;
    queue.publish_steps(steps(&pool, numbered(0..40))).await.expect("publish");
    take(&mut *first, 40).await;
    let mut second = queue.steps(&pool, 100).await.expect("open");
    second.share(&readers(2, &[1, 2]));
    drop(first);
    let start = Instant::now();
    second.share(&readers(2, &[2]));
    take_all(&mut *second, 40, Vec::new()).await;
    eprintln!("handed over in {:?}", start.elapsed());
    assert!(start.elapsed() < AT_ONCE, "took {:?}", start.elapsed());
}

async fn take_all(stream: &mut dyn Steps, count: usize, taken: Vec<Delivery>) {
    let expected: BTreeSet<Bytes> = numbered(0..count).into_iter().collect();
    let mut got: BTreeSet<Bytes> = taken.into_iter().map(|d| d.body).collect();
    in_time(async {
        while !got.is_superset(&expected) {
            let taken = stream.recv(count).await.expect("recv");
            assert!(taken.iter().all(|d| d.doubtful || !expected.contains(&d.body)), "redelivered, so doubtful");
            got.extend(taken.into_iter().map(|d| d.body));
        }
    })
    .await;
}

/// Two that agree read what is published from then on once, half of it each.
#[tokio::test]
async fn streams_that_agree_share_the_partitions() {
    let prefix = prefix();
    let (queue, other) = (connect(options(&prefix)).await, connect(options(&prefix)).await);
    let pool = pool("p");
    let mut one = queue.steps(&pool, 100).await.expect("open");
    one.share(&readers(1, &[1, 2]));
    let mut two = other.steps(&pool, 100).await.expect("open");
    two.share(&readers(2, &[1, 2]));
    let (mut of_one, mut of_two) = (Vec::new(), Vec::new());
    queue.publish_steps(steps(&pool, numbered(0..80))).await.expect("publish");
    in_time(async {
        while of_one.len() + of_two.len() < 80 {
            tokio::select! {
                biased;
                taken = one.recv(100) => of_one.extend(taken.expect("recv").into_iter().map(|d| d.body)),
                taken = two.recv(100) => of_two.extend(taken.expect("recv").into_iter().map(|d| d.body)),
            }
        }
    })
    .await;
    assert_eq!((of_one.len(), of_two.len()), (40, 40), "two partitions of four each");
    assert_eq!(of_one.into_iter().chain(of_two).collect::<BTreeSet<_>>().len(), 80, "nothing twice");
}

/// Who reads no more leaves all to the others, and what it has in hand comes to them as doubtful.
#[tokio::test]
async fn a_stream_that_is_to_read_no_more_takes_nothing_new() {
    let prefix = prefix();
    let (queue, other) = (connect(options(&prefix)).await, connect(options(&prefix)).await);
    let pool = pool("p");
    let mut leaves = queue.steps(&pool, 100).await.expect("open");
    queue.publish_steps(steps(&pool, numbered(0..20))).await.expect("publish");
    let taken = take(&mut *leaves, 20).await;
    leaves.ack(&tags(&taken[..10])).await.expect("ack");
    leaves.share(&readers(1, &[2]));
    let mut stays = other.steps(&pool, 100).await.expect("open");
    stays.share(&readers(2, &[2]));
    let in_hand: BTreeSet<Bytes> = taken[10..].iter().map(|d| d.body.clone()).collect();
    let mut came = BTreeSet::new();
    in_time(async {
        while !came.is_superset(&in_hand) {
            let taken = stays.recv(100).await.expect("recv");
            assert!(taken.iter().all(|d| d.doubtful));
            came.extend(taken.into_iter().map(|d| d.body));
        }
    })
    .await;
    queue.publish_steps(steps(&pool, numbered(20..40))).await.expect("publish");
    take(&mut *stays, 20).await;
    let more = tokio::time::timeout(Duration::from_millis(300), leaves.recv(100)).await;
    assert!(more.is_err(), "{more:?}");
}

/// Somebody gives the topic more partitions: what is published to them is read.
#[tokio::test]
async fn partitions_that_are_added_are_read() {
    let prefix = prefix();
    let (queue, pool) = (connect(options(&prefix)).await, pool("p"));
    let mut stream = queue.steps(&pool, 1_000).await.expect("open");
    stream.share(&readers(1, &[1]));
    settled(&queue, &pool, &mut *stream).await;
    Outsider::new().grow(&format!("{prefix}.steps.{pool}"), 9).await;
    // A process that starts now knows of them.
    let publisher = connect(options(&prefix)).await;
    eventually("published", async || publisher.publish_steps(steps(&pool, numbered(0..90))).await.is_ok()).await;
    take(&mut *stream, 90).await;
}

/// A process of a build that shared pools by Kafka's own groups is there for a while: the broker then takes no
/// commits from others, and takes them again when it is gone.
#[tokio::test]
async fn acks_are_committed_when_a_member_of_the_group_has_gone() {
    let (prefix, pool) = (prefix(), pool("p"));
    let queue = connect(options(&prefix)).await;
    let topic = format!("{prefix}.steps.{pool}");
    let mut stream = queue.steps(&pool, 100).await.expect("open");
    settled(&queue, &pool, &mut *stream).await;
    let group = Outsider::new().group_of(&topic).await;
    let old = Outsider::join(&group, &topic).await;
    let (start, mut count) = (Instant::now(), 0);
    // Long enough for several commits, which the broker refuses.
    while start.elapsed() < AT_ONCE {
        queue.publish_steps(steps(&pool, numbered(count..count + 1))).await.expect("publish");
        let taken = take(&mut *stream, 1).await;
        stream.ack(&tags(&taken)).await.expect("ack");
        count += 1;
    }
    assert!(Outsider::lag(&group, &topic).await >= count as i64 - 1);
    tokio::task::spawn_blocking(move || drop(old)).await.expect("no panic");
    eventually("all is committed", async || Outsider::lag(&group, &topic).await == 0).await;
    queue.publish_steps(steps(&pool, numbered(0..40))).await.expect("publish");
    take(&mut *stream, 40).await;
}

const CHILD: &str = "AIDT_TEST_KAFKA_CHILD";

/// A consumer's process is killed with messages in hand: another gets them as soon as it is told.
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
        .args(["--exact", "sharing::a_killed_consumers_steps_come_to_another", "--nocapture"])
        .env(CHILD, &prefix)
        .stdout(Stdio::piped())
        .spawn()
        .expect("a child");
    let out = child.stdout.take().expect("piped");
    let holds =
        tokio::task::spawn_blocking(move || BufReader::new(out).lines().map_while(Result::ok).any(|l| l == "held"));
    assert!(in_time(holds).await.expect("no panic"), "the child took all");
    let mut heir = queue.steps(&pool, 100).await.expect("open");
    heir.share(&readers(2, &[1, 2]));
    let taken = in_time(heir.recv(100)).await.expect("its share");
    child.kill().expect("kill");
    child.wait().expect("it is dead");
    let start = Instant::now();
    heir.share(&readers(2, &[2]));
    take_all(&mut *heir, 20, taken).await;
    eprintln!("all of a killed consumer's steps after {:?}", start.elapsed());
    assert!(start.elapsed() < AT_ONCE, "took {:?}", start.elapsed());
}

async fn hold_for_ever(prefix: &str) {
    let (queue, pool): (_, Pool) = (connect(options(prefix)).await, pool("p"));
    let queue: &KafkaQueue = &queue;
    let mut stream = queue.steps(&pool, 100).await.expect("open");
    stream.share(&readers(1, &[1]));
    take(&mut *stream, 20).await;
    println!("held");
    std::future::pending::<()>().await;
}
