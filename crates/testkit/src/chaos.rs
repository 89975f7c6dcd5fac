//! How often ports misbehave, and how.

use crate::rng::Rng;
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::time::Instant;

/// A port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Port {
    Store,
    Queue,
    Locks,
}

/// On which side of the effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    Before,
    After,
}

/// What to do at one side of one operation.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Strike {
    pub(crate) pause: Pause,
    pub(crate) fails: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pause {
    None,
    Yield,
    Sleep(Duration),
}

/// Rates are per thousand.
#[derive(Clone, Debug)]
pub(crate) struct Chaos {
    pub(crate) rng: Rng,
    pub(crate) on: bool,
    pub(crate) pauses: u64,
    pub(crate) longest_pause_ms: u64,
    pub(crate) fails_before: u64,
    pub(crate) fails_after: u64,
    pub(crate) doubles: u64,
    pub(crate) reorders: u64,
    pub(crate) drops: u64,
    pub(crate) down_until: BTreeMap<Port, Instant>,
}

impl Chaos {
    pub(crate) fn new(seed: u64) -> Self {
        let mut rng = Rng::new(seed, 2);
        let violent = *rng.pick(&[0_u64, 1, 1, 3]);
        Self {
            on: true,
            pauses: *rng.pick(&[20, 100, 300]),
            longest_pause_ms: *rng.pick(&[3, 30, 30, 200]),
            fails_before: violent * rng.below(20),
            fails_after: violent * rng.below(20),
            doubles: violent * rng.below(60),
            reorders: violent * rng.below(100),
            drops: violent * rng.below(200),
            down_until: BTreeMap::new(),
            rng,
        }
    }

    /// No more faults; interleavings still differ.
    pub(crate) fn calm(&mut self) {
        self.on = false;
        self.down_until.clear();
    }

    pub(crate) fn hits(&mut self, per_mille: u64) -> bool {
        self.on && self.rng.chance(per_mille)
    }

    pub(crate) fn strike(&mut self, port: Port, side: Side, now: Instant) -> Strike {
        if !self.on {
            let pause = if self.rng.chance(200) { Pause::Yield } else { Pause::None };
            return Strike { pause, fails: false };
        }
        let down = self.down_until.get(&port).is_some_and(|until| now < *until);
        let rate = match side {
            Side::Before => self.fails_before,
            Side::After => self.fails_after,
        };
        let fails = down || self.rng.chance(rate);
        let pause = if self.rng.chance(self.pauses) {
            Pause::Sleep(Duration::from_millis(self.rng.between(1, self.longest_pause_ms)))
        } else if down || self.rng.chance(300) {
            Pause::Yield
        } else {
            Pause::None
        };
        Strike { pause, fails }
    }
}
