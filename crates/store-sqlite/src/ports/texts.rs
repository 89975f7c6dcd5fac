//! Step logs and dead letters.

use super::Result;
use crate::SqliteStore;
use crate::error::Failed;
use crate::rows::{Cells, bound};
use crate::write::put_dead_letters;
use aidt_domain::{DispatchNo, Project, RunId, StepIx};
use aidt_store::{DeadLetter, DeadLetters, LogChunk, StepLogs};
use async_trait::async_trait;
use rusqlite::params;
use uuid::Uuid;

#[async_trait]
impl StepLogs for SqliteStore {
    async fn append_logs(&self, chunks: Vec<LogChunk>) -> Result<()> {
        self.core
            .write("append_logs", move |tx| {
                for chunk in &chunks {
                    let run = tx.number(chunk.run)?.ok_or_else(|| Failed::not_found(chunk.run))?;
                    tx.execute(
                        "INSERT INTO step_logs (run, ix, dispatch, offset, bytes) VALUES (?1, ?2, ?3, ?4, ?5) \
                         ON CONFLICT DO NOTHING",
                        params![run, chunk.step.0, chunk.dispatch.0, chunk.offset.cast_signed(), &chunk.bytes[..]],
                    )?;
                }
                Ok(())
            })
            .await
    }

    async fn logs(
        &self,
        run: RunId,
        step: StepIx,
        (dispatch, offset): (DispatchNo, u64),
        limit: u32,
    ) -> Result<Vec<LogChunk>> {
        self.readers
            .read("logs", move |connection| {
                let sql = "SELECT l.dispatch, l.offset, l.bytes FROM run_details d JOIN step_logs l ON l.run = d.no \
                           WHERE d.id = ?1 AND l.ix = ?2 AND (l.dispatch, l.offset) >= (?3, ?4) \
                           ORDER BY l.dispatch, l.offset LIMIT ?5";
                let mut statement = connection.prepare_cached(sql)?;
                let from = params![run.0.as_bytes(), step.0, dispatch.0, bound(offset), limit];
                let rows = statement.query_and_then(from, |row| {
                    let mut cells = Cells::of(row);
                    let dispatch = DispatchNo(cells.next()?);
                    Ok(LogChunk { run, step, dispatch, offset: cells.unsigned()?, bytes: cells.bytes()? })
                })?;
                rows.collect()
            })
            .await
    }
}

#[async_trait]
impl DeadLetters for SqliteStore {
    async fn bury(&self, letters: Vec<DeadLetter>) -> Result<()> {
        self.core.write("bury", move |tx| put_dead_letters(tx, &letters)).await
    }

    async fn dead_letters(&self, after: u64, limit: u32) -> Result<Vec<DeadLetter>> {
        self.readers
            .read("dead_letters", move |connection| {
                let sql = "SELECT id, inlet, project, run, reason, headers, bytes, at FROM dead_letters \
                           WHERE id > ?1 ORDER BY id LIMIT ?2";
                let mut statement = connection.prepare_cached(sql)?;
                let rows = statement.query_and_then(params![bound(after), limit], |row| {
                    let mut cells = Cells::of(row);
                    Ok(DeadLetter {
                        id: cells.unsigned()?,
                        inlet: cells.next()?,
                        project: cells.next::<Option<String>>()?.and_then(|p| Project::new(&p).ok()),
                        run: cells.next::<Option<[u8; 16]>>()?.map(|bytes| RunId(Uuid::from_bytes(bytes))),
                        reason: cells.next()?,
                        headers: serde_json::from_str(&cells.next::<String>()?).unwrap_or_default(),
                        bytes: cells.bytes()?,
                        at: cells.time()?,
                    })
                })?;
                rows.collect()
            })
            .await
    }

    async fn drop_dead_letters(&self, ids: &[u64]) -> Result<Vec<u64>> {
        let ids = ids.to_vec();
        self.core
            .write("drop_dead_letters", move |tx| {
                let mut dropped = Vec::new();
                for &id in &ids {
                    if tx.execute("DELETE FROM dead_letters WHERE id = ?1", params![bound(id)])? > 0 {
                        dropped.push(id);
                    }
                }
                Ok(dropped)
            })
            .await
    }
}
