//! What all [`Locks`] must do, as tests that each adapter runs: see [`lock_conformance!`].
//!
//! [`lock_conformance!`]: crate::lock_conformance

mod leases;
mod live;
mod rates;

pub use leases::*;
pub use live::*;
pub use rates::*;

use std::time::Duration;

/// Makes a test of each function of this module. Given are the test attribute (an in-memory adapter can
/// pause the clock, one that talks to a server cannot) and an expression whose future gives a smart
/// pointer to locks that nobody else uses.
///
/// ```
/// # mod tests {
/// # use aidt_lock::{Locks, memory::MemoryLocks};
/// # use std::sync::Arc;
/// async fn fresh() -> Arc<dyn Locks> {
///     Arc::new(MemoryLocks::new())
/// }
/// aidt_lock::lock_conformance!(#[tokio::test(start_paused = true)] fresh());
/// # }
/// ```
#[macro_export]
macro_rules! lock_conformance {
    (#[$test:meta] $fresh:expr) => {
        $crate::lock_conformance! { @each #[$test] $fresh;
            a_free_lease_is_held_and_then_taken
            a_holder_renews
            a_lease_ends_by_itself
            renewing_prolongs
            only_the_holder_releases
            leases_are_listed_by_prefix
            names_are_taken_literally
            a_bucket_grants_its_burst_and_says_when_to_return
            who_returns_when_told_is_granted
            buckets_are_apart
            a_senseless_rate_is_invalid
            what_is_published_reaches_every_subscriber
            messages_arrive_byte_for_byte_and_in_order
            channels_are_apart
            publishing_to_nobody_is_harmless
            earlier_messages_are_gone
            a_subscriber_that_left_disturbs_nobody
            one_that_lags_holds_nobody_up
            a_cancelled_next_loses_nothing
        }
    };
    (@each #[$test:meta] $fresh:expr; $($name:ident)*) => {
        $(
            #[$test]
            async fn $name() {
                $crate::conformance::$name(&*$fresh.await).await;
            }
        )*
    };
}

/// How long something may take before the test fails.
const PATIENCE: Duration = Duration::from_secs(30);

/// How long nothing must happen to be taken for nothing.
const QUIET: Duration = Duration::from_millis(300);

/// Longer than any test takes.
const LONG: Duration = Duration::from_secs(600);

/// Short enough to wait for.
const SHORT: Duration = Duration::from_millis(200);

async fn in_time<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.expect("it happens in time")
}

/// Names that a key-value store's patterns, lengths or encodings could trip over.
fn hostile_names() -> Vec<String> {
    let odd = ["", "*", "a*", "[ab]", "a?c", "a\\b", "nul\0inside", "späße 🦀", "line\r\nbreak", "{tag}"];
    odd.into_iter().map(str::to_owned).chain(["long".repeat(256)]).collect()
}

#[cfg(test)]
mod tests {
    use crate::memory::MemoryLocks;
    use crate::port::Locks;
    use std::sync::Arc;

    async fn fresh() -> Arc<dyn Locks> {
        Arc::new(MemoryLocks::new())
    }

    crate::lock_conformance!(
        #[tokio::test(start_paused = true)]
        fresh()
    );
}
