//! A partition as a reader sees it.

use std::collections::BTreeSet;

/// Where a reader stands in a partition, and up to where it has acked.
#[derive(Clone, Debug)]
pub(super) struct Lane {
    /// What is read next.
    pub(super) next: usize,
    /// What lies below was there before the reader was: somebody may have had it.
    end: usize,
    /// Below, everything is acked.
    mark: usize,
    /// Acked above it.
    acked: BTreeSet<usize>,
}

impl Lane {
    pub(super) fn new(start: usize, end: usize) -> Self {
        Self { next: start, end, mark: start, acked: BTreeSet::new() }
    }

    pub(super) fn is_old(&self, offset: usize) -> bool {
        offset < self.end
    }

    pub(super) fn ack(&mut self, offset: usize) {
        if (self.mark..self.next).contains(&offset) {
            self.acked.insert(offset);
        }
        while self.acked.remove(&self.mark) {
            self.mark += 1;
        }
    }

    /// Where to read on.
    pub(super) fn mark(&self) -> usize {
        self.mark
    }
}
