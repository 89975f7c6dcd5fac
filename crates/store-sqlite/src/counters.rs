//! What the writer has done, for the bench.

use std::sync::atomic::{AtomicU64, Ordering};

/// What the store has written since it was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Committed transactions.
    pub transactions: u64,
    /// Statements in them.
    pub statements: u64,
    /// Rows inserted, changed or deleted by those.
    pub rows: u64,
    /// Operations of others that went along with an owner's transaction or were committed while it was idle.
    pub queued: u64,
    /// Calls of fsync, at most: one a transaction, and three a checkpoint that began a new log. (A transaction
    /// that changed nothing makes none.)
    pub fsyncs: u64,
    /// Checkpoints: the log copied into the database.
    pub checkpoints: u64,
    /// Pages that were copied by those.
    pub pages: u64,
}

/// The live figures.
#[derive(Debug, Default)]
pub(crate) struct Figures {
    transactions: AtomicU64,
    statements: AtomicU64,
    rows: AtomicU64,
    queued: AtomicU64,
    checkpoints: AtomicU64,
    pages: AtomicU64,
}

impl Figures {
    pub(crate) fn committed(&self, statements: u64, rows: u64, queued: u64) {
        self.transactions.fetch_add(1, Ordering::Relaxed);
        self.statements.fetch_add(statements, Ordering::Relaxed);
        self.rows.fetch_add(rows, Ordering::Relaxed);
        self.queued.fetch_add(queued, Ordering::Relaxed);
    }

    pub(crate) fn checkpointed(&self, pages: u64) {
        self.checkpoints.fetch_add(1, Ordering::Relaxed);
        self.pages.fetch_add(pages, Ordering::Relaxed);
    }

    pub(crate) fn read(&self) -> Counters {
        let of = |figure: &AtomicU64| figure.load(Ordering::Relaxed);
        let (transactions, checkpoints) = (of(&self.transactions), of(&self.checkpoints));
        Counters {
            transactions,
            statements: of(&self.statements),
            rows: of(&self.rows),
            queued: of(&self.queued),
            fsyncs: transactions + 3 * checkpoints,
            checkpoints,
            pages: of(&self.pages),
        }
    }
}
