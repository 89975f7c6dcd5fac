//! Step logs and dead letters.

use super::Result;
use crate::PostgresStore;
use crate::detail::{from_json, to_json};
use crate::error::{Failed, NOT_FOUND};
use crate::rows::{Cells, all, bound};
use crate::statement::{Place, Statement};
use aidt_domain::{DispatchNo, Project, RunId, StepIx};
use aidt_store::{DeadLetter, DeadLetters, LogChunk, StepLogs};
use async_trait::async_trait;
use sqlx::postgres::PgBindIterExt;
use std::collections::{BTreeMap, BTreeSet};
use uuid::Uuid;

const APPEND_LOGS: &str = "WITH put AS (INSERT INTO step_logs (run, ix, dispatch, byte_at, bytes) \
     SELECT * FROM unnest($1::uuid[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bytea[]) AS u \
     ON CONFLICT DO NOTHING) \
     SELECT refuse($6, 'there is no run ' || u.run) FROM unnest($1::uuid[]) AS u (run) \
     WHERE NOT EXISTS (SELECT FROM runs r WHERE r.id = u.run)";

#[async_trait]
impl StepLogs for PostgresStore {
    async fn append_logs(&self, chunks: Vec<LogChunk>) -> Result<()> {
        // The first of several for one place stays; in one order, so that nobody waits in a ring.
        let mut pieces: BTreeMap<(RunId, StepIx, DispatchNo, i64), &LogChunk> = BTreeMap::new();
        for chunk in &chunks {
            let place = (chunk.run, chunk.step, chunk.dispatch, chunk.offset.cast_signed());
            pieces.entry(place).or_insert(chunk);
        }
        if pieces.is_empty() {
            return Ok(());
        }
        let statement = Statement::new(APPEND_LOGS)
            .with(pieces.keys().map(|place| place.0.0).bind_iter())
            .with(pieces.keys().map(|place| i64::from(place.1.0)).bind_iter())
            .with(pieces.keys().map(|place| i64::from(place.2.0)).bind_iter())
            .with(pieces.keys().map(|place| place.3).bind_iter())
            .with(pieces.values().map(|chunk| &chunk.bytes[..]).bind_iter())
            .with(NOT_FOUND);
        self.write("append_logs", statement).await.map(drop)
    }

    async fn logs(
        &self,
        run: RunId,
        step: StepIx,
        (dispatch, offset): (DispatchNo, u64),
        limit: u32,
    ) -> Result<Vec<LogChunk>> {
        let statement = Statement::new(
            "SELECT dispatch, byte_at, bytes FROM step_logs WHERE run = $1 AND ix = $2 \
             AND (dispatch, byte_at) >= ($3, $4) ORDER BY dispatch, byte_at LIMIT $5",
        );
        let statement = statement
            .with(run.0)
            .with(i64::from(step.0))
            .with(i64::from(dispatch.0))
            .with(bound(offset))
            .with(i64::from(limit));
        let rows = self.read("logs", statement).await?;
        let chunks = all(&rows, |row| {
            let mut cells = Cells::of(row);
            let (dispatch, offset, bytes) = (cells.dispatch()?, cells.unsigned()?, cells.bytes()?);
            Ok(LogChunk { run, step, dispatch, offset, bytes })
        });
        chunks.map_err(|failed| failed.of("logs"))
    }
}

#[async_trait]
impl DeadLetters for PostgresStore {
    async fn bury(&self, letters: Vec<DeadLetter>) -> Result<()> {
        if letters.is_empty() {
            return Ok(());
        }
        let mut statement = Statement::new("");
        let letters: Vec<&DeadLetter> = letters.iter().collect();
        let text = put_dead_letters(&mut statement, &letters, self.clock.given(), None);
        statement.say(text);
        self.write("bury", statement).await.map(drop)
    }

    async fn dead_letters(&self, after: u64, limit: u32) -> Result<Vec<DeadLetter>> {
        let statement = Statement::new(
            "SELECT id, inlet, project, run, reason, headers, bytes, at FROM dead_letters WHERE id > $1 \
             ORDER BY id LIMIT $2",
        );
        let statement = statement.with(bound(after)).with(i64::from(limit));
        let rows = self.read("dead_letters", statement).await?;
        let letters = all(&rows, |row| {
            let mut cells = Cells::of(row);
            Ok(DeadLetter {
                id: cells.unsigned()?,
                inlet: cells.text()?,
                project: cells.next::<Option<&str>>()?.map(Project::new).transpose().map_err(Failed::corrupt)?,
                run: cells.next::<Option<Uuid>>()?.map(RunId),
                reason: cells.text()?,
                headers: from_json(cells.slice()?)?,
                bytes: cells.bytes()?,
                at: cells.time()?,
            })
        });
        letters.map_err(|failed| failed.of("dead_letters"))
    }

    async fn drop_dead_letters(&self, ids: &[u64]) -> Result<Vec<u64>> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let statement = Statement::new("DELETE FROM dead_letters WHERE id = ANY ($1::bigint[]) RETURNING id");
        let rows = self.write("drop_dead_letters", statement.with(ids.iter().map(|id| bound(*id)).bind_iter())).await?;
        let dropped = all(&rows, |row| Cells::of(row).unsigned()).map_err(|failed| failed.of("drop_dead_letters"))?;
        let mut dropped: BTreeSet<u64> = dropped.into_iter().collect();
        Ok(ids.iter().copied().filter(|id| dropped.remove(id)).collect())
    }
}

/// Keeps what nothing could be done with: the text, once its arguments are placed. `only`: the letters' partitions,
/// and what must hold of one.
pub(crate) fn put_dead_letters(
    statement: &mut Statement,
    letters: &[&DeadLetter],
    clock: Option<i64>,
    only: Option<(Place, &str)>,
) -> String {
    let inlet = statement.place(letters.iter().map(|letter| letter.inlet.as_bytes()).bind_iter());
    let project =
        statement.place(letters.iter().map(|letter| letter.project.as_ref().map(Project::as_str)).bind_iter());
    let run = statement.place(letters.iter().map(|letter| letter.run.map(|run| run.0)).bind_iter());
    let headers = statement.place(letters.iter().map(|letter| to_json(&letter.headers)).bind_iter());
    let reason = statement.place(letters.iter().map(|letter| letter.reason.as_bytes()).bind_iter());
    let bytes = statement.place(letters.iter().map(|letter| &letter.bytes[..]).bind_iter());
    let at = statement.place(clock);
    let (array, column, filter) = match only {
        Some((partition, filter)) => (format!(", {partition}::integer[]"), ", partition", format!(" WHERE {filter}")),
        None => (String::new(), "", String::new()),
    };
    format!(
        "INSERT INTO dead_letters (at, inlet, project, run, reason, headers, bytes) \
         SELECT now_ms({at}::bigint), u.inlet, u.project, u.run, u.reason, u.headers, u.bytes \
         FROM unnest({inlet}::bytea[], {project}::text[], {run}::uuid[], {reason}::bytea[], {headers}::bytea[], \
         {bytes}::bytea[]{array}) AS u (inlet, project, run, reason, headers, bytes{column}){filter}"
    )
}
