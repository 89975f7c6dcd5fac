//! Leases by name.

use super::Sweep;
use crate::port::Lease;
use std::collections::BTreeMap;
use std::ops::Bound;
use std::time::Duration;
use tokio::time::Instant;

#[derive(Debug, Default)]
pub(super) struct Leases {
    held: BTreeMap<String, Held>,
    sweep: Sweep,
}

#[derive(Debug)]
struct Held {
    by: String,
    since: Instant,
    ttl: Duration,
}

impl Held {
    /// By what has passed, not by an end: a time to live of centuries must not overflow.
    fn is_over(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.since) >= self.ttl
    }
}

impl Leases {
    pub(super) fn take(&mut self, name: &str, holder: &str, ttl: Duration, now: Instant) -> Lease {
        if let Some(held) = self.held.get_mut(name) {
            if held.by != holder && !held.is_over(now) {
                return Lease::Taken { by: held.by.clone() };
            }
            if held.by != holder {
                held.by = holder.to_owned();
            }
            (held.since, held.ttl) = (now, ttl);
            return Lease::Held;
        }
        if self.sweep.is_due(self.held.len()) {
            self.held.retain(|_, held| !held.is_over(now));
            self.sweep.done(self.held.len());
        }
        self.held.insert(name.to_owned(), Held { by: holder.to_owned(), since: now, ttl });
        Lease::Held
    }

    pub(super) fn release(&mut self, name: &str, holder: &str) {
        if self.held.get(name).is_some_and(|held| held.by == holder) {
            self.held.remove(name);
        }
    }

    pub(super) fn list(&self, prefix: &str, now: Instant) -> Vec<(String, String)> {
        self.held
            .range::<str, _>((Bound::Included(prefix), Bound::Unbounded))
            .take_while(|(name, _)| name.starts_with(prefix))
            .filter(|(_, held)| !held.is_over(now))
            .map(|(name, held)| (name.clone(), held.by.clone()))
            .collect()
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.held.len()
    }
}
