//! Messages that hold several entries: how many there are, who gets them, and what comes again.

use super::support::*;
use aidt_queue::Queue;
use bytes::Bytes;
use futures::future::join_all;
use std::collections::BTreeSet;
use std::time::Duration;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_at_once_share_messages() {
    let fresh = fresh().await;
    let (outside, queue) = (Outside::new().await, format!("{}.steps.p", fresh.prefix));
    fresh.publish_steps(steps(&numbered(0..1_000))).await.unwrap();
    let of_one_call = outside.depth(&queue).await;
    assert!((8..=64).contains(&of_one_call), "{of_one_call} messages");
    let (q, all) = (&fresh, numbered(1_000..2_000));
    let calls = all.chunks(1).map(|one| q.publish_steps(steps(one)));
    assert!(join_all(calls).await.iter().all(Result::is_ok));
    let of_many_calls = outside.depth(&queue).await - of_one_call;
    assert!(of_many_calls <= 250, "{of_many_calls} messages");

    fresh.publish_commands(commands(1, &numbered(0..1_000))).await.unwrap();
    assert!(outside.depth(&format!("{}.commands.1", fresh.prefix)).await <= 17);
    let mut stream = fresh.steps(&pool("p"), 500).await.unwrap();
    take_and_ack(&mut *stream, &numbered(0..2_000)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fifty_publishers_lose_nothing() {
    let fresh = fresh().await;
    let q = &fresh;
    let publishers = (0..50).map(async |of| {
        for n in 0..20 {
            let at = (of * 20 + n) * 3;
            q.publish_steps(steps(&numbered(at..at + 3))).await.unwrap();
        }
    });
    let mut stream = fresh.steps(&pool("p"), 500).await.unwrap();
    let all = numbered(0..3_000);
    tokio::join!(join_all(publishers), take_and_ack(&mut *stream, &all));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_streams_share_a_pool_evenly() {
    let fresh = fresh().await;
    let mut one = fresh.steps(&pool("p"), 64).await.unwrap();
    let other = fresh.another().await;
    let mut two = other.steps(&pool("p"), 64).await.unwrap();
    let mut counts = [0, 0];
    for batch in 0..4 {
        fresh.publish_steps(steps(&numbered(batch * 256..(batch + 1) * 256))).await.unwrap();
        let mut seen = BTreeSet::new();
        while seen.len() < 256 {
            let (at, taken) = in_time(async {
                tokio::select! {
                    biased;
                    taken = one.recv(8) => (0, taken.unwrap()),
                    taken = two.recv(8) => (1, taken.unwrap()),
                }
            })
            .await;
            counts[at] += taken.len();
            let stream = if at == 0 { &mut one } else { &mut two };
            stream.ack(&tags(&taken)).await.unwrap();
            seen.extend(taken.into_iter().map(|delivery| delivery.body));
        }
    }
    assert!(counts.iter().all(|count| *count >= 256), "{counts:?}");
}

/// Its slots are taken by long steps, acked early: what waits here is for others to take.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_no_slot_is_free_for_goes_to_others() {
    let fresh = fresh().await;
    let mut busy = fresh.steps(&pool("p"), 16).await.unwrap();
    fresh.publish_steps(steps(&numbered(0..256))).await.unwrap();
    let mut all: BTreeSet<Bytes> = numbered(0..256).into_iter().collect();
    let taken = in_time(busy.recv(4)).await.unwrap();
    busy.ack(&tags(&taken)).await.unwrap();
    all.retain(|body| taken.iter().all(|delivery| delivery.body != body));
    let mut free = fresh.steps(&pool("p"), 16).await.unwrap();
    take_and_ack(&mut *free, &Vec::from_iter(all)).await;

    fresh.publish_steps(steps(&numbered(300..302))).await.unwrap();
    drop(free);
    take_and_ack(&mut *busy, &numbered(300..302)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_a_message_acked_in_part_the_rest_comes_again_doubtful() {
    let fresh = fresh().await;
    fresh.publish_steps(steps(&numbered(0..200))).await.unwrap();
    let mut first = fresh.steps(&pool("p"), 50).await.unwrap();
    let mut taken = Vec::new();
    while taken.len() < 50 {
        taken.extend(in_time(first.recv(50)).await.unwrap());
    }
    let (done, kept): (Vec<_>, Vec<_>) = taken.into_iter().enumerate().partition(|(n, _)| n % 2 == 0);
    first.ack(&done.iter().map(|(_, delivery)| delivery.tag).collect::<Vec<_>>()).await.unwrap();
    drop(first);
    let mut second = fresh.steps(&pool("p"), 200).await.unwrap();
    let mut missing: BTreeSet<Bytes> = kept.iter().map(|(_, delivery)| delivery.body.clone()).collect();
    while !missing.is_empty() {
        let taken = in_time(second.recv(50)).await.unwrap();
        second.ack(&tags(&taken)).await.unwrap();
        let mut again = taken.iter().filter(|delivery| missing.remove(&delivery.body));
        assert!(again.all(|delivery| delivery.doubtful));
    }
}

/// A single envelope waits for no other.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_at_a_time_is_not_delayed() {
    let fresh = fresh().await;
    let mut stream = fresh.steps(&pool("p"), 1).await.unwrap();
    let mut quickest = Duration::MAX;
    for n in 0..50 {
        let begin = tokio::time::Instant::now();
        fresh.publish_steps(steps(&numbered(n..n + 1))).await.unwrap();
        let taken = in_time(stream.recv(1)).await.unwrap();
        quickest = quickest.min(begin.elapsed());
        stream.ack(&tags(&taken)).await.unwrap();
    }
    assert!(quickest < Duration::from_millis(20), "{quickest:?}");
}
