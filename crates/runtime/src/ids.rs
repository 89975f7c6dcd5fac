//! New ids and random tokens.

use aidt_domain::{Clock, CommandId, ProcessId, RunId, WorkerId};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use uuid::{Builder, Uuid};

/// Makes ids and tokens. In a simulation [`Ids::seeded`] gives the same ones for the same seed.
///
/// Ids are UUIDv7 (RFC 9562): 48 bits of milliseconds, then a 12-bit counter (§6.2, method 1), so those
/// of one maker rise strictly and a list by id is a list by age; then 62 random bits, which choose a
/// run's partition.
pub struct Ids {
    clock: Arc<dyn Clock>,
    source: Source,
    /// Milliseconds and counter of the latest id, as they stand in it.
    latest: AtomicU64,
}

enum Source {
    System,
    Seeded { seed: u64, drawn: AtomicU64 },
}

const COUNTER_BITS: u32 = 12;

impl Ids {
    /// From the operating system's randomness.
    #[must_use]
    pub fn system(clock: Arc<dyn Clock>) -> Self {
        Self::from_source(clock, Source::System)
    }

    /// Predictable: for simulations and tests, never for anything secret.
    #[must_use]
    pub fn seeded(clock: Arc<dyn Clock>, seed: u64) -> Self {
        Self::from_source(clock, Source::Seeded { seed, drawn: AtomicU64::new(0) })
    }

    fn from_source(clock: Arc<dyn Clock>, source: Source) -> Self {
        Self { clock, source, latest: AtomicU64::new(0) }
    }

    /// A new run's.
    #[must_use]
    pub fn run(&self) -> RunId {
        RunId(self.uuid())
    }

    /// A new command's.
    #[must_use]
    pub fn command(&self) -> CommandId {
        CommandId(self.uuid())
    }

    /// A new process's.
    #[must_use]
    pub fn process(&self) -> ProcessId {
        ProcessId(self.uuid())
    }

    /// A new worker's.
    #[must_use]
    pub fn worker(&self) -> WorkerId {
        WorkerId(self.uuid())
    }

    /// Random bytes: keys, nonces, salts.
    ///
    /// # Panics
    /// When the operating system has no randomness to give: nothing safe can be done then.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "this is the randomness that others are handed")]
    pub fn bytes<const N: usize>(&self) -> [u8; N] {
        let mut bytes = [0; N];
        match &self.source {
            Source::System => getrandom::fill(&mut bytes).expect("the system gives randomness"),
            Source::Seeded { seed, drawn } => {
                for chunk in bytes.chunks_mut(8) {
                    let n = drawn.fetch_add(1, Ordering::Relaxed);
                    let word = splitmix64(*seed, n).to_le_bytes();
                    chunk.copy_from_slice(&word[..chunk.len()]);
                }
            }
        }
        bytes
    }

    /// A bearer token: 256 random bits as 64 hex digits.
    #[must_use]
    pub fn token(&self) -> String {
        let (high, low) = (self.bytes::<16>(), self.bytes::<16>());
        format!("{:032x}{:032x}", u128::from_be_bytes(high), u128::from_be_bytes(low))
    }

    fn uuid(&self) -> Uuid {
        let ms = u64::try_from(self.clock.now().0).unwrap_or(0);
        let now = ms << COUNTER_BITS;
        let after = |latest: u64| (latest + 1).max(now);
        // More than 4,096 in a millisecond borrow from the next one.
        let latest = self.latest.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |l| Some(after(l)));
        let stamp = after(latest.unwrap_or_else(|unchanged| unchanged));
        let counter = u16::try_from(stamp & ((1 << COUNTER_BITS) - 1)).expect("12 bits");
        let mut tail = self.bytes::<10>();
        tail[..2].copy_from_slice(&counter.to_be_bytes());
        Builder::from_unix_timestamp_millis(stamp >> COUNTER_BITS, &tail).into_uuid()
    }
}

/// The `n`-th output of SplitMix64 (Steele, Lea, Flood: "Fast Splittable Pseudorandom Number
/// Generators", 2014).
fn splitmix64(seed: u64, n: u64) -> u64 {
    let mut z = seed.wrapping_add(n.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

impl fmt::Debug for Ids {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.source {
            Source::System => "system",
            Source::Seeded { .. } => "seeded",
        };
        f.debug_struct("Ids").field("source", &kind).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use aidt_domain::{PartitionId, Timestamp};
    use std::collections::BTreeSet;

    #[derive(Debug)]
    struct At(i64);

    impl Clock for At {
        fn now(&self) -> Timestamp {
            Timestamp(self.0)
        }
    }

    const NOW: i64 = 1_795_267_086_001;

    #[test]
    fn an_id_is_a_uuid_v7_of_its_millisecond() {
        let id = Ids::system(Arc::new(At(NOW))).run().0;
        assert_eq!(id.get_version_num(), 7);
        assert_eq!(id.get_variant(), uuid::Variant::RFC4122);
        assert_eq!(id.as_u128() >> 80, u128::try_from(NOW).unwrap());
    }

    #[test]
    fn ids_rise_strictly_even_while_the_clock_stands() {
        let ids = Ids::system(Arc::new(At(NOW)));
        let made: Vec<_> = (0..10_000).map(|_| ids.run()).collect();
        assert!(made.is_sorted_by(|a, b| a < b));
    }

    #[test]
    fn ids_of_threads_differ() {
        let ids = Ids::seeded(Arc::new(At(NOW)), 1);
        let made: Vec<_> = std::thread::scope(|scope| {
            let make = || (0..1_000).map(|_| ids.command()).collect::<Vec<_>>();
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(make)).collect();
            threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
        });
        assert_eq!(made.iter().collect::<BTreeSet<_>>().len(), made.len());
    }

    #[test]
    fn runs_spread_over_partitions() {
        let ids = Ids::system(Arc::new(At(NOW)));
        let mut counts = [0; 8];
        for _ in 0..8_000 {
            counts[usize::from(PartitionId::of(ids.run(), 8).0)] += 1;
        }
        assert!(counts.iter().all(|n| (700..1_300).contains(n)), "{counts:?}");
    }

    #[test]
    fn the_same_seed_gives_the_same_and_another_seed_does_not() {
        let make = |seed| {
            let ids = Ids::seeded(Arc::new(At(NOW)), seed);
            (ids.run(), ids.token(), ids.bytes::<5>())
        };
        assert_eq!(make(7), make(7));
        assert_ne!(make(7), make(8));
        // Reference value of the published generator: seed 0, first output.
        assert_eq!(splitmix64(0, 0), 0xe220_a839_7b1d_cdaf);
    }

    #[test]
    fn a_token_is_64_hex_digits_and_new_each_time() {
        let ids = Ids::system(Arc::new(At(NOW)));
        let token = ids.token();
        assert_eq!(token.len(), 64);
        assert!(token.bytes().all(|b| b.is_ascii_hexdigit()));
        assert_ne!(token, ids.token());
    }
}
