//! The generic cell rate algorithm (ITU-T I.371, annex A.1), as virtual scheduling.
//!
//! A bucket is one number: the *theoretical arrival time* of the next token if tokens were taken
//! evenly. Times are microseconds in doubles, on any origin that stays the same for a bucket: Lua has
//! no other numbers, and an adapter that computes this in Lua must come to the same verdicts. At
//! today's Unix time a double still tells quarters of a microsecond apart.

use crate::port::Permit;
use std::time::Duration;

/// A rate that makes sense: finite and above zero, with room for at least one token.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rate {
    interval: f64,
    tolerance: f64,
}

impl Rate {
    /// `None` unless `per_second` is finite and positive, a token's interval too, and `burst` at least 1.
    #[must_use]
    pub fn new(per_second: f64, burst: u32) -> Option<Self> {
        let interval = 1e6 / per_second;
        let sensible = per_second > 0.0 && interval > 0.0 && interval.is_finite() && burst > 0;
        sensible.then(|| Self { interval, tolerance: interval * f64::from(burst - 1) })
    }

    /// Between two tokens, in microseconds.
    #[must_use]
    pub fn interval(self) -> f64 {
        self.interval
    }

    /// How much too early a token may be taken, in microseconds: what the burst allows.
    #[must_use]
    pub fn tolerance(self) -> f64 {
        self.tolerance
    }
}

/// Takes a token from a bucket at `now`. `arrival` is what the last grant returned, or anything not
/// after `now` for a bucket that is full. Returns the arrival time to store, and the verdict; a refusal
/// changes nothing, so there is nothing to store.
#[must_use]
pub fn take(arrival: f64, now: f64, rate: Rate) -> (f64, Permit) {
    let due = arrival.max(now);
    let wait = due - rate.tolerance - now;
    if wait <= 0.0 {
        return (due + rate.interval, Permit::Granted);
    }
    // Rounded up, so that who waits that long is not refused for a fraction.
    (arrival, Permit::RetryAfter(microseconds(wait.ceil())))
}

fn microseconds(count: f64) -> Duration {
    Duration::try_from_secs_f64(count / 1e6).unwrap_or(Duration::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn rates() -> impl Strategy<Value = (f64, u32)> {
        (0.01..10_000.0, 1_u32..50)
    }

    #[test]
    fn nonsense_is_no_rate() {
        for per_second in [0.0, -1.0, f64::NAN, f64::INFINITY, 1e-310] {
            assert_eq!(Rate::new(per_second, 1), None, "{per_second}");
        }
        assert_eq!(Rate::new(1.0, 0), None);
        assert!(Rate::new(1e9, u32::MAX).is_some());
    }

    #[test]
    fn a_full_bucket_grants_its_burst_and_then_one_per_interval() {
        let rate = Rate::new(10.0, 3).unwrap();
        let mut arrival = 0.0;
        for _ in 0..3 {
            let (next, permit) = take(arrival, 1e6, rate);
            assert_eq!(permit, Permit::Granted);
            arrival = next;
        }
        let tenth = Duration::from_millis(100);
        assert_eq!(take(arrival, 1e6, rate), (arrival, Permit::RetryAfter(tenth)));
        assert_eq!(take(arrival, 1.1e6, rate).1, Permit::Granted);
    }

    proptest! {
        /// However the asking is spread, no span of time sees more than burst + rate * span.
        #[test]
        fn never_more_than_the_rate(
            (per_second, burst) in rates(),
            gaps in prop::collection::vec(0_u32..2_000_000, 1..200),
        ) {
            let rate = Rate::new(per_second, burst).unwrap();
            let (mut arrival, mut now) = (0.0, 1.7e15);
            let mut granted: Vec<f64> = Vec::new();
            for gap in gaps {
                now += f64::from(gap);
                let (next, permit) = take(arrival, now, rate);
                arrival = next;
                if permit == Permit::Granted {
                    granted.push(now);
                }
            }
            for (i, from) in granted.iter().enumerate() {
                for (j, to) in granted.iter().enumerate().skip(i) {
                    let allowed = f64::from(burst) + per_second * (to - from + 1.0) / 1e6 + 1e-3;
                    prop_assert!((j - i + 1) as f64 <= allowed, "{} in {} us", j - i + 1, to - from);
                }
            }
        }

        /// A refusal says when: not granted just before, granted then.
        #[test]
        fn who_waits_as_told_is_granted((per_second, burst) in rates(), start in 0.0..1.7e15) {
            let rate = Rate::new(per_second, burst).unwrap();
            let mut arrival = 0.0;
            let wait = loop {
                match take(arrival, start, rate) {
                    (next, Permit::Granted) => arrival = next,
                    (_, Permit::RetryAfter(wait)) => break wait,
                }
            };
            let wait = wait.as_secs_f64() * 1e6;
            prop_assert_eq!(take(arrival, start + wait.round(), rate).1, Permit::Granted);
            if wait > 3.0 {
                prop_assert_ne!(take(arrival, start + wait.round() - 2.0, rate).1, Permit::Granted);
            }
        }

        /// Nobody who asks no faster than the rate is refused.
        #[test]
        fn an_even_asker_is_never_refused((per_second, burst) in rates(), start in 0.0..1e9) {
            let rate = Rate::new(per_second, burst).unwrap();
            let gap = (1e6 / per_second).ceil() + 1.0;
            let mut arrival = 0.0;
            for n in 0..100 {
                let (next, permit) = take(arrival, start + f64::from(n) * gap, rate);
                prop_assert_eq!(permit, Permit::Granted);
                arrival = next;
            }
        }
    }
}
