//! An open transaction, as the operations see it.

mod documents;
mod inbox;
mod run;
mod step;
mod turn;

pub(crate) use documents::put_documents;
pub(crate) use inbox::{put_inbox, submit};
pub(crate) use turn::{commit, put_dead_letters};

use crate::error::Failed;
use crate::writer::Written;
use aidt_domain::{RunId, Timestamp};
use rusqlite::{CachedStatement, Connection, OptionalExtension, Params, Row};
use std::collections::HashMap;

/// The open transaction. Counts what it does.
pub(crate) struct Tx<'w> {
    connection: &'w Connection,
    /// Statements by where their text lies: looking them up by the text itself costs more than some of them.
    statements: Vec<(&'static str, CachedStatement<'w>)>,
    numbers: &'w mut HashMap<RunId, i64>,
    now: Timestamp,
    /// How many partitions there are.
    pub(crate) partitions: u16,
    written: Written,
}

impl<'w> Tx<'w> {
    pub(crate) fn new(
        connection: &'w Connection,
        numbers: &'w mut HashMap<RunId, i64>,
        now: Timestamp,
        partitions: u16,
    ) -> Self {
        Self { connection, statements: Vec::new(), numbers, now, partitions, written: Written::default() }
    }

    /// The store's time: one instant for all of the transaction.
    pub(crate) fn now(&self) -> Timestamp {
        self.now
    }

    fn statement(&mut self, sql: &'static str) -> Result<&mut CachedStatement<'w>, Failed> {
        let known = self.statements.iter().position(|(text, _)| std::ptr::eq(*text, sql));
        let at = match known {
            Some(at) => at,
            None => {
                self.statements.push((sql, self.connection.prepare_cached(sql)?));
                self.statements.len() - 1
            }
        };
        Ok(&mut self.statements[at].1)
    }

    /// Writes; answers how many rows.
    pub(crate) fn execute(&mut self, sql: &'static str, params: impl Params) -> Result<usize, Failed> {
        let rows = self.statement(sql)?.execute(params)?;
        self.written.statements += 1;
        self.written.rows += u64::try_from(rows).unwrap_or(0);
        Ok(rows)
    }

    /// Reads at most one row.
    pub(crate) fn one<T>(
        &mut self,
        sql: &'static str,
        params: impl Params,
        read: impl FnOnce(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Option<T>, Failed> {
        self.written.statements += 1;
        Ok(self.statement(sql)?.query_row(params, read).optional()?)
    }

    /// Reads.
    pub(crate) fn all<T>(
        &mut self,
        sql: &'static str,
        params: impl Params,
        mut read: impl FnMut(&Row<'_>) -> Result<T, Failed>,
    ) -> Result<Vec<T>, Failed> {
        self.written.statements += 1;
        let mut rows = self.statement(sql)?.query(params)?;
        let mut all = Vec::new();
        while let Some(row) = rows.next()? {
            all.push(read(row)?);
        }
        Ok(all)
    }

    /// The small key of a run that is there.
    pub(crate) fn number(&mut self, run: RunId) -> Result<Option<i64>, Failed> {
        if let Some(number) = self.numbers.get(&run) {
            return Ok(Some(*number));
        }
        let sql = "SELECT no FROM run_details WHERE id = ?1";
        let number = self.one(sql, [run.0.as_bytes()], |row| row.get(0))?;
        if let Some(number) = number {
            self.numbers.insert(run, number);
        }
        Ok(number)
    }

    /// Remembers the key that a new row got.
    fn numbered(&mut self, run: RunId) -> i64 {
        let number = self.connection.last_insert_rowid();
        self.numbers.insert(run, number);
        number
    }

    /// SAVEPOINT and its like.
    pub(crate) fn control(&self, sql: &'static str) -> rusqlite::Result<()> {
        self.connection.prepare_cached(sql)?.execute([]).map(drop)
    }

    /// A number that was given in what is now rolled back must not be remembered.
    pub(crate) fn forget_numbers(&mut self) {
        self.numbers.clear();
    }

    /// Whether SQLite has rolled the transaction back by itself.
    pub(crate) fn is_gone(&self) -> bool {
        self.connection.is_autocommit()
    }

    pub(crate) fn written(&self) -> Written {
        self.written
    }
}
