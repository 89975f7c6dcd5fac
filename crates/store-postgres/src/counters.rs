//! What the store has done, for the bench.

use std::sync::atomic::{AtomicU64, Ordering};

/// What the store has done since it was connected.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Statements that were answered. Each is one round trip and a transaction of its own.
    pub statements: u64,
    /// Those of them that wrote.
    pub transactions: u64,
    /// Rows that the owners' turns handed in.
    pub rows: u64,
    /// Connections that were opened.
    pub connections: u64,
}

/// The live figures.
#[derive(Debug, Default)]
pub(crate) struct Figures {
    pub(crate) statements: AtomicU64,
    pub(crate) transactions: AtomicU64,
    pub(crate) rows: AtomicU64,
}

impl Figures {
    pub(crate) fn add(figure: &AtomicU64, count: u64) {
        figure.fetch_add(count, Ordering::Relaxed);
    }

    pub(crate) fn read(&self, connections: u64) -> Counters {
        let of = |figure: &AtomicU64| figure.load(Ordering::Relaxed);
        Counters {
            statements: of(&self.statements),
            transactions: of(&self.transactions),
            rows: of(&self.rows),
            connections,
        }
    }
}
