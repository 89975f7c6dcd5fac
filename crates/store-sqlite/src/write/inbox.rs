//! Commands and idempotency keys.

use super::{Tx, put_documents};
use crate::error::Failed;
use crate::rows::digest;
use aidt_domain::{Digest, RunId};
use aidt_store::{IDEMPOTENCY_KEPT, InboxRow, Submission, Submitted};
use rusqlite::params;
use uuid::Uuid;

/// How many keys that are past their time one submission sweeps out.
const SWEPT: u32 = 16;

/// Keeps a command unless its id is there; says whether it did.
pub(crate) fn put_inbox(tx: &mut Tx<'_>, row: &InboxRow) -> Result<bool, Failed> {
    let rows = tx.execute(
        "INSERT INTO inbox (partition, id, project, run, at, command) VALUES (?1, ?2, ?3, ?4, ?5, ?6) \
         ON CONFLICT (id) DO NOTHING",
        params![
            row.partition.0,
            row.id.0.as_bytes(),
            row.project.as_str(),
            row.run.0.as_bytes(),
            tx.now().0,
            &row.command[..]
        ],
    )?;
    Ok(rows == 1)
}

/// A command with its documents and its key: all or nothing.
pub(crate) fn submit(tx: &mut Tx<'_>, submission: &Submission) -> Result<Submitted, Failed> {
    let row = &submission.row;
    let oldest = tx.now().0.saturating_sub(i64::try_from(IDEMPOTENCY_KEPT.as_millis()).expect("a day"));
    if let Some((key, body)) = &submission.idempotency
        && let Some((used_for, run)) = used_key(tx, row, key, oldest)?
    {
        return Ok(if used_for == *body { Submitted::Repeated(run) } else { Submitted::KeyReused });
    }
    if !put_inbox(tx, row)? {
        let there = tx.one("SELECT run FROM inbox WHERE id = ?1", [row.id.0.as_bytes()], |row| row.get(0))?;
        let run: Uuid = there.map(Uuid::from_bytes).ok_or_else(|| Failed::not_found(row.id))?;
        return Ok(Submitted::Repeated(RunId(run)));
    }
    put_documents(tx, &submission.documents)?;
    if let Some((key, body)) = &submission.idempotency {
        tx.execute(
            "DELETE FROM idempotency WHERE (project, key) IN \
             (SELECT project, key FROM idempotency WHERE at <= ?1 ORDER BY at LIMIT ?2)",
            params![oldest, SWEPT],
        )?;
        tx.execute(
            "INSERT OR REPLACE INTO idempotency (project, key, body, run, at) VALUES (?1, ?2, ?3, ?4, ?5)",
            params![row.project.as_str(), key, body.0, row.run.0.as_bytes(), tx.now().0],
        )?;
    }
    Ok(Submitted::Accepted)
}

fn used_key(tx: &mut Tx<'_>, row: &InboxRow, key: &str, oldest: i64) -> Result<Option<(Digest, RunId)>, Failed> {
    let used: Option<(Vec<u8>, [u8; 16])> = tx.one(
        "SELECT body, run FROM idempotency WHERE project = ?1 AND key = ?2 AND at > ?3",
        params![row.project.as_str(), key, oldest],
        |row| Ok((row.get(0)?, row.get(1)?)),
    )?;
    used.map(|(body, run)| Ok((digest(&body)?, RunId(Uuid::from_bytes(run))))).transpose()
}
