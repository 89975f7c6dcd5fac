//! The one connection that writes, and its transactions.

use crate::error::Broken;
use crate::queue::Job;
use crate::write::Tx;
use aidt_domain::{RunId, Timestamp};
use rusqlite::Connection;
use std::collections::HashMap;

/// Numbers of runs that are remembered; beyond, all are forgotten and looked up again.
const NUMBERS_KEPT: usize = 100_000;

/// The writing connection, with what it remembers.
#[derive(Debug)]
pub(crate) struct Writer {
    connection: Connection,
    /// The small key of a run, once it was looked up. Only what is committed: a rollback forgets all.
    numbers: HashMap<RunId, i64>,
}

/// What a transaction did.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Written {
    pub(crate) statements: u64,
    pub(crate) rows: u64,
}

impl Writer {
    pub(crate) fn new(connection: Connection) -> Self {
        Self { connection, numbers: HashMap::new() }
    }

    /// Runs the jobs in one transaction. Each fails alone; an error is everybody's.
    pub(crate) fn transact(
        &mut self,
        jobs: &mut [Box<dyn Job>],
        now: Timestamp,
        partitions: u16,
    ) -> Result<Written, Broken> {
        if self.numbers.len() > NUMBERS_KEPT {
            self.numbers.clear();
        }
        self.sql("BEGIN IMMEDIATE").map_err(Broken::before_commit)?;
        let written = self.run(jobs, now, partitions);
        let ended = match &written {
            Ok(Some(_)) => self.sql("COMMIT").map_err(Broken::at_commit),
            Ok(None) | Err(_) => Ok(()),
        };
        if !self.connection.is_autocommit() {
            self.numbers.clear();
            if let Err(error) = self.sql("ROLLBACK") {
                tracing::error!(%error, "a transaction could not be rolled back");
            }
        } else if ended.is_err() || written.is_err() {
            self.numbers.clear();
        }
        ended?;
        Ok(written?.unwrap_or_default())
    }

    /// The jobs of an open transaction; `None` when nothing of it is worth a commit.
    fn run(&mut self, jobs: &mut [Box<dyn Job>], now: Timestamp, partitions: u16) -> Result<Option<Written>, Broken> {
        let alone = jobs.len() == 1;
        let mut tx = Tx::new(&self.connection, &mut self.numbers, now, partitions);
        for job in jobs {
            if !alone {
                tx.control("SAVEPOINT job").map_err(Broken::before_commit)?;
            }
            let Err(error) = job.run(&mut tx) else {
                if !alone {
                    tx.control("RELEASE job").map_err(Broken::before_commit)?;
                }
                continue;
            };
            tx.forget_numbers();
            if tx.is_gone() {
                // SQLite rolled back what the others had written, too: they all fail with this.
                return error.map_or(Ok(None), Err);
            }
            if alone {
                return Ok(None);
            }
            tx.control("ROLLBACK TO job").map_err(Broken::before_commit)?;
            tx.control("RELEASE job").map_err(Broken::before_commit)?;
        }
        Ok(Some(tx.written()))
    }

    /// Pages in the log that began with the last checkpoint, and how many of them are copied already.
    pub(crate) fn log(&self) -> rusqlite::Result<(i64, i64)> {
        log_pages(&self.connection, "PRAGMA wal_checkpoint(NOOP)")
    }

    /// Copies the rest of the log, so that the next transaction begins a new one.
    pub(crate) fn finish_checkpoint(&self) -> rusqlite::Result<(i64, i64)> {
        log_pages(&self.connection, "PRAGMA wal_checkpoint(PASSIVE)")
    }

    fn sql(&self, text: &'static str) -> rusqlite::Result<()> {
        self.connection.prepare_cached(text)?.execute([]).map(drop)
    }
}

/// Runs a checkpoint pragma: pages in the log, and those copied.
pub(crate) fn log_pages(connection: &Connection, pragma: &'static str) -> rusqlite::Result<(i64, i64)> {
    connection.prepare_cached(pragma)?.query_row([], |row| Ok((row.get(1)?, row.get(2)?)))
}
