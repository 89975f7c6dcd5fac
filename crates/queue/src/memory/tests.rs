//! What this adapter promises beyond the port: order, exactness, wake-ups, wipes.

use super::*;
use crate::port::{Delivery, Tag};
use aidt_domain::Timestamp;
use bytes::Bytes;
use futures::FutureExt as _;
use std::time::Duration;

#[derive(Debug)]
struct At(i64);

impl Clock for At {
    fn now(&self) -> Timestamp {
        Timestamp(self.0)
    }
}

fn queue() -> MemoryQueue {
    MemoryQueue::new(Arc::new(At(7)), "life".to_owned())
}

fn pool(name: &str) -> Pool {
    Pool::new(name).unwrap()
}

fn out(body: &str) -> Outgoing {
    Outgoing { body: Bytes::copy_from_slice(body.as_bytes()), republished: false, traceparent: None }
}

async fn publish(queue: &MemoryQueue, bodies: &[&str]) {
    let steps = bodies.iter().map(|body| (pool("p"), out(body))).collect();
    queue.publish_steps(steps).await.unwrap();
}

async fn publish_commands(queue: &MemoryQueue, bodies: &[(u16, &str)]) {
    let commands = bodies.iter().map(|(p, body)| (PartitionId(*p), out(body))).collect();
    queue.publish_commands(commands).await.unwrap();
}

/// Nothing here takes time: what is not done when it is polled was forgotten.
fn at_once<T>(future: impl Future<Output = Result<T, QueueError>>) -> T {
    future.now_or_never().expect("woken").unwrap()
}

fn bodies(deliveries: &[Delivery]) -> Vec<&str> {
    deliveries.iter().map(|d| std::str::from_utf8(&d.body).unwrap()).collect()
}

fn tags(deliveries: &[Delivery]) -> Vec<Tag> {
    deliveries.iter().map(|d| d.tag).collect()
}

fn command_bodies(taken: &[(PartitionId, Delivery)]) -> Vec<(u16, &str)> {
    taken.iter().map(|(p, d)| (p.0, std::str::from_utf8(&d.body).unwrap())).collect()
}

#[tokio::test]
async fn a_fresh_step_is_not_doubtful_and_carries_the_time_of_its_publication() {
    let queue = queue();
    publish(&queue, &["a"]).await;
    let taken = queue.steps(&pool("p"), 9).await.unwrap().recv(9).await.unwrap();
    assert_eq!(taken[0].published_at, Some(Timestamp(7)));
    assert!(!taken[0].doubtful);
}

#[tokio::test]
async fn what_dropped_streams_give_back_stands_in_its_old_order_and_is_doubtful() {
    let queue = queue();
    publish(&queue, &["a", "b", "c", "d", "e"]).await;
    let mut one = queue.steps(&pool("p"), 9).await.unwrap();
    let mut two = queue.steps(&pool("p"), 9).await.unwrap();
    assert_eq!(bodies(&one.recv(1).await.unwrap()), ["a"]);
    assert_eq!(bodies(&two.recv(1).await.unwrap()), ["b"]);
    let acked = one.recv(1).await.unwrap();
    assert_eq!(bodies(&two.recv(1).await.unwrap()), ["d"]);
    one.ack(&tags(&acked)).await.unwrap();
    drop(two);
    drop(one);
    let taken = queue.steps(&pool("p"), 9).await.unwrap().recv(9).await.unwrap();
    assert_eq!(bodies(&taken), ["a", "b", "d", "e"]);
    assert_eq!(taken.iter().map(|d| d.doubtful).collect::<Vec<_>>(), [true, true, true, false]);
}

#[tokio::test]
async fn a_full_stream_swallows_no_wake_up() {
    let queue = queue();
    publish(&queue, &["a"]).await;
    let mut full = queue.steps(&pool("p"), 1).await.unwrap();
    full.recv(9).await.unwrap();
    let mut hungry = queue.steps(&pool("p"), 1).await.unwrap();
    let (mut waits, mut takes) = (full.recv(9), hungry.recv(9));
    assert!((&mut waits).now_or_never().is_none());
    assert!((&mut takes).now_or_never().is_none());
    publish(&queue, &["b"]).await;
    assert_eq!(bodies(&at_once(takes)), ["b"]);
    assert!(waits.now_or_never().is_none());
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_leaves_something_wakes_the_next() {
    let queue = queue();
    let mut streams = Vec::new();
    for _ in 0..3 {
        streams.push(queue.steps(&pool("p"), 1).await.unwrap());
    }
    let waiting = futures::future::join_all(streams.iter_mut().map(|stream| stream.recv(9)));
    let publishing = async { publish(&queue, &["a", "b", "c"]).await };
    // Single-threaded and in this order: all wait before the one batch, hence the one wake-up, comes.
    let both = async { tokio::join!(waiting, publishing) };
    let (taken, ()) = tokio::time::timeout(Duration::from_secs(1), both).await.expect("all woken");
    assert!(taken.into_iter().all(|taken| taken.unwrap().len() == 1));
}

#[tokio::test]
async fn a_wake_up_that_a_cancelled_stream_had_goes_to_another() {
    let queue = queue();
    let mut one = queue.steps(&pool("p"), 1).await.unwrap();
    let mut two = queue.steps(&pool("p"), 1).await.unwrap();
    let (mut first, mut second) = (one.recv(1), two.recv(1));
    assert!((&mut first).now_or_never().is_none());
    assert!((&mut second).now_or_never().is_none());
    publish(&queue, &["a"]).await;
    drop(first);
    assert_eq!(bodies(&at_once(second)), ["a"]);
}

#[tokio::test]
async fn a_wipe_loses_all_changes_the_incarnation_and_frees_prefetch() {
    let queue = queue();
    let before = queue.incarnation().await.unwrap();
    publish(&queue, &["a", "b"]).await;
    let mut stream = queue.steps(&pool("p"), 1).await.unwrap();
    let lost = stream.recv(1).await.unwrap();
    let mut waits = stream.recv(1);
    assert!((&mut waits).now_or_never().is_none());
    queue.wipe();
    assert_ne!(queue.incarnation().await.unwrap(), before);
    assert_eq!(queue.queued_steps(&pool("p")), 0);
    publish(&queue, &["c"]).await;
    assert_eq!(bodies(&at_once(waits)), ["c"]);
    stream.ack(&tags(&lost)).await.unwrap();
    drop(stream);
    let taken = queue.steps(&pool("p"), 9).await.unwrap().recv(9).await.unwrap();
    assert_eq!(bodies(&taken), ["c"]);
}

#[tokio::test]
async fn closing_ends_streams_and_refuses_the_rest() {
    let queue = queue();
    publish(&queue, &["a"]).await;
    let mut full = queue.steps(&pool("p"), 1).await.unwrap();
    full.recv(1).await.unwrap();
    let mut idle = queue.steps(&pool("q"), 1).await.unwrap();
    let mut commands = queue.commands(&[(PartitionId(0), 0)]).await.unwrap();
    let (mut a, mut b, mut c) = (full.recv(1), idle.recv(1), commands.recv(1));
    assert!((&mut a).now_or_never().is_none());
    assert!((&mut b).now_or_never().is_none());
    assert!((&mut c).now_or_never().is_none());
    queue.close();
    assert_eq!(a.now_or_never().unwrap().unwrap_err().kind, Kind::Closed);
    assert_eq!(b.now_or_never().unwrap().unwrap_err().kind, Kind::Closed);
    assert_eq!(c.now_or_never().unwrap().unwrap_err().kind, Kind::Closed);
    let kind = |result: Result<(), QueueError>| result.unwrap_err().kind;
    assert_eq!(kind(queue.publish_steps(vec![(pool("p"), out("x"))]).await), Kind::Closed);
    assert_eq!(kind(queue.publish_steps(vec![(pool("new"), out("x"))]).await), Kind::Closed);
    assert_eq!(kind(queue.publish_commands(vec![(PartitionId(0), out("x"))]).await), Kind::Closed);
    assert_eq!(kind(queue.steps(&pool("p"), 1).await.map(|_| ())), Kind::Closed);
    assert_eq!(kind(queue.commands(&[]).await.map(|_| ())), Kind::Closed);
}

#[tokio::test]
async fn a_busy_partition_does_not_starve_the_others() {
    let queue = queue();
    publish_commands(&queue, &[(0, "a"), (0, "b"), (0, "c"), (1, "d"), (2, "e")]).await;
    let mut stream = queue.commands(&[0, 1, 2].map(|p| (PartitionId(p), 0))).await.unwrap();
    let mut seen = Vec::new();
    for _ in 0..3 {
        seen.push(command_bodies(&stream.recv(1).await.unwrap().0)[0].0);
    }
    seen.sort_unstable();
    assert_eq!(seen, [0, 1, 2]);
}

#[tokio::test]
async fn commands_of_a_dropped_stream_return_to_the_other_in_order() {
    let queue = queue();
    let mut stale = queue.commands(&[(PartitionId(0), 0)]).await.unwrap();
    let mut owner = queue.commands(&[(PartitionId(0), 0), (PartitionId(1), 0)]).await.unwrap();
    publish_commands(&queue, &[(0, "a"), (0, "b"), (0, "c")]).await;
    stale.recv(2).await.unwrap();
    assert_eq!(command_bodies(&owner.recv(9).await.unwrap().0), [(0, "c")]);
    let mut waits = owner.recv(9);
    assert!((&mut waits).now_or_never().is_none());
    drop(stale);
    let (back, nudged) = at_once(waits);
    assert_eq!(command_bodies(&back), [(0, "a"), (0, "b")]);
    assert!(back.iter().all(|(_, delivery)| delivery.doubtful));
    assert!(nudged.is_empty());
}

#[tokio::test]
async fn every_stream_of_a_partition_is_told_of_a_nudge_once() {
    let queue = queue();
    let mut one = queue.commands(&[(PartitionId(0), 0), (PartitionId(1), 0)]).await.unwrap();
    let mut two = queue.commands(&[(PartitionId(1), 0)]).await.unwrap();
    queue.nudge(&[PartitionId(1), PartitionId(1), PartitionId(5)]).await;
    assert_eq!(one.recv(9).await.unwrap().1, [PartitionId(1)]);
    assert_eq!(two.recv(9).await.unwrap().1, [PartitionId(1)]);
    assert!(one.recv(9).now_or_never().is_none());
}

#[test]
fn every_step_arrives_once_across_threads() {
    const STEPS: usize = 20_000;
    let queue = queue();
    let (seen, arrived) = std::sync::mpsc::channel();
    let consumers: Vec<_> = (0..3)
        .map(|_| {
            let (queue, seen) = (queue.clone(), seen.clone());
            on_own_runtime(move || async move {
                let mut stream = queue.steps(&pool("p"), 16).await.unwrap();
                while let Ok(taken) = stream.recv(7).await {
                    stream.ack(&tags(&taken)).await.unwrap();
                    taken.into_iter().for_each(|d| seen.send(d.body).unwrap());
                }
            })
        })
        .collect();
    let producer = {
        let queue = queue.clone();
        on_own_runtime(move || async move {
            for first in (0..STEPS).step_by(10) {
                let batch = (first..first + 10).map(|n| (pool("p"), out(&n.to_string())));
                queue.publish_steps(batch.collect()).await.unwrap();
            }
        })
    };
    producer.join().unwrap();
    let mut got: Vec<usize> = (0..STEPS)
        .map(|_| arrived.recv_timeout(Duration::from_secs(30)).unwrap())
        .map(|body| std::str::from_utf8(&body).unwrap().parse().unwrap())
        .collect();
    queue.close();
    consumers.into_iter().for_each(|consumer| consumer.join().unwrap());
    got.sort_unstable();
    assert_eq!(got, (0..STEPS).collect::<Vec<_>>());
    assert!(arrived.try_recv().is_err());
}

fn on_own_runtime<F: Future<Output = ()>>(start: impl FnOnce() -> F + Send + 'static) -> std::thread::JoinHandle<()> {
    std::thread::spawn(move || {
        tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(start());
    })
}
