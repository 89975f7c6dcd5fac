//! How long to wait before the next attempt.

use aidt_domain::{Attempt, Digest, Generation, Retry, RunId, StepPath};
use std::time::Duration;

/// The wait after a failed attempt: `initial × factor^(attempt − 1)`, at most `max`; with full jitter a
/// share of it drawn from a hash of run, step, generation and attempt, so a run is reproducible and
/// runs that failed together do not come back together ("Exponential Backoff And Jitter", AWS 2015).
#[must_use]
pub fn delay(retry: &Retry, run: RunId, path: &StepPath, generation: Generation, attempt: Attempt) -> Duration {
    let exponent = i32::try_from(attempt.0.saturating_sub(1)).unwrap_or(i32::MAX);
    // Documents are checked, stored ones may be older: no NaN, no negative, no endless wait.
    let factor = if retry.factor.is_finite() { retry.factor.max(1.0) } else { 1.0 };
    let wait = (retry.initial_ms as f64 * factor.powi(exponent)).min(retry.max_ms as f64);
    let share = if retry.jitter { fraction(run, path, generation, attempt) } else { 1.0 };
    Duration::from_millis((wait * share) as u64)
}

/// Uniform in 0..1, the same for the same four.
fn fraction(run: RunId, path: &StepPath, generation: Generation, attempt: Attempt) -> f64 {
    let hash = Digest::of(format!("backoff\n{run}\n{path}\n{generation}\n{attempt}").as_bytes());
    let bits = u64::from_be_bytes(hash.0[..8].try_into().expect("8 of 32 bytes"));
    (bits >> 11) as f64 / (1_u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn path() -> StepPath {
        StepPath::new("a").unwrap()
    }

    #[test]
    fn doubles_up_to_the_maximum() {
        let retry = Retry { initial_ms: 100, factor: 2.0, max_ms: 500, jitter: false, ..Retry::default() };
        let run = RunId(uuid::Uuid::nil());
        let waits: Vec<_> =
            (1..=5).map(|a| delay(&retry, run, &path(), Generation(1), Attempt(a)).as_millis()).collect();
        assert_eq!(waits, [100, 200, 400, 500, 500]);
    }

    proptest! {
        #[test]
        fn never_exceeds_the_maximum_and_repeats_itself(
            initial in 0_u64..1_000_000, factor in prop::num::f64::ANY, max in 0_u64..10_000_000,
            attempt in any::<u32>(), jitter: bool, id: u128,
        ) {
            let retry = Retry { max_attempts: 9, initial_ms: initial, factor, max_ms: max, jitter, not_on: vec![] };
            let run = RunId(uuid::Uuid::from_u128(id));
            let wait = delay(&retry, run, &path(), Generation(1), Attempt(attempt));
            prop_assert!(wait.as_millis() <= u128::from(max));
            prop_assert_eq!(wait, delay(&retry, run, &path(), Generation(1), Attempt(attempt)));
        }
    }
}
