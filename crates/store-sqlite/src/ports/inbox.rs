//! Commands.

use super::Result;
use crate::SqliteStore;
use crate::error::Failed;
use crate::rows::{Cells, bound};
use crate::write::submit;
use aidt_domain::{CommandId, PartitionId, RunId};
use aidt_store::{Inbox, InboxRow, Submission, Submitted};
use async_trait::async_trait;
use rusqlite::{Row, params};

#[async_trait]
impl Inbox for SqliteStore {
    async fn submit(&self, submission: Submission) -> Result<Submitted> {
        self.check_partition("submit", submission.row.partition)?;
        self.core.write("submit", move |tx| submit(tx, &submission)).await
    }

    async fn inbox(&self, partition: PartitionId, after: u64, limit: u32) -> Result<Vec<InboxRow>> {
        self.load_now("inbox", |connection| {
            let sql = "SELECT seq, id, project, run, partition, command, at FROM inbox \
                       WHERE partition = ?1 AND seq > ?2 ORDER BY seq LIMIT ?3";
            let mut statement = connection.prepare_cached(sql)?;
            let rows = statement.query_and_then(params![partition.0, bound(after), limit], inbox_row)?;
            rows.collect()
        })
    }

    async fn pending(&self, ids: &[CommandId]) -> Result<Vec<CommandId>> {
        let ids = ids.to_vec();
        self.readers
            .read("pending", move |connection| {
                let mut there = connection.prepare_cached("SELECT 1 FROM inbox WHERE id = ?1")?;
                let mut pending = Vec::new();
                for id in ids {
                    if there.exists([id.0.as_bytes()])? {
                        pending.push(id);
                    }
                }
                Ok(pending)
            })
            .await
    }

    async fn waiting(&self, run: RunId) -> Result<Vec<InboxRow>> {
        self.readers
            .read("waiting", move |connection| {
                let sql = "SELECT seq, id, project, run, partition, command, at FROM inbox \
                           WHERE run = ?1 ORDER BY seq";
                let mut statement = connection.prepare_cached(sql)?;
                let rows = statement.query_and_then([run.0.as_bytes()], inbox_row)?;
                rows.collect()
            })
            .await
    }
}

fn inbox_row(row: &Row<'_>) -> std::result::Result<InboxRow, Failed> {
    let mut cells = Cells::of(row);
    Ok(InboxRow {
        seq: cells.unsigned()?,
        id: CommandId(cells.uuid()?),
        project: cells.project()?,
        run: cells.run()?,
        partition: PartitionId(cells.next()?),
        command: cells.bytes()?,
        at: cells.time()?,
    })
}
