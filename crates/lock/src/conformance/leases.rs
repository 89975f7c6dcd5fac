//! Leases.

use super::{LONG, SHORT, hostile_names, in_time};
use crate::port::{Lease, Locks};
use std::time::Duration;
use tokio::time::Instant;

async fn lease(locks: &dyn Locks, name: &str, holder: &str, ttl: Duration) -> Lease {
    locks.lease(name, holder, ttl).await.expect("lease")
}

fn taken_by(holder: &str) -> Lease {
    Lease::Taken { by: holder.to_owned() }
}

/// Asks until it is granted; tells how long that took.
async fn until_held(locks: &dyn Locks, name: &str, holder: &str) -> Duration {
    let start = Instant::now();
    in_time(async {
        while lease(locks, name, holder, LONG).await != Lease::Held {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        start.elapsed()
    })
    .await
}

/// First come, first served, and the others learn who it is.
pub async fn a_free_lease_is_held_and_then_taken(locks: &dyn Locks) {
    assert_eq!(lease(locks, "p", "a", LONG).await, Lease::Held);
    assert_eq!(lease(locks, "p", "b", LONG).await, taken_by("a"));
    assert_eq!(lease(locks, "q", "b", LONG).await, Lease::Held);
}

/// Asking again for what one holds is renewing it.
pub async fn a_holder_renews(locks: &dyn Locks) {
    for _ in 0..3 {
        assert_eq!(lease(locks, "p", "a", LONG).await, Lease::Held);
    }
}

/// A holder that is gone is replaced when its time is over, and not much before.
pub async fn a_lease_ends_by_itself(locks: &dyn Locks) {
    let asked = Instant::now();
    assert_eq!(lease(locks, "p", "gone", SHORT).await, Lease::Held);
    let waited = until_held(locks, "p", "next").await;
    assert!(asked.elapsed() >= SHORT * 9 / 10, "held after {waited:?} of {SHORT:?}");
    assert_eq!(lease(locks, "p", "gone", SHORT).await, taken_by("next"));
}

/// The last time asked for counts, not the first.
pub async fn renewing_prolongs(locks: &dyn Locks) {
    lease(locks, "p", "a", SHORT).await;
    lease(locks, "p", "a", LONG).await;
    // Another lease of the same time tells that the first one's is over.
    lease(locks, "witness", "a", SHORT).await;
    until_held(locks, "witness", "b").await;
    assert_eq!(lease(locks, "p", "b", LONG).await, taken_by("a"));
}

/// Releasing what one does not hold changes nothing and is no error.
pub async fn only_the_holder_releases(locks: &dyn Locks) {
    lease(locks, "p", "a", LONG).await;
    locks.release("p", "b").await.expect("release");
    locks.release("unknown", "b").await.expect("release");
    assert_eq!(lease(locks, "p", "b", LONG).await, taken_by("a"));
    locks.release("p", "a").await.expect("release");
    assert_eq!(lease(locks, "p", "b", LONG).await, Lease::Held);
}

/// The list has the leases of a prefix that are held now, with their holders, and no others.
pub async fn leases_are_listed_by_prefix(locks: &dyn Locks) {
    for (name, holder) in [("owner/1", "a"), ("owner/2", "b"), ("owner", "c"), ("other/1", "d")] {
        lease(locks, name, holder, LONG).await;
    }
    lease(locks, "owner/3", "e", LONG).await;
    locks.release("owner/3", "e").await.expect("release");
    let mut found = locks.leases("owner/").await.expect("leases");
    found.sort();
    let expected = [("owner/1", "a"), ("owner/2", "b")];
    assert_eq!(found, expected.map(|(name, holder)| (name.to_owned(), holder.to_owned())));
    assert_eq!(locks.leases("none").await.expect("leases"), []);
}

/// Names, holders and prefixes are text, not patterns.
pub async fn names_are_taken_literally(locks: &dyn Locks) {
    for name in hostile_names() {
        let name = format!("x{name}");
        assert_eq!(lease(locks, &name, &name, LONG).await, Lease::Held, "{name:?}");
        assert_eq!(lease(locks, &name, "other", LONG).await, taken_by(&name), "{name:?}");
    }
    let starred = locks.leases("xa*").await.expect("leases");
    assert_eq!(starred, [("xa*".to_owned(), "xa*".to_owned())]);
    let bracketed = locks.leases("x[ab").await.expect("leases");
    assert_eq!(bracketed, [("x[ab]".to_owned(), "x[ab]".to_owned())]);
}
