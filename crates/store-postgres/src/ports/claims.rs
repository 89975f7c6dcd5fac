//! Claims and journals.
//!
//! Both lock the step's row first (`FOR SHARE`), in the order of run and step, as the owner's turn does. So a claim
//! or an entry is either there before the owner moves the step on, or sees that it has. Whoever inserts a claim's
//! key first decides: its unique index tells a claim and a burn apart, however they overlap.

use super::Result;
use crate::PostgresStore;
use crate::error::Failed;
use crate::rows::{Cells, all};
use crate::statement::Statement;
use aidt_domain::{DispatchNo, ProcessId, RunId, StepIx};
use aidt_store::{ClaimRequest, ClaimState, Claims, Journal, JournalEntry, JournalKey, Kind, StoreError};
use async_trait::async_trait;
use sqlx::postgres::PgBindIterExt;
use std::collections::BTreeMap;

/// Steps that are out with the asked dispatch, with who holds it. One that is running is inserted by nobody. (The
/// states are not in the words of the index of what is out, so that a step is found by its key.)
const CLAIM: &str = "WITH current AS (SELECT s.run, s.ix, s.dispatch, s.state, u.process \
     FROM unnest($1::uuid[], $2::bigint[], $3::bigint[], $4::uuid[]) AS u (run, ix, dispatch, process) \
     JOIN steps s ON s.run = u.run AND s.ix = u.ix AND s.dispatch = u.dispatch WHERE s.state BETWEEN 3 AND 4 \
     ORDER BY s.run, s.ix FOR SHARE OF s), \
     claimed AS (INSERT INTO claims (run, ix, dispatch, process) SELECT run, ix, dispatch, process FROM current \
     WHERE state = 3 ON CONFLICT (run, ix, dispatch) DO UPDATE SET process = claims.process \
     RETURNING run, ix, dispatch, process) \
     SELECT run, ix, dispatch, process FROM claimed UNION ALL \
     SELECT c.run, c.ix, c.dispatch, c.process FROM current o \
     JOIN claims c ON c.run = o.run AND c.ix = o.ix AND c.dispatch = o.dispatch WHERE o.state = 4";

/// An entry, while the dispatch is out, the claim this process's, and its index the next. Answers all three.
const APPEND: &str = "WITH current AS (SELECT 1 FROM steps \
     WHERE run = $1 AND ix = $2 AND dispatch = $3 AND state BETWEEN 3 AND 4 FOR SHARE), \
     mine AS (SELECT 1 FROM claims WHERE run = $1 AND ix = $2 AND dispatch = $3 AND process = $4), \
     next AS (SELECT coalesce(max(entry_ix) + 1, 0) AS entry_ix FROM journal \
     WHERE run = $1 AND ix = $2 AND generation = $5 AND attempt = $6), \
     put AS (INSERT INTO journal (run, ix, generation, attempt, entry_ix, dispatch, entry) \
     SELECT $1, $2, $5, $6, $7, $8, $9 FROM next WHERE next.entry_ix = $7 AND EXISTS (SELECT FROM current) \
     AND EXISTS (SELECT FROM mine) RETURNING 1) \
     SELECT EXISTS (SELECT FROM put), EXISTS (SELECT FROM current), EXISTS (SELECT FROM mine), \
     (SELECT entry_ix FROM next)";

#[async_trait]
impl Claims for PostgresStore {
    async fn claim(&self, requests: &[ClaimRequest]) -> Result<Vec<ClaimState>> {
        // The first of several for one dispatch speaks for it; in the order in which everybody locks.
        let mut first: BTreeMap<(RunId, StepIx, DispatchNo), ProcessId> = BTreeMap::new();
        for request in requests {
            first.entry(dispatch_of(request)).or_insert(request.process);
        }
        if first.is_empty() {
            return Ok(Vec::new());
        }
        let statement = Statement::new(CLAIM)
            .with(first.keys().map(|key| key.0.0).bind_iter())
            .with(first.keys().map(|key| i64::from(key.1.0)).bind_iter())
            .with(first.keys().map(|key| i64::from(key.2.0)).bind_iter())
            .with(first.values().map(|process| process.0).bind_iter());
        let rows = self.write("claim", statement).await?;
        let held = all(&rows, |row| {
            let mut cells = Cells::of(row);
            Ok(((cells.run()?, cells.step()?, cells.dispatch()?), cells.process()?))
        });
        let held: BTreeMap<_, _> = held.map_err(|failed| failed.of("claim"))?.into_iter().collect();
        let state = |request: &ClaimRequest| match held.get(&dispatch_of(request)) {
            None => ClaimState::Stale,
            Some(None) => ClaimState::Burned,
            Some(Some(holder)) if *holder == request.process => ClaimState::Won,
            Some(Some(holder)) => ClaimState::Held(*holder),
        };
        Ok(requests.iter().map(state).collect())
    }
}

fn dispatch_of(request: &ClaimRequest) -> (RunId, StepIx, DispatchNo) {
    (request.run, request.step, request.dispatch)
}

#[async_trait]
impl Journal for PostgresStore {
    async fn open(&self, key: &JournalKey, request: &ClaimRequest) -> Result<Vec<JournalEntry>> {
        let state = self.claim(std::slice::from_ref(request)).await?;
        if state != [ClaimState::Won] {
            return Err(refused("open", request, &format!("the claim is {:?}", state[0])));
        }
        // Whoever had the step before wrote under its row's lock: all of it is there by now.
        let statement = Statement::new(
            "SELECT entry_ix, dispatch, entry FROM journal \
             WHERE run = $1 AND ix = $2 AND generation = $3 AND attempt = $4 ORDER BY entry_ix",
        );
        let statement = statement
            .with(key.run.0)
            .with(i64::from(key.step.0))
            .with(i64::from(key.generation.0))
            .with(i64::from(key.attempt.0));
        let rows = self.read("open", statement).await?;
        let entries = all(&rows, |row| {
            let mut cells = Cells::of(row);
            Ok(JournalEntry { index: cells.small()?, dispatch: cells.dispatch()?, entry: cells.bytes()? })
        });
        entries.map_err(|failed| failed.of("open"))
    }

    async fn append(&self, key: &JournalKey, request: &ClaimRequest, entry: JournalEntry) -> Result<()> {
        let statement = Statement::new(APPEND)
            .with(key.run.0)
            .with(i64::from(key.step.0))
            .with(i64::from(request.dispatch.0))
            .with(request.process.0)
            .with(i64::from(key.generation.0))
            .with(i64::from(key.attempt.0))
            .with(i64::from(entry.index))
            .with(i64::from(entry.dispatch.0))
            .with(&entry.entry[..]);
        let rows = self.write("append", statement).await?;
        let read = || -> std::result::Result<(bool, bool, bool, i64), Failed> {
            let mut cells = Cells::of(rows.first().ok_or_else(|| Failed::corrupt("an entry was not answered"))?);
            Ok((cells.next()?, cells.next()?, cells.next()?, cells.next()?))
        };
        match read().map_err(|failed| failed.of("append"))? {
            (true, ..) => Ok(()),
            (_, false, ..) => Err(refused("append", request, "it is no longer current")),
            (_, _, false, _) => Err(refused("append", request, "the claim is not this process's")),
            (.., next) => {
                let why = format!("entry {} came where {next} is next", entry.index);
                Err(refused("append", request, &why))
            }
        }
    }
}

fn refused(operation: &'static str, claim: &ClaimRequest, why: &str) -> StoreError {
    let message = format!("journal of {} step {} dispatch {}: {why}", claim.run, claim.step, claim.dispatch);
    StoreError::new(operation, Kind::Conflict, message)
}
