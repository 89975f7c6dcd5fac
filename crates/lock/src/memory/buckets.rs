//! Token buckets by name.

use super::Sweep;
use crate::gcra::{self, Rate};
use crate::port::Permit;
use std::collections::BTreeMap;

#[derive(Debug, Default)]
pub(super) struct Buckets {
    /// Theoretical arrival times; a full bucket needs none.
    arrivals: BTreeMap<String, f64>,
    sweep: Sweep,
}

impl Buckets {
    pub(super) fn take(&mut self, bucket: &str, rate: Rate, now: f64) -> Permit {
        if let Some(arrival) = self.arrivals.get_mut(bucket) {
            let (next, permit) = gcra::take(*arrival, now, rate);
            *arrival = next;
            return permit;
        }
        if self.sweep.is_due(self.arrivals.len()) {
            self.arrivals.retain(|_, arrival| *arrival > now);
            self.sweep.done(self.arrivals.len());
        }
        let (next, permit) = gcra::take(now, now, rate);
        self.arrivals.insert(bucket.to_owned(), next);
        permit
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.arrivals.len()
    }
}
