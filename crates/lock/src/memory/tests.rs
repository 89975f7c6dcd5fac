//! What this adapter promises beyond the port: exact times, and that nothing unused stays.

use super::*;
use crate::LIVE_BUFFER;
use futures::FutureExt as _;

const TTL: Duration = Duration::from_secs(4);

fn text(s: &'static str) -> Bytes {
    Bytes::from_static(s.as_bytes())
}

#[tokio::test(start_paused = true)]
async fn a_lease_ends_exactly_at_its_time_to_live() {
    let locks = MemoryLocks::new();
    assert_eq!(locks.lease("p", "a", TTL).await.unwrap(), Lease::Held);
    tokio::time::advance(TTL - Duration::from_millis(1)).await;
    assert_eq!(locks.lease("p", "b", TTL).await.unwrap(), Lease::Taken { by: "a".into() });
    assert_eq!(locks.leases("").await.unwrap(), [("p".to_owned(), "a".to_owned())]);
    tokio::time::advance(Duration::from_millis(1)).await;
    assert_eq!(locks.leases("").await.unwrap(), []);
    assert_eq!(locks.lease("p", "b", TTL).await.unwrap(), Lease::Held);
    assert_eq!(locks.lease("p", "a", TTL).await.unwrap(), Lease::Taken { by: "b".into() });
}

#[tokio::test(start_paused = true)]
async fn renewing_starts_the_time_anew() {
    let locks = MemoryLocks::new();
    for _ in 0..3 {
        assert_eq!(locks.lease("p", "a", TTL).await.unwrap(), Lease::Held);
        tokio::time::advance(TTL * 3 / 4).await;
    }
    assert_eq!(locks.lease("p", "b", TTL).await.unwrap(), Lease::Taken { by: "a".into() });
    assert_eq!(locks.lease("q", "a", Duration::MAX).await.unwrap(), Lease::Held);
    assert_eq!(locks.lease("q", "b", TTL).await.unwrap(), Lease::Taken { by: "a".into() });
}

#[tokio::test(start_paused = true)]
async fn what_ran_out_is_swept() {
    let locks = MemoryLocks::new();
    for n in 0..10_000 {
        locks.lease(&format!("p{n}"), "a", TTL).await.unwrap();
        locks.take(&format!("b{n}"), 10.0, 1).await.unwrap();
        tokio::time::advance(Duration::from_millis(100)).await;
    }
    assert!(locked(&locks.shared.leases).len() <= 128);
    assert!(locked(&locks.shared.buckets).len() <= 128);
}

#[tokio::test(start_paused = true)]
async fn a_flush_forgets_leases_and_buckets_and_keeps_subscriptions() {
    let locks = MemoryLocks::new();
    let mut live = locks.subscribe("c").await.unwrap();
    locks.lease("p", "a", TTL).await.unwrap();
    locks.take("b", 1.0, 1).await.unwrap();
    assert_ne!(locks.take("b", 1.0, 1).await.unwrap(), Permit::Granted);
    locks.flush();
    assert_eq!(locks.lease("p", "b", TTL).await.unwrap(), Lease::Held);
    assert_eq!(locks.take("b", 1.0, 1).await.unwrap(), Permit::Granted);
    locks.publish("c", text("x")).await.unwrap();
    assert_eq!(live.next().await, Some(text("x")));
}

#[tokio::test]
async fn a_channel_lives_as_long_as_somebody_listens() {
    let locks = MemoryLocks::new();
    locks.publish("c", text("to nobody")).await.unwrap();
    assert_eq!(locks.shared.fanout.len(), 0);
    let one = locks.subscribe("c").await.unwrap();
    let two = locks.subscribe("c").await.unwrap();
    drop(one);
    assert_eq!(locks.shared.fanout.len(), 1);
    drop(two);
    assert_eq!(locks.shared.fanout.len(), 0);
}

#[tokio::test]
async fn who_lags_loses_the_oldest_only() {
    let locks = MemoryLocks::new();
    let mut slow = locks.subscribe("c").await.unwrap();
    let sent = LIVE_BUFFER + 10;
    for n in 0..sent {
        locks.publish("c", Bytes::from(n.to_string())).await.unwrap();
    }
    let mut got = Vec::new();
    while got.len() < LIVE_BUFFER {
        got.push(slow.next().await.unwrap());
    }
    assert!(slow.next().now_or_never().is_none());
    let expected: Vec<_> = (10..sent).map(|n| Bytes::from(n.to_string())).collect();
    assert_eq!(got, expected);
}

#[tokio::test]
async fn disconnecting_ends_subscriptions_and_spares_new_ones() {
    let locks = MemoryLocks::new();
    let mut old = locks.subscribe("c").await.unwrap();
    locks.publish("c", text("last")).await.unwrap();
    locks.disconnect();
    let mut new = locks.subscribe("c").await.unwrap();
    assert_eq!(old.next().await, Some(text("last")));
    assert_eq!(old.next().await, None);
    drop(old);
    locks.publish("c", text("first")).await.unwrap();
    assert_eq!(new.next().await, Some(text("first")));
}
