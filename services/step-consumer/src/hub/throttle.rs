//! How much a worker may print.

use std::time::Duration;
use tokio::time::Instant;

/// A frame costs this much beside its bytes, so that empty ones are not free.
const FRAME_COST: u32 = 256;

/// A bucket of bytes that refills. Whoever overdraws it waits: the session stops reading, and flow control
/// makes the worker wait too.
#[derive(Debug)]
pub(super) struct Throttle {
    per_second: u32,
    burst: Duration,
    /// When the bucket would be full again, had it to pay for all that was taken (GCRA).
    full_at: Instant,
}

impl Throttle {
    pub(super) fn new(per_second: u32, burst_bytes: u32, now: Instant) -> Self {
        let per_second = per_second.max(1);
        let burst = Duration::from_secs(1).mul_f64(f64::from(burst_bytes) / f64::from(per_second));
        Self { per_second, burst, full_at: now }
    }

    /// Takes the bytes of a frame. Answers when the next frame may be read.
    pub(super) fn charge(&mut self, bytes: usize, now: Instant) -> Option<Instant> {
        let bytes = f64::from(u32::try_from(bytes).unwrap_or(u32::MAX).saturating_add(FRAME_COST));
        let cost = Duration::from_secs_f64(bytes / f64::from(self.per_second));
        self.full_at = self.full_at.max(now) + cost;
        let until = self.full_at.checked_sub(self.burst)?;
        (until > now).then_some(until)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_burst_is_free_and_a_flood_waits() {
        let now = Instant::now() + Duration::from_secs(3600);
        let mut throttle = Throttle::new(1000, 2000, now);
        assert_eq!(throttle.charge(744, now), None);
        assert_eq!(throttle.charge(744, now), None);
        assert_eq!(throttle.charge(744, now), Some(now + Duration::from_secs(1)));
        let later = now + Duration::from_secs(10);
        assert_eq!(throttle.charge(744, later), None);
    }
}
