//! Redis goes away, forgets, or falls silent. Nobody waits longer than stated, and all comes back.

use crate::fixture::{Proxy, Server, connect, eventually, free_port, in_time, locks, next, options, prompt, raw, url};
use aidt_lock::{Kind, Lease, Live, LocalShare, Locks, Permit};
use aidt_lock_redis::RedisLocks;
use std::time::{Duration, Instant};

const LONG: Duration = Duration::from_secs(600);

/// What a call may take over the stated bound, on a machine that does other things too.
const SLACK: Duration = Duration::from_millis(400);

#[expect(clippy::disallowed_methods, reason = "it measures what really passes")]
fn now() -> Instant {
    Instant::now()
}

/// Makes each kind of call; tells the longest time that one took. All must fail.
async fn all_fail(locks: &RedisLocks) -> Duration {
    let mut longest = Duration::ZERO;
    for n in 0..5 {
        let start = now();
        match n {
            0 => drop(locks.lease("p", "a", LONG).await.unwrap_err()),
            1 => drop(locks.release("p", "a").await.unwrap_err()),
            2 => drop(locks.leases("").await.unwrap_err()),
            3 => drop(locks.take("b", 1.0, 1).await.unwrap_err()),
            _ => assert!(locks.subscribe("c").await.is_err()),
        }
        longest = longest.max(start.elapsed());
    }
    longest
}

async fn works_again(locks: &RedisLocks) {
    eventually("it connects again", || async { locks.ready().is_ok() }).await;
    assert_eq!(locks.lease("after", "a", LONG).await.unwrap(), Lease::Held);
}

/// The channel is subscribed again on the new connection.
async fn heard_again(locks: &RedisLocks, live: &mut Box<dyn Live>) {
    in_time("a message", async {
        loop {
            locks.publish("c", "after".into()).await.unwrap();
            if let Ok(message) = tokio::time::timeout(Duration::from_millis(20), live.next()).await {
                return assert_eq!(message.unwrap(), "after");
            }
        }
    })
    .await;
}

#[tokio::test]
async fn a_flush_in_the_middle_of_a_lease_frees_it_and_hurts_nobody() {
    let server = Server::start(free_port().await).await;
    let locks = connect(options(&server.url)).await;
    let mut live = locks.subscribe("c").await.unwrap();
    assert_eq!(locks.lease("p", "a", LONG).await.unwrap(), Lease::Held);
    assert_eq!(locks.take("b", 0.001, 1).await.unwrap(), Permit::Granted);
    redis::cmd("FLUSHALL").query_async::<()>(&mut raw(&server.url).await).await.unwrap();
    assert_eq!(locks.leases("").await.unwrap(), []);
    locks.release("p", "a").await.unwrap();
    assert_eq!(locks.take("b", 0.001, 1).await.unwrap(), Permit::Granted);
    assert_eq!(locks.lease("p", "b", LONG).await.unwrap(), Lease::Held);
    locks.publish("c", "x".into()).await.unwrap();
    assert_eq!(next(&mut live).await, "x");
}

#[tokio::test]
async fn forgotten_scripts_are_told_again() {
    let server = Server::start(free_port().await).await;
    let locks = connect(options(&server.url)).await;
    let mut beside = raw(&server.url).await;
    for round in 0..3 {
        redis::cmd("SCRIPT").arg("FLUSH").query_async::<()>(&mut beside).await.unwrap();
        assert_eq!(locks.lease("p", "a", LONG).await.unwrap(), Lease::Held, "round {round}");
        assert_eq!(locks.take("b", 0.001, 10).await.unwrap(), Permit::Granted);
        assert_eq!(locks.leases("").await.unwrap().len(), 1);
        locks.release("p", "a").await.unwrap();
    }
}

#[tokio::test]
async fn a_killed_server_fails_calls_at_once_and_subscriptions_survive_its_restart() {
    let port = free_port().await;
    let server = Server::start(port).await;
    let locks = connect(options(&server.url)).await;
    let mut live = locks.subscribe("c").await.unwrap();
    locks.publish("c", "before".into()).await.unwrap();
    assert_eq!(next(&mut live).await, "before");
    server.kill();
    eventually("it is noticed", || async { locks.ready().is_err() }).await;
    eventually("on both connections", || async {
        locks.subscribe("d").await.is_err() && locks.lease("p", "a", LONG).await.is_err()
    })
    .await;
    let longest = all_fail(&locks).await;
    assert!(longest < Duration::from_millis(100), "{longest:?}");
    let error = locks.publish("c", "x".into()).await.unwrap_err();
    assert_eq!(error.kind, Kind::Unavailable);
    assert!(error.source.is_some(), "it says why");

    let _server = Server::start(port).await;
    works_again(&locks).await;
    heard_again(&locks, &mut live).await;
}

#[tokio::test]
async fn a_black_hole_costs_one_bound_and_then_nothing() {
    let proxy = Proxy::before(&url()).await;
    let locks = connect(prompt(&proxy.url)).await;
    let bound = prompt("redis:").response_timeout;
    let mut live = locks.subscribe("c").await.unwrap();
    proxy.swallow();

    let start = now();
    let error = locks.lease("p", "a", LONG).await.unwrap_err();
    assert_eq!(error.kind, Kind::Unknown, "it may have been taken");
    assert!(start.elapsed() < bound + SLACK, "{:?}", start.elapsed());
    let error = locks.lease("p", "a", LONG).await.unwrap_err();
    assert_eq!(error.kind, Kind::Unavailable, "not even tried");
    // The subscriptions' connection may cost its one time-out, too.
    assert!(all_fail(&locks).await < bound + SLACK);
    let longest = all_fail(&locks).await;
    assert!(longest < Duration::from_millis(100), "{longest:?}");

    proxy.forward();
    works_again(&locks).await;
    heard_again(&locks, &mut live).await;
}

#[tokio::test]
async fn a_black_hole_is_noticed_though_nobody_calls() {
    let proxy = Proxy::before(&url()).await;
    let locks = connect(prompt(&proxy.url)).await;
    proxy.swallow();
    eventually("the heartbeat fails", || async { locks.ready().is_err() }).await;
}

#[tokio::test]
async fn a_thousand_calls_into_a_black_hole_end_within_the_bound() {
    let proxy = Proxy::before(&url()).await;
    let locks = connect(prompt(&proxy.url)).await;
    proxy.swallow();
    let start = now();
    let calls = (0..1_000).map(|n| {
        let (locks, name) = (locks.clone(), format!("p{n}"));
        async move { locks.lease(&name, "a", LONG).await.unwrap_err().kind }
    });
    let publishing = async {
        for _ in 0..20_000 {
            // Taken, refused, or not connected: never waited for.
            let _ = locks.publish("c", vec![0; 1024].into()).await;
        }
    };
    in_time("all calls", futures::future::join(futures::future::join_all(calls), publishing)).await;
    let bound = prompt("redis:").response_timeout + Duration::from_secs(2);
    assert!(start.elapsed() < bound, "{:?}", start.elapsed());
}

#[tokio::test]
async fn without_redis_it_starts_and_says_so() {
    let port = free_port().await;
    let locks = RedisLocks::connect(options(&format!("redis://127.0.0.1:{port}"))).await.unwrap();
    let error = locks.ready().unwrap_err();
    assert_eq!((error.operation, error.kind), ("ready", Kind::Unavailable));
    all_fail(&locks).await;
    let _server = Server::start(port).await;
    works_again(&locks).await;
}

#[tokio::test]
async fn a_wrong_password_is_said() {
    let server = Server::start(free_port().await).await;
    let set = ["CONFIG", "SET", "requirepass", "right"];
    redis::cmd(set[0]).arg(&set[1..]).query_async::<()>(&mut raw(&server.url).await).await.unwrap();
    let url = server.url.replace("//", "//:wrong@");
    let locks = RedisLocks::connect(options(&url)).await.unwrap();
    let error = locks.ready().unwrap_err();
    let cause = std::error::Error::source(&error).and_then(std::error::Error::source).unwrap().to_string();
    assert!(cause.to_lowercase().contains("auth") || cause.contains("WRONGPASS"), "{cause}");
    connect(options(&server.url.replace("//", "//:right@"))).await;
}

#[tokio::test]
async fn rate_limits_go_on_by_share() {
    let port = free_port().await;
    let server = Server::start(port).await;
    let options = options(&server.url);
    let locks = LocalShare::new(connect(options).await, || 4);
    let mut granted = 0;
    for _ in 0..20 {
        granted += u32::from(locks.take("b", 0.001, 8).await.unwrap() == Permit::Granted);
    }
    assert_eq!(granted, 8);
    server.kill();
    for _ in 0..20 {
        granted += u32::from(locks.take("b", 0.001, 8).await.unwrap() == Permit::Granted);
    }
    assert_eq!(granted, 8 + 2);
}

#[tokio::test]
async fn dropping_the_last_clone_ends_subscriptions_and_connections() {
    let locks = locks().await;
    let mut live = locks.subscribe("c").await.unwrap();
    drop(locks);
    assert_eq!(in_time("the end", live.next()).await, None);
}
