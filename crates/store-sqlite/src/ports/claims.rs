//! Claims and journals.

use super::Result;
use crate::SqliteStore;
use crate::error::Failed;
use crate::rows::Cells;
use crate::write::Tx;
use aidt_domain::{DispatchNo, ProcessId, StepState};
use aidt_store::{ClaimRequest, ClaimState, Claims, Journal, JournalEntry, JournalKey, Kind};
use async_trait::async_trait;
use rusqlite::params;
use uuid::Uuid;

#[async_trait]
impl Claims for SqliteStore {
    async fn claim(&self, requests: &[ClaimRequest]) -> Result<Vec<ClaimState>> {
        let requests = requests.to_vec();
        self.core.write("claim", move |tx| requests.iter().map(|request| claim(tx, request)).collect()).await
    }
}

/// Whoever inserts first decides, while the dispatch is the step's current one.
fn claim(tx: &mut Tx<'_>, request: &ClaimRequest) -> std::result::Result<ClaimState, Failed> {
    let Some((run, state)) = out(tx, request)? else { return Ok(ClaimState::Stale) };
    let holder: Option<Option<[u8; 16]>> = tx.one(
        "SELECT process FROM claims WHERE run = ?1 AND ix = ?2 AND dispatch = ?3",
        params![run, request.step.0, request.dispatch.0],
        |row| row.get(0),
    )?;
    Ok(match holder.map(|process| process.map(|bytes| ProcessId(Uuid::from_bytes(bytes)))) {
        Some(None) => ClaimState::Burned,
        Some(Some(holder)) if holder == request.process => ClaimState::Won,
        Some(Some(holder)) => ClaimState::Held(holder),
        None if state != StepState::Dispatched => ClaimState::Stale,
        None => {
            tx.execute(
                "INSERT INTO claims (run, ix, dispatch, process) VALUES (?1, ?2, ?3, ?4)",
                params![run, request.step.0, request.dispatch.0, request.process.0.as_bytes()],
            )?;
            ClaimState::Won
        }
    })
}

/// The run's number and the step's state, while this is its current dispatch and has not ended.
fn out(tx: &mut Tx<'_>, request: &ClaimRequest) -> std::result::Result<Option<(i64, StepState)>, Failed> {
    let Some(run) = tx.number(request.run)? else { return Ok(None) };
    let code = tx.one(
        "SELECT state FROM steps WHERE run = ?1 AND ix = ?2 AND dispatch = ?3",
        params![run, request.step.0, request.dispatch.0],
        |row| row.get(0),
    )?;
    Ok(code.and_then(StepState::from_code).filter(|state| state.is_out()).map(|state| (run, state)))
}

#[async_trait]
impl Journal for SqliteStore {
    async fn open(&self, key: &JournalKey, request: &ClaimRequest) -> Result<Vec<JournalEntry>> {
        let (key, request) = (key.clone(), request.clone());
        self.core
            .write("open", move |tx| match claim(tx, &request)? {
                ClaimState::Won => entries(tx, &key),
                other => Err(refused(&request, &format!("the claim is {other:?}"))),
            })
            .await
    }

    async fn append(&self, key: &JournalKey, request: &ClaimRequest, entry: JournalEntry) -> Result<()> {
        let (key, request) = (key.clone(), request.clone());
        self.core.write("append", move |tx| append(tx, &key, &request, &entry)).await
    }
}

fn entries(tx: &mut Tx<'_>, key: &JournalKey) -> std::result::Result<Vec<JournalEntry>, Failed> {
    let Some(run) = tx.number(key.run)? else { return Ok(Vec::new()) };
    tx.all(
        "SELECT entry_ix, dispatch, entry FROM journal \
         WHERE run = ?1 AND ix = ?2 AND generation = ?3 AND attempt = ?4 ORDER BY entry_ix",
        params![run, key.step.0, key.generation.0, key.attempt.0],
        |row| {
            let mut cells = Cells::of(row);
            Ok(JournalEntry { index: cells.next()?, dispatch: DispatchNo(cells.next()?), entry: cells.bytes()? })
        },
    )
}

fn append(
    tx: &mut Tx<'_>,
    key: &JournalKey,
    request: &ClaimRequest,
    entry: &JournalEntry,
) -> std::result::Result<(), Failed> {
    let Some((run, _)) = out(tx, request)? else {
        return Err(refused(request, "it is no longer current"));
    };
    let mine = tx.one(
        "SELECT 1 FROM claims WHERE run = ?1 AND ix = ?2 AND dispatch = ?3 AND process = ?4",
        params![run, request.step.0, request.dispatch.0, request.process.0.as_bytes()],
        |_| Ok(()),
    )?;
    if mine.is_none() {
        return Err(refused(request, "the claim is not this process's"));
    }
    let next: u32 = tx
        .one(
            "SELECT coalesce(max(entry_ix) + 1, 0) FROM journal \
             WHERE run = ?1 AND ix = ?2 AND generation = ?3 AND attempt = ?4",
            params![run, key.step.0, key.generation.0, key.attempt.0],
            |row| row.get(0),
        )?
        .unwrap_or(0);
    if entry.index != next {
        return Err(refused(request, &format!("entry {} came where {next} is next", entry.index)));
    }
    tx.execute(
        "INSERT INTO journal (run, ix, generation, attempt, entry_ix, dispatch, entry) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        params![run, key.step.0, key.generation.0, key.attempt.0, entry.index, entry.dispatch.0, &entry.entry[..]],
    )?;
    Ok(())
}

fn refused(claim: &ClaimRequest, why: &str) -> Failed {
    let message = format!("journal of {} step {} dispatch {}: {why}", claim.run, claim.step, claim.dispatch);
    Failed::Said(Kind::Conflict, message)
}
