//! The owner's side: everything here runs on the caller's thread.

use super::Result;
use crate::SqliteStore;
use crate::error::Failed;
use crate::read::{load, payload, segments_from};
use crate::rows::Cells;
use crate::write;
use aidt_domain::{BatchId, DispatchNo, Epoch, OutSeq, PartitionId, ProcessId, RunId, Seq, StepIx, Timestamp};
use aidt_store::{
    Batch, Claim, Commit, Kind, OpenStep, PartitionRow, PayloadAt, RunLog, SegmentRow, StoredRun, TimerRow,
};
use async_trait::async_trait;
use bytes::Bytes;
use rusqlite::{OptionalExtension, Row, params};
use uuid::Uuid;

macro_rules! partition_columns {
    () => {
        "id, epoch, owner, published, out_seq, cursor, batch_id, format, incarnation"
    };
}

#[async_trait]
impl RunLog for SqliteStore {
    fn partitions(&self) -> u16 {
        self.core.partitions
    }

    async fn now(&self) -> Result<Timestamp> {
        Ok(self.core.clock.now())
    }

    async fn take(&self, partition: PartitionId, owner: ProcessId, format: u32) -> Result<PartitionRow> {
        self.check_partition("take", partition)?;
        self.core.write_now("take", move |tx| {
            let sql = concat!(
                "UPDATE partitions SET epoch = epoch + 1, owner = ?2, format = ?3 \
                 WHERE id = ?1 AND format <= ?3 RETURNING ",
                partition_columns!()
            );
            let rows = tx.all(sql, params![partition.0, owner.0.as_bytes(), format], partition_row)?;
            rows.into_iter().next().ok_or_else(|| {
                let message = format!(
                    "partition {partition} holds rows of a newer format than {format}, which this process reads"
                );
                Failed::Said(Kind::Conflict, message)
            })
        })
    }

    async fn partition(&self, partition: PartitionId) -> Result<PartitionRow> {
        self.check_partition("partition", partition)?;
        self.load_now("partition", |connection| {
            let sql = concat!("SELECT ", partition_columns!(), " FROM partitions WHERE id = ?1");
            let mut statement = connection.prepare_cached(sql)?;
            let mut rows = statement.query([partition.0])?;
            let row = rows.next()?.ok_or_else(|| Failed::corrupt(format!("partition {partition} has no row")))?;
            partition_row(row)
        })
    }

    async fn open_dispatches(&self, partition: PartitionId) -> Result<Vec<OpenStep>> {
        self.load_now("open_dispatches", |connection| {
            // The state is asked for twice: in the words of the index, so that it is used.
            let sql = "SELECT d.id, s.ix, s.dispatch FROM steps s JOIN run_details d ON d.no = s.run \
                       WHERE s.partition = ?1 AND s.state >= 2 AND s.state <= 4 AND s.state <> 2 ORDER BY s.run, s.ix";
            let mut statement = connection.prepare_cached(sql)?;
            let rows = statement.query_and_then([partition.0], open_step)?;
            rows.collect()
        })
    }

    async fn ready(&self, partition: PartitionId, after: Option<(RunId, StepIx)>, limit: u32) -> Result<Vec<OpenStep>> {
        self.load_now("ready", |connection| {
            let (run, step) = match after {
                None => (-1, 0),
                Some((run, step)) => {
                    let mut number = connection.prepare_cached("SELECT no FROM run_details WHERE id = ?1")?;
                    let number = number.query_row([run.0.as_bytes()], |row| row.get(0)).optional()?;
                    (number.ok_or_else(|| Failed::not_found(run))?, step.0)
                }
            };
            let sql = "SELECT d.id, s.ix, s.dispatch FROM steps s JOIN run_details d ON d.no = s.run \
                       WHERE s.partition = ?1 AND s.state >= 2 AND s.state <= 4 AND s.state = 2 \
                       AND (s.run, s.ix) > (?2, ?3) ORDER BY s.run, s.ix LIMIT ?4";
            let mut statement = connection.prepare_cached(sql)?;
            let rows = statement.query_and_then(params![partition.0, run, step, limit], open_step)?;
            rows.collect()
        })
    }

    async fn timers(
        &self,
        partition: PartitionId,
        until: Timestamp,
        limit: u32,
    ) -> Result<(Vec<TimerRow>, Option<Timestamp>)> {
        self.load_now("timers", |connection| {
            let sql = "SELECT t.at, d.id, t.ix FROM timers t JOIN run_details d ON d.no = t.run \
                       WHERE t.partition = ?1 ORDER BY t.at LIMIT ?2";
            let mut statement = connection.prepare_cached(sql)?;
            let rows = statement.query_and_then(params![partition.0, i64::from(limit) + 1], timer_row)?;
            let (mut due, mut next) = (Vec::new(), None);
            for timer in rows {
                let timer = timer?;
                if timer.at > until || due.len() >= limit as usize {
                    next = Some(timer.at);
                    break;
                }
                due.push(timer);
            }
            Ok((due, next))
        })
    }

    async fn claims(&self, partition: PartitionId) -> Result<Vec<Claim>> {
        self.load_now("claims", |connection| {
            let sql = "SELECT d.id, s.ix, s.dispatch, c.process FROM steps s \
                       JOIN claims c ON c.run = s.run AND c.ix = s.ix AND c.dispatch = s.dispatch \
                       JOIN run_details d ON d.no = s.run \
                       WHERE s.partition = ?1 AND s.state >= 2 AND s.state <= 4 AND s.state <> 2 ORDER BY s.run, s.ix";
            let mut statement = connection.prepare_cached(sql)?;
            let rows = statement.query_and_then([partition.0], |row| {
                let OpenStep { run, step, dispatch } = open_step(row)?;
                let process = row.get::<_, Option<[u8; 16]>>(3)?;
                let process = process.map(|bytes| ProcessId(Uuid::from_bytes(bytes)));
                Ok(Claim { run, step, dispatch, process })
            })?;
            rows.collect::<std::result::Result<_, Failed>>()
        })
    }

    async fn ask_to_stop(&self, claims: &[(RunId, StepIx, DispatchNo)]) -> Result<()> {
        let claims = claims.to_vec();
        self.core.write_now("ask_to_stop", move |tx| {
            for (run, step, dispatch) in claims {
                if let Some(number) = tx.number(run)? {
                    let sql = "UPDATE claims SET stop = 1 WHERE run = ?1 AND ix = ?2 AND dispatch = ?3";
                    tx.execute(sql, params![number, step.0, dispatch.0])?;
                }
            }
            Ok(())
        })
    }

    async fn load(&self, runs: &[RunId]) -> Result<Vec<StoredRun>> {
        self.load_now("load", |connection| {
            // One transaction: rows of a run and of its steps belong together.
            let tx = connection.unchecked_transaction()?;
            runs.iter().filter_map(|run| load(&tx, *run).transpose()).collect()
        })
    }

    async fn payloads(&self, at: &[PayloadAt]) -> Result<Vec<Bytes>> {
        self.load_now("payloads", |connection| at.iter().map(|at| payload(connection, at)).collect())
    }

    async fn segment(&self, run: RunId, seq: Seq) -> Result<SegmentRow> {
        self.load_now("segment", |connection| {
            let found = segments_from(connection, run, seq, 1)?.into_iter().next();
            found
                .filter(|segment| segment.first_seq <= seq)
                .ok_or_else(|| Failed::not_found(format!("event {seq} of {run}")))
        })
    }

    async fn commit(&self, batches: Vec<Batch>) -> Result<Commit> {
        for batch in &batches {
            self.check_partition("commit", batch.partition)?;
        }
        self.core.write_now("commit", move |tx| write::commit(tx, &batches))
    }
}

fn partition_row(row: &Row<'_>) -> std::result::Result<PartitionRow, Failed> {
    let mut cells = Cells::of(row);
    Ok(PartitionRow {
        id: PartitionId(cells.next()?),
        epoch: Epoch(cells.unsigned()?),
        owner: cells.next::<Option<[u8; 16]>>()?.map(|bytes| ProcessId(Uuid::from_bytes(bytes))),
        published: OutSeq(cells.unsigned()?),
        out_seq: OutSeq(cells.unsigned()?),
        cursor: cells.next()?,
        batch_id: BatchId(cells.unsigned()?),
        format: cells.next()?,
        incarnation: cells.next()?,
    })
}

fn open_step(row: &Row<'_>) -> std::result::Result<OpenStep, Failed> {
    let mut cells = Cells::of(row);
    Ok(OpenStep { run: cells.run()?, step: StepIx(cells.next()?), dispatch: DispatchNo(cells.next()?) })
}

fn timer_row(row: &Row<'_>) -> std::result::Result<TimerRow, Failed> {
    let mut cells = Cells::of(row);
    let (at, run) = (cells.time()?, cells.run()?);
    // The run's own timer stands at -1.
    Ok(TimerRow { at, run, step: u32::try_from(cells.next::<i64>()?).ok().map(StepIx) })
}
