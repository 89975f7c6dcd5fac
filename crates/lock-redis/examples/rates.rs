//! How much goes through: calls of the adapter against plain commands, on the same server in the same run.
//!
//! `cargo run --release -p aidt-lock-redis --example rates -- redis://127.0.0.1:6379`

use aidt_lock::Locks;
use aidt_lock_redis::{Options, RedisLocks};
use std::error::Error;
use std::future::Future;
use std::time::{Duration, Instant};

const SPAN: Duration = Duration::from_secs(2);
const TTL: Duration = Duration::from_secs(4);

#[expect(clippy::disallowed_methods, reason = "it measures what really passes")]
fn now() -> Instant {
    Instant::now()
}

/// Calls `at_once` times concurrently, again and again.
async fn rate<F: Future<Output = ()>>(what: &str, at_once: usize, call: impl Fn(usize) -> F) {
    let (start, mut calls) = (now(), 0);
    while start.elapsed() < SPAN {
        futures::future::join_all((0..at_once).map(&call)).await;
        calls += at_once;
    }
    let seconds = start.elapsed().as_secs_f64();
    let each = seconds * 1e6 / (calls / at_once) as f64;
    println!("{what:<28} {at_once:>4} at once {:>10.0}/s {each:>8.0} us a round", calls as f64 / seconds);
}

/// All messages of a turn are handed over at once, and then seen to arrive.
async fn publishing(locks: &RedisLocks, a_turn: usize) -> Result<(), Box<dyn Error>> {
    let mut live = locks.subscribe("last").await?;
    let (start, mut turns, mut handing_over) = (now(), 0, Duration::ZERO);
    while start.elapsed() < SPAN {
        let turn = now();
        for n in 0..a_turn {
            locks.publish(&format!("run:{n}"), "17 running".into()).await?;
        }
        locks.publish("last", "x".into()).await?;
        handing_over += turn.elapsed();
        live.next().await;
        turns += 1;
    }
    let seconds = start.elapsed().as_secs_f64();
    let (published, turns) = ((turns * (a_turn + 1)) as f64, f64::from(u32::try_from(turns)?));
    println!(
        "{:<28} {a_turn:>4} a turn  {:>10.0}/s {:>8.0} us a turn until received, {:.0} us of it the caller's",
        "publish",
        published / seconds,
        seconds * 1e6 / turns,
        handing_over.as_secs_f64() * 1e6 / turns,
    );
    Ok(())
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> Result<(), Box<dyn Error>> {
    let url = std::env::args().nth(1).ok_or("usage: rates URL")?;
    let connection = redis::Client::open(url.as_str())?.get_multiplexed_async_connection().await?;
    let locks = RedisLocks::connect(Options::new(url, "rates")).await?;
    locks.ready()?;
    for at_once in [1, 64] {
        rate("PING", at_once, |_| {
            let mut connection = connection.clone();
            async move { redis::cmd("PING").exec_async(&mut connection).await.expect("PING") }
        })
        .await;
        rate("lease", at_once, |n| {
            let (locks, name) = (locks.clone(), format!("p{n}"));
            async move { drop(locks.lease(&name, "a", TTL).await.expect("lease")) }
        })
        .await;
        rate("take", at_once, |n| {
            let (locks, name) = (locks.clone(), format!("b{n}"));
            async move {
                locks.take(&name, 1e9, 1_000).await.expect("take");
            }
        })
        .await;
    }
    rate("subscribe and leave", 64, |n| {
        let (locks, name) = (locks.clone(), format!("c{n}"));
        async move { drop(locks.subscribe(&name).await.expect("subscribe")) }
    })
    .await;
    for a_turn in [1, 16, 256] {
        publishing(&locks, a_turn).await?;
    }
    Ok(())
}
