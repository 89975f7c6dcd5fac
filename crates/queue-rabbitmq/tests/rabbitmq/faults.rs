//! Connections that break or go silent, and a broker in need.

use super::support::proxy::Proxy;
use super::support::*;
use aidt_domain::PartitionId;
use aidt_queue::{Kind, Queue};
use aidt_queue_rabbitmq::Options;
use bytes::Bytes;
use std::collections::BTreeSet;
use std::time::Duration;
use tokio::time::Instant;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_confirmed_before_a_cut_arrives() {
    let proxy = Proxy::to(&url()).await;
    let fresh = fresh_through(proxy.url.clone()).await;
    fresh.publish_steps(steps(&numbered(0..1))).await.unwrap();
    let (mut confirmed, mut failed) = (BTreeSet::new(), 0);
    let mut n = 1;
    while failed < 4 {
        let batch = numbered(n..n + 50);
        n += 50;
        let q = &fresh;
        let (published, ()) = tokio::join!(in_time(q.publish_steps(steps(&batch))), async {
            if n % 200 == 1 {
                tokio::task::yield_now().await;
                proxy.cut();
            }
        });
        match published {
            Ok(()) => confirmed.extend(batch),
            Err(error) => {
                assert!(matches!(error.kind, Kind::Unknown | Kind::Unavailable), "{error:?}");
                failed += 1;
                // Until it is connected again.
                eventually("a publication", async || q.publish_steps(steps(&numbered(0..1))).await.is_ok()).await;
            }
        }
    }
    assert!(!confirmed.is_empty());
    let other = fresh.another().await;
    let mut stream = other.steps(&pool("p"), 500).await.unwrap();
    take_and_ack(&mut *stream, &Vec::from_iter(confirmed)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn streams_fail_when_they_are_cut_and_go_on_when_they_are_opened_again() {
    let proxy = Proxy::to(&url()).await;
    let fresh = fresh_through(proxy.url.clone()).await;
    let mut stream = fresh.steps(&pool("p"), 9).await.unwrap();
    let mut of_owner = fresh.commands(&[(PartitionId(1), 0)]).await.unwrap();
    let first = fresh.incarnation().await.unwrap();
    fresh.publish_steps(steps(&numbered(0..5))).await.unwrap();
    let taken = in_time(stream.recv(1)).await.unwrap();
    proxy.cut();
    until_broken(&mut *stream).await;
    assert!(in_time(of_owner.recv(1)).await.is_err());
    // Of a connection that is gone: an error, or nothing, but no hanging.
    let _ = in_time(stream.ack(&tags(&taken))).await;
    drop((stream, of_owner));
    let mut stream = reopened(&*fresh, 9).await;
    take_and_ack(&mut *stream, &numbered(0..5)).await;
    let mut of_owner = fresh.commands(&[(PartitionId(1), 0)]).await.unwrap();
    eventually("a publication", async || fresh.publish_commands(commands(1, &numbered(0..1))).await.is_ok()).await;
    assert_eq!(in_time(of_owner.recv(9)).await.unwrap().0.len(), 1);
    let mut again = String::new();
    eventually("the incarnation", async || match fresh.incarnation().await {
        Ok(text) => {
            again = text;
            true
        }
        Err(_) => false,
    })
    .await;
    assert_eq!(again, first, "a cut connection loses nothing");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_it_is_down_everything_fails_at_once() {
    let proxy = Proxy::to(&url()).await;
    let fresh = fresh_through(proxy.url.clone()).await;
    proxy.refuse(true);
    proxy.cut();
    eventually("a failure", async || fresh.publish_steps(steps(&numbered(0..1))).await.is_err()).await;
    let begin = Instant::now();
    for _ in 0..20 {
        let error = fresh.publish_steps(steps(&numbered(0..1))).await.unwrap_err();
        assert_eq!(error.kind, Kind::Unavailable);
        assert!(fresh.steps(&pool("p"), 1).await.is_err());
        fresh.nudge(&[PartitionId(0)]).await;
    }
    assert!(begin.elapsed() < Duration::from_secs(1), "{:?}", begin.elapsed());
    proxy.refuse(false);
    eventually("a publication", async || fresh.publish_steps(steps(&numbered(0..1))).await.is_ok()).await;
}

/// Heartbeats find it out; until then each operation is bounded.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_black_hole_bounds_every_operation() {
    let proxy = Proxy::to(&url()).await;
    let fresh = fresh_through(proxy.url.clone()).await;
    let mut stream = fresh.steps(&pool("p"), 9).await.unwrap();
    fresh.publish_steps(steps(&numbered(0..1))).await.unwrap();
    proxy.swallow(true);
    let begin = Instant::now();
    let error = in_time(fresh.publish_steps(steps(&numbered(1..3)))).await.unwrap_err();
    assert!(matches!(error.kind, Kind::Unknown | Kind::Unavailable), "{error:?}");
    assert!(begin.elapsed() < Duration::from_secs(5), "{:?}", begin.elapsed());
    until_broken(&mut *stream).await;
    assert!(begin.elapsed() < Duration::from_secs(10), "{:?}", begin.elapsed());
    drop(stream);
    proxy.swallow(false);
    eventually("a publication", async || fresh.publish_steps(steps(&numbered(1..3))).await.is_ok()).await;
    let mut stream = reopened(&*fresh, 9).await;
    take_and_ack(&mut *stream, &numbered(0..3)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_blocked_broker_hangs_nobody() {
    let proxy = Proxy::to(&url()).await;
    let patient = options(proxy.url.clone(), "");
    let fresh = fresh_with(Options { heartbeat: Duration::from_secs(60), ..patient }).await;
    fresh.publish_steps(steps(&numbered(0..1))).await.unwrap();
    let mut stream = fresh.steps(&pool("p"), 9).await.unwrap();
    proxy.say_blocked(true);
    let mut kinds = BTreeSet::new();
    eventually("the block is heard of", async || {
        let begin = Instant::now();
        let published = fresh.publish_steps(steps(&numbered(1..2))).await;
        assert!(begin.elapsed() < Duration::from_secs(5), "{:?}", begin.elapsed());
        kinds.extend(published.map_err(|error| format!("{:?}", error.kind)).err());
        kinds.contains("Unavailable")
    })
    .await;
    // What is there can be taken meanwhile.
    let taken = in_time(stream.recv(1)).await.unwrap();
    assert_eq!(taken[0].body, Bytes::from_static(b"0"));
    fresh.nudge(&[PartitionId(0)]).await;
    proxy.say_blocked(false);
    eventually("a publication", async || fresh.publish_steps(steps(&numbered(2..3))).await.is_ok()).await;
    // Two connections, and neither was given up.
    assert_eq!(proxy.accepted(), 2);
}
