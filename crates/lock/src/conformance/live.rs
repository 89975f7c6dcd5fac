//! Live fan-out.

use super::{PATIENCE, QUIET, hostile_names, in_time};
use crate::port::{Live, Locks};
use bytes::Bytes;
use std::time::Duration;
use tokio::time::{Instant, timeout};

async fn publish(locks: &dyn Locks, channel: &str, message: impl Into<Bytes>) {
    locks.publish(channel, message.into()).await.expect("publish");
}

async fn subscribe(locks: &dyn Locks, channel: &str) -> Box<dyn Live> {
    locks.subscribe(channel).await.expect("subscribe")
}

async fn next(live: &mut Box<dyn Live>) -> Bytes {
    in_time(live.next()).await.expect("the fan-out goes on")
}

async fn nothing(live: &mut Box<dyn Live>) {
    assert!(timeout(QUIET, live.next()).await.is_err(), "nothing more was to arrive");
}

/// A message goes to all who are subscribed.
pub async fn what_is_published_reaches_every_subscriber(locks: &dyn Locks) {
    let (mut one, mut two) = (subscribe(locks, "c").await, subscribe(locks, "c").await);
    publish(locks, "c", "x").await;
    assert_eq!(next(&mut one).await, "x");
    assert_eq!(next(&mut two).await, "x");
}

/// Any bytes, one after the other.
pub async fn messages_arrive_byte_for_byte_and_in_order(locks: &dyn Locks) {
    let bodies = [
        Bytes::new(),
        Bytes::from_static(b"\0"),
        Bytes::from_static(b"\xff\xfe\r\n\0\r\n"),
        Bytes::from(vec![7; 64 * 1024]),
        Bytes::from_static(b"last"),
    ];
    let mut live = subscribe(locks, "c").await;
    for body in bodies.clone() {
        publish(locks, "c", body).await;
    }
    for body in bodies {
        assert_eq!(next(&mut live).await, body);
    }
}

/// Names of channels are text, not patterns.
pub async fn channels_are_apart(locks: &dyn Locks) {
    let mut channels = Vec::new();
    for name in hostile_names() {
        let name = format!("run:{name}");
        channels.push((subscribe(locks, &name).await, name));
    }
    for (_, name) in &channels {
        publish(locks, name, name.clone()).await;
    }
    for (live, name) in &mut channels {
        assert_eq!(next(live).await, *name);
    }
    nothing(&mut channels[1].0).await;
}

/// Nobody listens: no error, and nothing is kept.
pub async fn publishing_to_nobody_is_harmless(locks: &dyn Locks) {
    for _ in 0..1_000 {
        publish(locks, "c", "x").await;
    }
    nothing(&mut subscribe(locks, "c").await).await;
}

/// A subscription starts when it is made, also on a channel in use.
pub async fn earlier_messages_are_gone(locks: &dyn Locks) {
    let mut early = subscribe(locks, "c").await;
    publish(locks, "c", "before").await;
    assert_eq!(next(&mut early).await, "before");
    let mut late = subscribe(locks, "c").await;
    publish(locks, "c", "after").await;
    assert_eq!(next(&mut late).await, "after");
}

/// Leaving, even as the first or the last, takes nothing from those who stay or come.
pub async fn a_subscriber_that_left_disturbs_nobody(locks: &dyn Locks) {
    let first = subscribe(locks, "c").await;
    let mut stays = subscribe(locks, "c").await;
    drop(first);
    publish(locks, "c", "1").await;
    assert_eq!(next(&mut stays).await, "1");
    drop(stays);
    publish(locks, "c", "2").await;
    let mut comes = subscribe(locks, "c").await;
    publish(locks, "c", "3").await;
    assert_eq!(next(&mut comes).await, "3");
}

/// A subscriber that does not listen blocks neither publisher nor others. It may lose messages, and
/// gets new ones when it listens again.
pub async fn one_that_lags_holds_nobody_up(locks: &dyn Locks) {
    let mut lags = subscribe(locks, "c").await;
    let mut listens = subscribe(locks, "c").await;
    for n in 0..5_000 {
        in_time(publish(locks, "c", n.to_string())).await;
        assert_eq!(next(&mut listens).await, n.to_string());
    }
    let start = Instant::now();
    loop {
        assert!(start.elapsed() < PATIENCE, "it never caught up");
        publish(locks, "c", "now").await;
        while let Ok(message) = timeout(Duration::from_millis(50), lags.next()).await {
            if message.expect("the fan-out goes on") == "now" {
                return;
            }
        }
    }
}

/// Giving up on `next`, at whatever moment, loses no message.
pub async fn a_cancelled_next_loses_nothing(locks: &dyn Locks) {
    let mut live = subscribe(locks, "c").await;
    let mut got = Vec::new();
    for n in 0..30 {
        got.extend(timeout(Duration::ZERO, live.next()).await.ok().flatten());
        publish(locks, "c", n.to_string()).await;
        got.extend(timeout(Duration::ZERO, live.next()).await.ok().flatten());
    }
    while got.len() < 30 {
        got.push(next(&mut live).await);
    }
    assert_eq!(got, (0..30).map(|n| n.to_string()).collect::<Vec<_>>());
}
