//! The owner's side.

use super::Result;
use crate::PostgresStore;
use crate::commit::{self, Checked};
use crate::counters::Figures;
use crate::error::Failed;
use crate::rows::{Cells, all, open_step, partition_columns, partition_row, run_row, step_row};
use crate::statement::Statement;
use aidt_domain::{DispatchNo, PartitionId, ProcessId, RunId, Seq, StepIx, Timestamp};
use aidt_store::{
    Batch, Claim, Commit, Kind, OpenStep, PartitionRow, PayloadAt, RunLog, SegmentRow, StoreError, StoredRun, TimerRow,
    appended,
};
use async_trait::async_trait;
use bytes::Bytes;
use sqlx::postgres::{PgBindIterExt, PgRow};
use std::collections::{BTreeMap, BTreeSet};

/// Rows of runs, then rows of their steps, of one snapshot: a step's has no project, and four cells of its own.
const LOAD: &str = "SELECT d.id, d.project, d.created_at, d.plan, d.detail, r.state, r.last_seq, r.detail, \
     NULL::bigint, NULL::smallint, NULL::bigint, NULL::bytea FROM unnest($1::uuid[]) AS u (id) \
     JOIN run_details d ON d.id = u.id JOIN runs r ON r.id = u.id \
     UNION ALL SELECT s.run, NULL, NULL, NULL, NULL, NULL, NULL, NULL, s.ix, s.state, s.dispatch, s.detail \
     FROM unnest($1::uuid[]) AS u (id) JOIN steps s ON s.run = u.id";

/// Where a step's own cells begin in a row of [`LOAD`].
const STEP_CELLS: usize = 8;

const PAYLOADS: &str = "SELECT u.place, substring(s.payloads FROM u.at::integer + 1 FOR u.len::integer) \
     FROM unnest($1::uuid[], $2::bigint[], $3::bigint[], $4::bigint[]) WITH ORDINALITY \
     AS u (run, first_seq, at, len, place) JOIN segments s ON s.run = u.run AND s.first_seq = u.first_seq \
     WHERE octet_length(s.payloads) >= u.at + u.len";

#[async_trait]
impl RunLog for PostgresStore {
    fn partitions(&self) -> u16 {
        self.partitions
    }

    async fn now(&self) -> Result<Timestamp> {
        let rows = self.read("now", Statement::new("SELECT now_ms($1)").with(self.clock.given())).await?;
        let now = rows.first().ok_or_else(|| Failed::corrupt("the clock was not answered"));
        let now = now.and_then(|row| Cells::of(row).time()).map_err(|failed| failed.of("now"))?;
        Ok(self.clock.seen(now))
    }

    async fn take(&self, partition: PartitionId, owner: ProcessId, format: u32) -> Result<PartitionRow> {
        self.check_partition("take", partition)?;
        // Whoever takes it gets a number that nobody has seen.
        let at_least = self.highest_epoch(partition).next();
        let statement = Statement::new(concat!(
            "UPDATE partitions SET epoch = epoch + 1, owner = $2, format = $3 ",
            "WHERE id = $1 AND format <= $3 RETURNING ",
            partition_columns!()
        ));
        let statement = statement.with(i32::from(partition.0)).with(owner.0).with(i64::from(format));
        let rows = self.write("take", statement).await?;
        let Some(row) = rows.first() else {
            let message =
                format!("partition {partition} holds rows of a newer format than {format}, which this process reads");
            return Err(StoreError::new("take", Kind::Conflict, message));
        };
        let row = partition_row(row).map_err(|failed| failed.of("take"))?;
        self.saw_epoch(partition, row.epoch, at_least).map_err(|failed| failed.of("take"))?;
        Ok(row)
    }

    async fn partition(&self, partition: PartitionId) -> Result<PartitionRow> {
        self.check_partition("partition", partition)?;
        let at_least = self.highest_epoch(partition);
        let sql = concat!("SELECT ", partition_columns!(), " FROM partitions WHERE id = $1");
        let rows = self.read("partition", Statement::new(sql).with(i32::from(partition.0))).await?;
        let row = rows.first().ok_or_else(|| Failed::corrupt(format!("partition {partition} has no row")));
        let row = row.and_then(partition_row).map_err(|failed| failed.of("partition"))?;
        self.saw_epoch(partition, row.epoch, at_least).map_err(|failed| failed.of("partition"))?;
        Ok(row)
    }

    async fn open_dispatches(&self, partition: PartitionId) -> Result<Vec<OpenStep>> {
        let statement = Statement::new(
            "SELECT run, ix, dispatch FROM steps WHERE partition = $1 AND state IN (3, 4) ORDER BY run, ix",
        );
        let rows = self.read("open_dispatches", statement.with(i32::from(partition.0))).await?;
        all(&rows, open_step).map_err(|failed| failed.of("open_dispatches"))
    }

    /// In the order of the runs' ids, which begin with their time: oldest first. (A sub-plan's stands where its
    /// hash puts it.)
    async fn ready(&self, partition: PartitionId, after: Option<(RunId, StepIx)>, limit: u32) -> Result<Vec<OpenStep>> {
        let statement = Statement::new(
            "SELECT run, ix, dispatch FROM steps WHERE partition = $1 AND state = 2 AND (run, ix) > ($2, $3) \
             ORDER BY run, ix LIMIT $4",
        );
        let (run, ix) = after.map_or((uuid::Uuid::nil(), -1), |(run, ix)| (run.0, i64::from(ix.0)));
        let statement = statement.with(i32::from(partition.0)).with(run).with(ix).with(i64::from(limit));
        let rows = self.read("ready", statement).await?;
        all(&rows, open_step).map_err(|failed| failed.of("ready"))
    }

    async fn timers(
        &self,
        partition: PartitionId,
        until: Timestamp,
        limit: u32,
    ) -> Result<(Vec<TimerRow>, Option<Timestamp>)> {
        let sql = "SELECT at, run, ix FROM timers WHERE partition = $1 ORDER BY at LIMIT $2";
        let statement = Statement::new(sql).with(i32::from(partition.0)).with(i64::from(limit) + 1);
        let rows = self.read("timers", statement).await?;
        let mut due = all(&rows, timer_row).map_err(|failed| failed.of("timers"))?;
        let reached = due.iter().position(|timer| timer.at > until).unwrap_or(due.len()).min(limit as usize);
        let next = due.get(reached).map(|timer| timer.at);
        due.truncate(reached);
        Ok((due, next))
    }

    async fn claims(&self, partition: PartitionId) -> Result<Vec<Claim>> {
        let statement = Statement::new(
            "SELECT s.run, s.ix, s.dispatch, c.process FROM steps s \
             JOIN claims c ON c.run = s.run AND c.ix = s.ix AND c.dispatch = s.dispatch \
             WHERE s.partition = $1 AND s.state IN (3, 4) ORDER BY s.run, s.ix",
        );
        let rows = self.read("claims", statement.with(i32::from(partition.0))).await?;
        let claims = all(&rows, |row| {
            let mut cells = Cells::of(row);
            let (run, step, dispatch) = (cells.run()?, cells.step()?, cells.dispatch()?);
            Ok(Claim { run, step, dispatch, process: cells.process()? })
        });
        claims.map_err(|failed| failed.of("claims"))
    }

    async fn ask_to_stop(&self, claims: &[(RunId, StepIx, DispatchNo)]) -> Result<()> {
        // In the order in which everybody locks.
        let ordered: BTreeSet<_> = claims.iter().copied().collect();
        if ordered.is_empty() {
            return Ok(());
        }
        let statement = Statement::new(
            "UPDATE claims c SET stop = true FROM unnest($1::uuid[], $2::bigint[], $3::bigint[]) \
             AS u (run, ix, dispatch) WHERE c.run = u.run AND c.ix = u.ix AND c.dispatch = u.dispatch",
        );
        let statement = statement
            .with(ordered.iter().map(|claim| claim.0.0).bind_iter())
            .with(ordered.iter().map(|claim| i64::from(claim.1.0)).bind_iter())
            .with(ordered.iter().map(|claim| i64::from(claim.2.0)).bind_iter());
        self.write("ask_to_stop", statement).await.map(drop)
    }

    async fn load(&self, runs: &[RunId]) -> Result<Vec<StoredRun>> {
        if runs.is_empty() {
            return Ok(Vec::new());
        }
        let ids: BTreeSet<RunId> = runs.iter().copied().collect();
        let statement = Statement::new(LOAD).with(ids.iter().map(|run| run.0).bind_iter());
        let rows = self.read("load", statement).await?;
        let mut loaded = stored_runs(&rows, self.partitions).map_err(|failed| failed.of("load"))?;
        Ok(runs.iter().filter_map(|run| loaded.remove(run)).collect())
    }

    async fn payloads(&self, at: &[PayloadAt]) -> Result<Vec<Bytes>> {
        if at.is_empty() {
            return Ok(Vec::new());
        }
        let statement = Statement::new(PAYLOADS)
            .with(at.iter().map(|(run, _)| run.0).bind_iter())
            .with(at.iter().map(|(_, at)| at.segment.0.cast_signed()).bind_iter())
            .with(at.iter().map(|(_, at)| i64::from(at.offset)).bind_iter())
            .with(at.iter().map(|(_, at)| i64::from(at.len)).bind_iter());
        let rows = self.read("payloads", statement).await?;
        let read = all(&rows, |row| {
            let mut cells = Cells::of(row);
            Ok((cells.next::<i64>()?, cells.bytes()?))
        });
        let mut read: BTreeMap<i64, Bytes> = read.map_err(|failed| failed.of("payloads"))?.into_iter().collect();
        let in_order = (1_i64..).zip(at).map(|(place, (run, at))| {
            read.remove(&place).ok_or_else(|| {
                let (len, offset, segment) = (at.len, at.offset, at.segment);
                let message = format!("{run} has no payload of {len} bytes at {offset} in the segment from {segment}");
                Failed::corrupt(message).of("payloads")
            })
        });
        in_order.collect()
    }

    async fn segment(&self, run: RunId, seq: Seq) -> Result<SegmentRow> {
        let found = self.segments_from("segment", run, seq, 1).await?.into_iter().next();
        found
            .filter(|segment| segment.first_seq <= seq)
            .ok_or_else(|| Failed::not_found(format!("event {seq} of {run}")).of("segment"))
    }

    async fn commit(&self, batches: Vec<Batch>) -> Result<Commit> {
        let checked = self.check(batches).await?;
        if checked.is_empty() {
            return Ok(Commit::default());
        }
        let (statement, count) = commit::statement(&checked, self.clock.given());
        let rows = self.write("commit", statement).await?;
        Figures::add(&self.figures.rows, count);
        commit::answer(&checked, &rows).map_err(|failed| failed.of("commit"))
    }
}

impl PostgresStore {
    /// Checks what can be known of the batches before the fence. One that is not valid is an error only if it is
    /// held: else it would not be written anyway, and must not keep the others from it.
    async fn check(&self, batches: Vec<Batch>) -> Result<Vec<Checked>> {
        let mut seen = BTreeSet::new();
        let mut checked = Vec::with_capacity(batches.len());
        for batch in batches {
            self.check_partition("commit", batch.partition)?;
            if !seen.insert(batch.partition) {
                let message = format!("partition {} comes twice in one transaction", batch.partition);
                return Err(StoreError::new("commit", Kind::Invalid, message));
            }
            match appended(&batch, self.partitions) {
                Ok(appended) => checked.push(Checked { batch, appended }),
                Err(invalid) if self.partition(batch.partition).await?.epoch == batch.epoch => return Err(invalid),
                Err(_) => {}
            }
        }
        Ok(checked)
    }
}

fn stored_runs(rows: &[PgRow], partitions: u16) -> std::result::Result<BTreeMap<RunId, StoredRun>, Failed> {
    let mut runs: BTreeMap<RunId, StoredRun> = BTreeMap::new();
    let mut steps: Vec<(RunId, aidt_domain::StepRow)> = Vec::new();
    for row in rows {
        let mut cells = Cells::of(row);
        let run = cells.run()?;
        if cells.is_some()? {
            runs.insert(run, StoredRun { row: run_row(row, partitions)?, steps: Vec::new() });
        } else {
            steps.push((run, step_row(&mut Cells::from(row, STEP_CELLS))?));
        }
    }
    steps.sort_unstable_by_key(|(run, step)| (*run, step.ix));
    for (run, step) in steps {
        let stored = runs.get_mut(&run).ok_or_else(|| Failed::corrupt(format!("steps of {run} have no run")))?;
        stored.steps.push(step);
    }
    Ok(runs)
}

fn timer_row(row: &PgRow) -> std::result::Result<TimerRow, Failed> {
    let mut cells = Cells::of(row);
    let (at, run) = (cells.time()?, cells.run()?);
    // The run's own timer stands at -1.
    Ok(TimerRow { at, run, step: u32::try_from(cells.next::<i64>()?).ok().map(StepIx) })
}
