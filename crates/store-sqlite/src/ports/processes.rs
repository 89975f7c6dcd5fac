//! Lives of service processes.

use super::Result;
use crate::SqliteStore;
use crate::error::Failed;
use crate::rows::{Cells, bound, digest};
use crate::write::Tx;
use aidt_domain::{DispatchNo, Pool, ProcessId, RunId, StepIx, Timestamp};
use aidt_store::{CLOSED_KEPT, ProcessRow, Processed, Processes};
use async_trait::async_trait;
use rusqlite::{Row, params};
use std::collections::BTreeMap;

#[async_trait]
impl Processes for SqliteStore {
    async fn register(&self, process: ProcessRow) -> Result<()> {
        self.core.write("register", move |tx| register(tx, &process)).await
    }

    async fn heartbeat(&self, process: ProcessId) -> Result<Processed> {
        self.core
            .write("heartbeat", move |tx| {
                let id = process.0.as_bytes();
                let sql = "UPDATE processes SET heartbeat = ?2 WHERE id = ?1 AND closed = 0";
                let lost = tx.execute(sql, params![id, tx.now().0])? == 0;
                Ok(Processed { now: tx.now(), lost, cancels: cancels(tx, process)? })
            })
            .await
    }

    async fn close(&self, process: ProcessId) -> Result<()> {
        let sql = "UPDATE processes SET closed = 1 WHERE id = ?1";
        self.core.write("close", move |tx| tx.execute(sql, [process.0.as_bytes()]).map(drop)).await
    }

    async fn close_others(&self, me: ProcessId) -> Result<u32> {
        let sql = "UPDATE processes SET closed = 1 WHERE id <> ?1 AND closed = 0";
        self.core
            .write("close_others", move |tx| Ok(u32::try_from(tx.execute(sql, [me.0.as_bytes()])?).unwrap_or(u32::MAX)))
            .await
    }

    async fn live(&self, dead_after_ms: u64) -> Result<(Vec<ProcessRow>, Timestamp)> {
        let now = self.core.clock.now();
        self.readers
            .read("live", move |connection| {
                let sql = "SELECT id, service, slots, tools, format, policy_revision, heartbeat, closed \
                           FROM processes WHERE closed = 0 AND heartbeat >= ?1 ORDER BY id";
                let oldest = now.0.saturating_sub(bound(dead_after_ms));
                let mut statement = connection.prepare_cached(sql)?;
                let rows = statement.query_and_then([oldest], process_row)?;
                Ok((rows.collect::<std::result::Result<_, Failed>>()?, now))
            })
            .await
    }
}

fn register(tx: &mut Tx<'_>, process: &ProcessRow) -> std::result::Result<(), Failed> {
    let kept = i64::try_from(CLOSED_KEPT.as_millis()).expect("a day");
    let sql = "DELETE FROM processes WHERE closed = 1 AND heartbeat <= ?1";
    tx.execute(sql, [tx.now().0.saturating_sub(kept)])?;
    let slots: BTreeMap<&str, u32> = process.slots.iter().map(|(pool, slots)| (pool.as_str(), *slots)).collect();
    let slots = serde_json::to_string(&slots).expect("names and numbers are JSON");
    let tools: Vec<u8> = process.tools.iter().flat_map(|tool| tool.0).collect();
    tx.execute(
        "INSERT INTO processes (id, heartbeat, format, service, slots, tools, policy_revision) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) ON CONFLICT (id) DO UPDATE SET heartbeat = ?2, format = ?3, \
         service = ?4, slots = ?5, tools = ?6, policy_revision = ?7",
        params![
            process.id.0.as_bytes(),
            tx.now().0,
            process.format,
            process.service,
            slots,
            tools,
            process.policy_revision
        ],
    )?;
    Ok(())
}

/// Claims of the process that are asked to stop and have not ended. Those that have are asked no more.
fn cancels(tx: &mut Tx<'_>, process: ProcessId) -> std::result::Result<Vec<(RunId, StepIx, DispatchNo)>, Failed> {
    let id = process.0.as_bytes();
    let asked = tx.all(
        "SELECT c.run, c.ix, c.dispatch, d.id, s.no IS NOT NULL FROM claims c JOIN run_details d ON d.no = c.run \
         LEFT JOIN (SELECT run AS no, ix, dispatch FROM steps WHERE state IN (3, 4)) s \
         ON s.no = c.run AND s.ix = c.ix AND s.dispatch = c.dispatch \
         WHERE c.process = ?1 AND c.stop = 1 ORDER BY d.id, c.ix, c.dispatch",
        [id],
        |row| {
            let mut cells = Cells::of(row);
            let key: (i64, u32, u32) = (cells.next()?, cells.next()?, cells.next()?);
            Ok((key, cells.run()?, cells.next::<bool>()?))
        },
    )?;
    let mut cancels = Vec::new();
    for ((run, step, dispatch), id, open) in asked {
        if open {
            cancels.push((id, StepIx(step), DispatchNo(dispatch)));
        } else {
            let sql = "UPDATE claims SET stop = 0 WHERE run = ?1 AND ix = ?2 AND dispatch = ?3";
            tx.execute(sql, params![run, step, dispatch])?;
        }
    }
    Ok(cancels)
}

fn process_row(row: &Row<'_>) -> std::result::Result<ProcessRow, Failed> {
    let mut cells = Cells::of(row);
    let (id, service) = (ProcessId(cells.uuid()?), cells.next()?);
    let slots: BTreeMap<Pool, u32> = serde_json::from_str(&cells.next::<String>()?).map_err(Failed::corrupt)?;
    let tools = cells.next::<Vec<u8>>()?.chunks(32).map(digest).collect::<std::result::Result<_, _>>()?;
    let (format, policy_revision) = (cells.next()?, cells.next()?);
    let (heartbeat, closed) = (cells.time()?, cells.next()?);
    Ok(ProcessRow { id, service, slots, tools, format, policy_revision, heartbeat, closed })
}
