//! Who reads which pool's steps: the processes that have slots for it, by their rows.
//!
//! A broker whose pools lie in parts leaves it to readers to share them (`Steps::share`). What each of them
//! believes may lag behind: a look is a second old, a row is written after its stream was opened or closed. So
//! this process always reads, whether its row says so yet or not, unless it drains: then for as long as its row
//! says that it does, because others believe that. What the others leave to a process that is there and does not read
//! waits until its row says so; what two read comes twice, and is validated or done twice as any redelivery.

use aidt_domain::{Pool, ProcessId};
use aidt_queue::Readers;
use aidt_store::{ProcessRow, StoreError};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use tokio::time::Instant;

/// How often processes are looked at.
const EVERY: Duration = Duration::from_secs(1);
/// A process without a heartbeat for so long reads no more, though it may live: its claims stand, and what it
/// has in hand it goes on with. It was late once, and a half.
pub(crate) const READS_FOR_MS: u64 = 2_500;

/// Who reads, by the last look that was answered.
#[derive(Debug)]
pub(crate) struct PoolReaders {
    me: ProcessId,
    by_pool: BTreeMap<Pool, BTreeSet<ProcessId>>,
    /// A look has ended, well or not: before that nobody is told anything.
    looked: bool,
    untold: bool,
    looking: bool,
    look_at: Option<Instant>,
}

impl PoolReaders {
    pub(crate) fn new(me: ProcessId) -> Self {
        Self { me, by_pool: BTreeMap::new(), looked: false, untold: false, looking: false, look_at: None }
    }

    /// Whether to look now. Then [`looked`](Self::looked) must be told what came of it.
    pub(crate) fn look(&mut self, now: Instant) -> bool {
        if self.looking || self.look_at.is_some_and(|at| now < at) {
            return false;
        }
        self.looking = true;
        self.look_at = Some(now + EVERY);
        true
    }

    /// A store that does not answer changes nothing. Where it never did, nobody else is known, and this process
    /// reads everything.
    pub(crate) fn looked(&mut self, rows: Result<Vec<ProcessRow>, StoreError>) {
        self.looking = false;
        (self.looked, self.untold) = (true, true);
        let rows = match rows {
            Ok(rows) => rows,
            Err(error) => {
                tracing::debug!(%error, "processes cannot be looked at: pools stay shared as they are");
                return;
            }
        };
        self.by_pool.clear();
        for row in rows {
            for (pool, _) in row.slots.into_iter().filter(|(_, slots)| *slots > 0) {
                self.by_pool.entry(pool).or_default().insert(row.id);
            }
        }
    }

    /// Whether streams are to be told, because of a look since this was asked last.
    pub(crate) fn take_untold(&mut self) -> bool {
        std::mem::take(&mut self.untold)
    }

    /// When to look next.
    pub(crate) fn wakes_at(&self) -> Option<Instant> {
        self.look_at.filter(|_| !self.looking)
    }

    /// Who reads a pool. `None`: not known yet.
    pub(crate) fn of(&self, pool: &Pool, draining: bool) -> Option<Readers> {
        if !self.looked {
            return None;
        }
        let mut all = self.by_pool.get(pool).cloned().unwrap_or_default();
        if !draining {
            all.insert(self.me);
        }
        Some(Readers { me: self.me, all })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use aidt_domain::Timestamp;
    use uuid::Uuid;

    fn process(n: u128) -> ProcessId {
        ProcessId(Uuid::from_u128(n))
    }

    fn row(n: u128, slots: &[(&str, u32)]) -> ProcessRow {
        ProcessRow {
            id: process(n),
            service: "step-consumer".to_owned(),
            slots: slots.iter().map(|(pool, slots)| (Pool::new(pool).unwrap(), *slots)).collect(),
            tools: Vec::new(),
            format: aidt_domain::FORMAT,
            policy_revision: String::new(),
            heartbeat: Timestamp::default(),
            closed: false,
        }
    }

    fn all(readers: &PoolReaders, draining: bool) -> Vec<ProcessId> {
        readers.of(&Pool::new("p").unwrap(), draining).expect("looked").all.into_iter().collect()
    }

    #[tokio::test(start_paused = true)]
    async fn those_with_slots_read_and_this_process_before_its_row_says_so() {
        let mut readers = PoolReaders::new(process(1));
        assert!(readers.look(Instant::now()));
        assert_eq!(readers.of(&Pool::new("p").unwrap(), false), None);
        readers.looked(Ok(vec![row(2, &[("p", 1)]), row(3, &[("q", 1)]), row(4, &[("p", 0)]), row(5, &[])]));
        assert_eq!(all(&readers, false), [process(1), process(2)]);
    }

    #[tokio::test(start_paused = true)]
    async fn who_drains_reads_for_as_long_as_others_believe_it() {
        let mut readers = PoolReaders::new(process(1));
        readers.looked(Ok(vec![row(1, &[("p", 1)]), row(2, &[("p", 1)])]));
        assert_eq!(all(&readers, true), [process(1), process(2)]);
        readers.looked(Ok(vec![row(1, &[]), row(2, &[("p", 1)])]));
        assert_eq!(all(&readers, true), [process(2)]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_store_that_does_not_answer_changes_nothing_and_is_asked_again() {
        let failed = || StoreError::new("live", aidt_store::Kind::Unavailable, "down");
        let mut readers = PoolReaders::new(process(1));
        assert!(readers.look(Instant::now()) && !readers.look(Instant::now()), "one look at a time");
        readers.looked(Err(failed()));
        assert_eq!(all(&readers, false), [process(1)], "alone it reads everything");
        let next = readers.wakes_at().unwrap();
        assert!(!readers.look(Instant::now()) && readers.look(next));
        readers.looked(Ok(vec![row(2, &[("p", 1)])]));
        readers.looked(Err(failed()));
        assert_eq!(all(&readers, false), [process(1), process(2)]);
    }
}
