//! The limiter that Redis computes is the one of `aidt_lock::gcra`.

use crate::fixture::{locks, prefix, raw, url};
use aidt_lock::gcra::{Rate, take};
use aidt_lock::{Locks, Permit};
use std::time::Duration;

/// Gives the arrival time and the wait, or nothing, as `take` did.
const CALLER: &str = "
local arrival, wait = take(tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4]))
return { string.format('%.17g', arrival), wait and string.format('%.17g', wait) or false }
";

/// SplitMix64: a failure is the same each time.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Evenly in [0, 1).
    fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }
}

#[tokio::test]
async fn lua_and_rust_agree() {
    let script = redis::Script::new(&format!("{}{CALLER}", include_str!("../../src/scripts/gcra.lua")));
    let mut connection = raw(&url()).await;
    let mut random = Random(4);
    let mut seen = [0, 0];
    for _ in 0..2_000 {
        // From one token in 10^8 s to 10^9 a second, at a time of today, before and after the arrival.
        let per_second = 10_f64.powf(random.unit() * 17.0 - 8.0);
        let burst = 1 + (random.next() % [1, 10, 1_000, u64::from(u32::MAX)][random.next() as usize % 4]) as u32;
        let rate = Rate::new(per_second, burst).unwrap();
        let now = 1.7e15 + (random.unit() * 1e14).floor();
        let arrival = now + (random.unit() - 0.3) * 2.0 * (rate.tolerance() + rate.interval());
        let exact = |x: f64| format!("{x:e}");
        let (stored, wait): (f64, Option<f64>) = script
            .arg(&[exact(arrival), exact(now), exact(rate.interval()), exact(rate.tolerance())][..])
            .invoke_async(&mut connection)
            .await
            .unwrap();
        let permit = wait.map_or(Permit::Granted, |wait| {
            Permit::RetryAfter(Duration::try_from_secs_f64(wait / 1e6).unwrap_or(Duration::MAX))
        });
        let expected = take(arrival, now, rate);
        assert_eq!((stored.to_bits(), permit), (expected.0.to_bits(), expected.1), "{rate:?} {arrival} {now}");
        seen[usize::from(permit == Permit::Granted)] += 1;
    }
    assert!(seen.iter().all(|n| *n > 200), "both verdicts: {seen:?}");
}

#[tokio::test]
async fn extreme_rates_are_stored_and_answered() {
    let locks = locks().await;
    for (n, (per_second, burst)) in
        [(1e-300, 1), (1e-300, u32::MAX), (1e300, 1), (1e300, u32::MAX), (1e-8, 2)].into_iter().enumerate()
    {
        let bucket = format!("b{n}");
        assert_eq!(locks.take(&bucket, per_second, burst).await.unwrap(), Permit::Granted, "{per_second}");
        locks.take(&bucket, per_second, burst).await.unwrap();
    }
}

#[tokio::test]
async fn a_clock_that_was_set_back_does_not_refuse_for_as_long() {
    let prefix = prefix();
    let options = crate::fixture::patient(&url(), prefix.clone());
    let locks = crate::fixture::connect(options).await;
    let far = "9e15";
    redis::cmd("SET")
        .arg(format!("{prefix}:bucket:b"))
        .arg(far)
        .query_async::<()>(&mut raw(&url()).await)
        .await
        .unwrap();
    let Permit::RetryAfter(wait) = locks.take("b", 10.0, 1).await.unwrap() else { panic!("a full bucket") };
    assert!(wait <= Duration::from_millis(101), "{wait:?}");
}

#[tokio::test]
async fn idle_buckets_and_leases_leave_nothing() {
    let prefix = prefix();
    let options = crate::fixture::patient(&url(), prefix.clone());
    let locks = crate::fixture::connect(options).await;
    locks.take("b", 1_000.0, 5).await.unwrap();
    locks.lease("p", "a", Duration::from_millis(50)).await.unwrap();
    locks.lease("q", "a", Duration::from_millis(1)).await.unwrap();
    let mut connection = raw(&url()).await;
    let expiring: i64 =
        redis::cmd("PTTL").arg(format!("{prefix}:bucket:b")).query_async(&mut connection).await.unwrap();
    assert!((1..=1_010).contains(&expiring), "{expiring} ms");
    let pattern = format!("{prefix}:*");
    crate::fixture::eventually("all keys expire", || {
        let (mut connection, pattern) = (connection.clone(), pattern.clone());
        async move {
            let keys: Vec<String> = redis::cmd("KEYS").arg(pattern).query_async(&mut connection).await.unwrap();
            keys.is_empty()
        }
    })
    .await;
}
