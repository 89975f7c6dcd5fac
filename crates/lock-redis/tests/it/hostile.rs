//! Names and values that could trip over patterns, lengths or encodings.

use crate::fixture::{in_time, locks, next};
use aidt_lock::{Lease, Locks, Permit};
use std::time::Duration;

const LONG: Duration = Duration::from_secs(600);

fn names() -> Vec<String> {
    let odd = ["", "\0", "a\0b", "*", "?", "[a-z]", "[^", "\\", "a\r\nb", "(", "[", "-", "+", "\u{10ffff}", ":", "::"];
    odd.into_iter().map(str::to_owned).chain(["x".repeat(1024 * 1024)]).collect()
}

fn short(name: &str) -> String {
    name.chars().take(20).collect()
}

#[tokio::test]
async fn leases() {
    let locks = locks().await;
    for name in names() {
        assert_eq!(locks.lease(&name, &name, LONG).await.unwrap(), Lease::Held, "{:?}", short(&name));
        let taken = locks.lease(&name, "other", LONG).await.unwrap();
        assert!(taken == Lease::Taken { by: name.clone() }, "{:?}", short(&name));
    }
    let mut expected: Vec<_> = names().into_iter().map(|name| (name.clone(), name)).collect();
    expected.sort();
    let mut found = locks.leases("").await.unwrap();
    found.sort();
    assert!(found == expected, "{} of {}", found.len(), expected.len());
    for prefix in ["\0", "*", "[", "(", "\\", "a", ":", "\u{10ffff}", "xx"] {
        let expected: Vec<_> = expected.iter().filter(|(name, _)| name.starts_with(prefix)).cloned().collect();
        let mut found = locks.leases(prefix).await.unwrap();
        found.sort();
        assert!(found == expected, "{prefix:?}: {} of {}", found.len(), expected.len());
    }
    for name in names() {
        locks.release(&name, "other").await.unwrap();
        assert!(locks.lease(&name, "other", LONG).await.unwrap() != Lease::Held, "{:?}", short(&name));
        locks.release(&name, &name).await.unwrap();
    }
    assert_eq!(locks.leases("").await.unwrap(), []);
}

#[tokio::test]
async fn thousands_of_leases_are_listed() {
    let locks = locks().await;
    let names: Vec<_> = (0..2_500).map(|n| format!("p{n:05}")).collect();
    for wave in names.chunks(100) {
        let wave = wave.iter().map(|name| locks.lease(name, "a", LONG));
        futures::future::try_join_all(wave).await.unwrap();
    }
    let expected: Vec<_> = names.into_iter().map(|name| (name, "a".to_owned())).collect();
    assert!(locks.leases("p").await.unwrap() == expected, "in order, each once");
    assert_eq!(locks.leases("p000").await.unwrap().len(), 100);
}

#[tokio::test]
async fn times_to_live() {
    let locks = locks().await;
    for (n, ttl) in [Duration::ZERO, Duration::from_nanos(1), Duration::MAX].into_iter().enumerate() {
        assert_eq!(locks.lease(&format!("p{n}"), "a", ttl).await.unwrap(), Lease::Held, "{ttl:?}");
    }
    assert_eq!(locks.lease("p2", "b", LONG).await.unwrap(), Lease::Taken { by: "a".to_owned() });
}

#[tokio::test]
async fn buckets() {
    let locks = locks().await;
    for name in names() {
        assert_eq!(locks.take(&name, 0.001, 1).await.unwrap(), Permit::Granted, "{:?}", short(&name));
        assert_ne!(locks.take(&name, 0.001, 1).await.unwrap(), Permit::Granted, "{:?}", short(&name));
    }
}

#[tokio::test]
async fn channels_and_messages() {
    let locks = locks().await;
    for name in names() {
        let mut live = locks.subscribe(&name).await.unwrap();
        let large: Vec<u8> = (0..=u8::MAX).cycle().take(1024 * 1024).collect();
        for message in [vec![], b"\0\r\n*\xff".to_vec(), large] {
            locks.publish(&name, message.clone().into()).await.unwrap();
            assert!(next(&mut live).await == message, "{:?}", short(&name));
        }
    }
}

#[tokio::test]
async fn more_than_the_outbox_holds_is_refused() {
    let locks = locks().await;
    let too_much = vec![0; aidt_lock_redis::OUTBOX_BYTES + 1];
    locks.publish("c", too_much.into()).await.unwrap_err();
    let mut live = in_time("subscribing", locks.subscribe("c")).await.unwrap();
    locks.publish("c", "small".into()).await.unwrap();
    assert_eq!(next(&mut live).await, "small");
}
