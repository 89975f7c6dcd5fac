//! Token buckets.

use super::{SHORT, hostile_names};
use crate::port::{Kind, Locks, Permit};
use std::time::Duration;

/// So slow that nothing refills during a test.
const SLOW: f64 = 0.001;

async fn take(locks: &dyn Locks, bucket: &str, per_second: f64, burst: u32) -> Permit {
    locks.take(bucket, per_second, burst).await.expect("take")
}

/// A new bucket is full; when it is empty, the wait is at most an interval.
pub async fn a_bucket_grants_its_burst_and_says_when_to_return(locks: &dyn Locks) {
    for _ in 0..5 {
        assert_eq!(take(locks, "b", SLOW, 5).await, Permit::Granted);
    }
    let Permit::RetryAfter(wait) = take(locks, "b", SLOW, 5).await else {
        panic!("a sixth token of five");
    };
    assert!(wait <= Duration::from_secs(1000), "{wait:?}");
    assert!(wait >= Duration::from_secs(900), "{wait:?}");
}

/// A bucket refills, and the wait that it named is enough.
pub async fn who_returns_when_told_is_granted(locks: &dyn Locks) {
    let per_second = 1.0 / SHORT.as_secs_f64();
    let mut granted = 0;
    for _ in 0..6 {
        match take(locks, "b", per_second, 2).await {
            Permit::Granted => granted += 1,
            Permit::RetryAfter(wait) => {
                assert!(wait <= SHORT, "{wait:?}");
                tokio::time::sleep(wait).await;
                assert_eq!(take(locks, "b", per_second, 2).await, Permit::Granted);
            }
        }
    }
    assert!(granted >= 2, "{granted}");
}

/// One bucket's use is not another's; names are text.
pub async fn buckets_are_apart(locks: &dyn Locks) {
    for name in hostile_names() {
        assert_eq!(take(locks, &name, SLOW, 1).await, Permit::Granted, "{name:?}");
        assert_ne!(take(locks, &name, SLOW, 1).await, Permit::Granted, "{name:?}");
    }
}

/// A rate of nothing, a negative one, none at all: refused as such, and the bucket stays usable.
pub async fn a_senseless_rate_is_invalid(locks: &dyn Locks) {
    for (per_second, burst) in [(0.0, 1), (-1.0, 1), (f64::NAN, 1), (f64::INFINITY, 1), (1.0, 0)] {
        let error = locks.take("b", per_second, burst).await.expect_err("a senseless rate");
        assert_eq!(error.kind, Kind::Invalid, "{per_second} per second, burst {burst}");
    }
    assert_eq!(take(locks, "b", SLOW, 1).await, Permit::Granted);
}
