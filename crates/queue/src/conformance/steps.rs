//! Streams of steps.

use super::{cancelled, hostile, in_time, message, never, numbered, sorted};
use crate::port::{Delivery, Outgoing, Queue, Readers, Steps, Tag};
use aidt_domain::{Pool, ProcessId};
use bytes::Bytes;
use std::collections::BTreeSet;

pub(super) fn pool(name: &str) -> Pool {
    Pool::new(name).expect("a pool's name")
}

async fn publish(queue: &dyn Queue, to: &Pool, bodies: &[Bytes]) {
    let steps = bodies.iter().map(|body| (to.clone(), message(body.clone()))).collect();
    queue.publish_steps(steps).await.expect("publish steps");
}

async fn open(queue: &dyn Queue, pool: &Pool, prefetch: u32) -> Box<dyn Steps> {
    queue.steps(pool, prefetch).await.expect("open a stream of steps")
}

fn tags(deliveries: &[Delivery]) -> Vec<Tag> {
    deliveries.iter().map(|delivery| delivery.tag).collect()
}

/// Takes until this many different bodies came, acking none.
async fn take(stream: &mut dyn Steps, count: usize) -> Vec<Delivery> {
    let (mut taken, mut bodies) = (Vec::new(), BTreeSet::new());
    while bodies.len() < count {
        for delivery in in_time(stream.recv(count)).await.expect("recv") {
            bodies.insert(delivery.body.clone());
            taken.push(delivery);
        }
    }
    taken
}

/// Takes and acks until this many different bodies came; gives them sorted.
async fn take_and_ack(stream: &mut dyn Steps, count: usize) -> Vec<Bytes> {
    let mut bodies = BTreeSet::new();
    while bodies.len() < count {
        let taken = in_time(stream.recv(count)).await.expect("recv");
        stream.ack(&tags(&taken)).await.expect("ack");
        bodies.extend(taken.into_iter().map(|delivery| delivery.body));
    }
    bodies.into_iter().collect()
}

/// Any bytes up to the limit of a message arrive as they were.
pub async fn steps_arrive_byte_for_byte(queue: &dyn Queue) {
    let pool = pool("p");
    let mut stream = open(queue, &pool, 100).await;
    let traced = Outgoing {
        traceparent: Some("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".to_owned()),
        ..message("traced")
    };
    queue.publish_steps(vec![(pool.clone(), traced)]).await.expect("publish");
    publish(queue, &pool, &hostile()).await;
    let mut expected = hostile();
    expected.push(Bytes::from_static(b"traced"));
    assert_eq!(take_and_ack(&mut *stream, expected.len()).await, sorted(expected));
}

/// Publishing needs no consumer.
pub async fn steps_published_before_anybody_listens_wait(queue: &dyn Queue) {
    let pool = pool("p");
    publish(queue, &pool, &numbered(10)).await;
    let mut stream = open(queue, &pool, 100).await;
    assert_eq!(take_and_ack(&mut *stream, 10).await, sorted(numbered(10)));
}

/// One batch for several pools reaches each pool's own stream.
pub async fn pools_are_apart(queue: &dyn Queue) {
    let (a, b) = (pool("a"), pool("b-2_x"));
    let (mut of_a, mut of_b) = (open(queue, &a, 100).await, open(queue, &b, 100).await);
    let batch = numbered(20).into_iter().enumerate().map(|(n, body)| {
        let to = if n % 2 == 0 { &a } else { &b };
        (to.clone(), message(body))
    });
    queue.publish_steps(batch.collect()).await.expect("publish");
    let parity = |rest| numbered(20).into_iter().skip(rest).step_by(2).collect();
    assert_eq!(take_and_ack(&mut *of_a, 10).await, sorted(parity(0)));
    assert_eq!(take_and_ack(&mut *of_b, 10).await, sorted(parity(1)));
    never(of_a.recv(1)).await;
}

/// What the publisher calls republished the consumer must validate.
pub async fn a_republished_step_is_doubtful(queue: &dyn Queue) {
    let pool = pool("p");
    let mut stream = open(queue, &pool, 100).await;
    let again = Outgoing { republished: true, ..message("again") };
    queue.publish_steps(vec![(pool, again)]).await.expect("publish");
    assert!(take(&mut *stream, 1).await.iter().all(|delivery| delivery.doubtful));
}

/// A consumer that is gone loses nothing, and its successor knows.
pub async fn unacked_steps_come_back_doubtful(queue: &dyn Queue) {
    let pool = pool("p");
    publish(queue, &pool, &numbered(10)).await;
    let mut first = open(queue, &pool, 100).await;
    take(&mut *first, 10).await;
    drop(first);
    let mut second = open(queue, &pool, 100).await;
    let back = take(&mut *second, 10).await;
    assert!(back.iter().all(|delivery| delivery.doubtful));
}

/// Acked is done, also when the stream is dropped right after.
pub async fn acked_steps_stay_away(queue: &dyn Queue) {
    let pool = pool("p");
    publish(queue, &pool, &numbered(10)).await;
    let mut first = open(queue, &pool, 100).await;
    let taken = take(&mut *first, 10).await;
    let (keep, done): (Vec<_>, Vec<_>) = taken.into_iter().partition(|d| d.body == b"7"[..]);
    first.ack(&tags(&done)).await.expect("ack");
    assert!(!keep.is_empty());
    drop(first);
    let mut second = open(queue, &pool, 100).await;
    assert_eq!(take_and_ack(&mut *second, 1).await, [Bytes::from_static(b"7")]);
    never(second.recv(1)).await;
}

/// Doubled acks neither fail nor ack anything else.
pub async fn acking_twice_is_harmless(queue: &dyn Queue) {
    let pool = pool("p");
    publish(queue, &pool, &numbered(2)).await;
    let mut first = open(queue, &pool, 100).await;
    let taken = take(&mut *first, 2).await;
    let (done, _): (Vec<_>, Vec<_>) = taken.into_iter().partition(|d| d.body == b"0"[..]);
    let twice = [tags(&done), tags(&done)].concat();
    first.ack(&twice).await.expect("ack doubled");
    first.ack(&tags(&done)).await.expect("ack again");
    drop(first);
    let mut second = open(queue, &pool, 100).await;
    assert_eq!(take_and_ack(&mut *second, 1).await, [Bytes::from_static(b"1")]);
}

/// No more than `prefetch` are out; acking makes room, and a full stream waits rather than fails.
pub async fn prefetch_bounds_what_is_unacked(queue: &dyn Queue) {
    let pool = pool("p");
    publish(queue, &pool, &numbered(10)).await;
    let mut stream = open(queue, &pool, 3).await;
    let mut taken = take(&mut *stream, 3).await;
    assert_eq!(taken.len(), 3);
    never(stream.recv(10)).await;
    stream.ack(&tags(&taken[..1])).await.expect("ack");
    taken.extend(in_time(stream.recv(10)).await.expect("recv"));
    assert_eq!(taken.len(), 4);
    stream.ack(&tags(&taken)).await.expect("ack");
    let seen: BTreeSet<_> = taken.into_iter().map(|delivery| delivery.body).collect();
    let rest = take_and_ack(&mut *stream, 6).await;
    assert!(rest.iter().all(|body| !seen.contains(body)));
}

/// Where a stream can be bounded anew, it takes more at once, and what it had taken stays its own.
pub async fn a_stream_that_is_widened_keeps_what_is_in_hand(queue: &dyn Queue) {
    let pool = pool("p");
    publish(queue, &pool, &numbered(5)).await;
    let mut stream = open(queue, &pool, 2).await;
    let mut taken = take(&mut *stream, 2).await;
    if !stream.set_prefetch(5) {
        return;
    }
    taken.extend(take(&mut *stream, 3).await);
    let bodies: BTreeSet<_> = taken.iter().map(|delivery| &delivery.body).collect();
    assert_eq!(bodies.len(), 5, "{taken:?}");
    stream.ack(&tags(&taken)).await.expect("ack");
    never(stream.recv(10)).await;
}

/// `max` bounds one recv, and recv never gives nothing.
pub async fn recv_takes_at_most_max(queue: &dyn Queue) {
    let pool = pool("p");
    publish(queue, &pool, &numbered(10)).await;
    let mut stream = open(queue, &pool, 100).await;
    let mut bodies = BTreeSet::new();
    while bodies.len() < 10 {
        let taken = in_time(stream.recv(3)).await.expect("recv");
        assert!((1..=3).contains(&taken.len()), "{} taken", taken.len());
        bodies.extend(taken.into_iter().map(|delivery| delivery.body));
    }
}

/// Takes from both and acks, until this many different bodies came; gives them sorted.
async fn take_between(one: &mut Box<dyn Steps>, two: &mut Box<dyn Steps>, count: usize) -> Vec<Bytes> {
    let mut bodies = BTreeSet::new();
    while bodies.len() < count {
        let (stream, taken) = in_time(async {
            tokio::select! {
                biased;
                taken = one.recv(5) => (&mut *one, taken),
                taken = two.recv(5) => (&mut *two, taken),
            }
        })
        .await;
        let taken = taken.expect("recv");
        stream.ack(&tags(&taken)).await.expect("ack");
        bodies.extend(taken.into_iter().map(|delivery| delivery.body));
    }
    bodies.into_iter().collect()
}

fn readers(me: u32, all: &[u32]) -> Readers {
    let process = |n: &u32| format!("proc_{n:032x}").parse::<ProcessId>().expect("a process's id");
    Readers { me: process(&me), all: all.iter().map(process).collect() }
}

/// Two consumers of a pool get everything between them.
pub async fn streams_of_a_pool_share_the_work(queue: &dyn Queue) {
    let pool = pool("p");
    let (mut one, mut two) = (open(queue, &pool, 5).await, open(queue, &pool, 5).await);
    publish(queue, &pool, &numbered(100)).await;
    assert_eq!(take_between(&mut one, &mut two, 100).await, sorted(numbered(100)));
}

/// And so do two that know of each other, also when one learns of it late.
pub async fn streams_that_are_told_of_each_other_leave_nothing_to_nobody(queue: &dyn Queue) {
    let pool = pool("p");
    let (mut one, mut two) = (open(queue, &pool, 5).await, open(queue, &pool, 5).await);
    one.share(&readers(1, &[1]));
    two.share(&readers(2, &[1, 2]));
    publish(queue, &pool, &numbered(50)).await;
    assert_eq!(take_between(&mut one, &mut two, 50).await, sorted(numbered(50)));
    one.share(&readers(1, &[1, 2]));
    let more = numbered(100).split_off(50);
    publish(queue, &pool, &more).await;
    let mut bodies = BTreeSet::new();
    while !more.iter().all(|body| bodies.contains(body)) {
        bodies.extend(take_between(&mut one, &mut two, 1).await);
    }
}

/// A consumer that goes without a word leaves what it had, taken or not, to whoever is told that it is alone.
pub async fn who_is_left_gets_what_others_had(queue: &dyn Queue) {
    let pool = pool("p");
    let (mut one, mut two) = (open(queue, &pool, 100).await, open(queue, &pool, 100).await);
    one.share(&readers(1, &[1, 2]));
    two.share(&readers(2, &[1, 2]));
    publish(queue, &pool, &numbered(100)).await;
    take(&mut *two, 1).await;
    drop(two);
    one.share(&readers(1, &[1]));
    assert_eq!(take_and_ack(&mut *one, 100).await, sorted(numbered(100)));
}

/// Giving up on a recv, at whatever moment, loses no message.
pub async fn a_cancelled_recv_loses_nothing(queue: &dyn Queue) {
    let pool = pool("p");
    let mut stream = open(queue, &pool, 100).await;
    let mut bodies = BTreeSet::new();
    for body in numbered(30) {
        let early = cancelled(stream.recv(1)).await;
        publish(queue, &pool, &[body]).await;
        let late = cancelled(stream.recv(1)).await;
        let taken = [early, late].into_iter().flatten().flat_map(|taken| taken.expect("recv"));
        bodies.extend(taken.map(|delivery| delivery.body));
    }
    while bodies.len() < 30 {
        let taken = in_time(stream.recv(30)).await.expect("recv");
        bodies.extend(taken.into_iter().map(|delivery| delivery.body));
    }
}

/// The fan-out of a large run in one batch: no channel on the way may be too short for it.
pub async fn a_large_batch_arrives(queue: &dyn Queue) {
    let pool = pool("p");
    publish(queue, &pool, &numbered(10_000)).await;
    let mut stream = open(queue, &pool, 500).await;
    assert_eq!(take_and_ack(&mut *stream, 10_000).await, sorted(numbered(10_000)));
}
