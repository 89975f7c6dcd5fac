//! What the gateway reads.

use super::Result;
use crate::PostgresStore;
use crate::detail::{label_hash, step_state};
use crate::error::Failed;
use crate::rows::{Cells, all, bound, run_columns, run_row, step_row};
use crate::statement::Statement;
use aidt_domain::{OutputRef, Project, RunId, RunRow, Seq, StepIx, StepRow};
use aidt_store::{History, PayloadAt, RunFilter, RunLog, RunPage, SegmentRow, Shown};
use async_trait::async_trait;
use bytes::Bytes;
use sqlx::postgres::{PgBindIterExt, PgRow};
use std::collections::BTreeMap;
use uuid::Uuid;

/// What both lists ask of a run.
macro_rules! wanted {
    () => {
        "d.project = $1 AND ($4::bytea IS NULL OR d.plan = $4) \
         AND (cardinality($5::smallint[]) = 0 OR r.state = ANY ($5))"
    };
}

/// A project's runs, newest first.
const RUNS: &str = concat!(
    "SELECT ",
    run_columns!(),
    " FROM run_details d JOIN runs r ON r.id = d.id WHERE ",
    wanted!(),
    " AND (d.created_at, d.id) < ($2, $3) ORDER BY d.created_at DESC, d.id DESC LIMIT $6"
);

/// Those with labels: the first leads, the others are looked up.
const LABELLED_RUNS: &str = concat!(
    "SELECT ",
    run_columns!(),
    " FROM run_labels l JOIN run_details d ON d.id = l.run JOIN runs r ON r.id = l.run WHERE ",
    wanted!(),
    " AND l.hash = ($7::bigint[])[1] AND (l.created_at, l.run) < ($2, $3) AND NOT EXISTS (SELECT FROM unnest($7) AS h \
     WHERE NOT EXISTS (SELECT FROM run_labels o WHERE o.hash = h AND o.created_at = l.created_at AND o.run = l.run)) \
     ORDER BY l.created_at DESC, l.run DESC LIMIT $6"
);

/// Steps by state (place 0), and payloads by their place.
const SHOWN: &str = "SELECT 0::bigint, state, count(*), NULL::bytea FROM steps WHERE run = $1 GROUP BY state \
     UNION ALL SELECT u.place, 0::smallint, 0::bigint, substring(s.payloads FROM u.at::integer + 1 FOR u.len::integer) \
     FROM unnest($2::bigint[], $3::bigint[], $4::bigint[]) WITH ORDINALITY AS u (first_seq, at, len, place) \
     JOIN segments s ON s.run = $1 AND s.first_seq = u.first_seq WHERE octet_length(s.payloads) >= u.at + u.len";

#[async_trait]
impl History for PostgresStore {
    async fn run(&self, project: &Project, run: RunId) -> Result<Option<RunRow>> {
        let statement = Statement::new(concat!(
            "SELECT ",
            run_columns!(),
            " FROM run_details d JOIN runs r ON r.id = d.id WHERE d.id = $1 AND d.project = $2"
        ));
        let rows = self.read("run", statement.with(run.0).with(project.as_str())).await?;
        let row = rows.first().map(|row| run_row(row, self.partitions)).transpose();
        row.map_err(|failed| failed.of("run"))
    }

    async fn runs(&self, filter: &RunFilter, after: Option<RunId>, limit: u32) -> Result<RunPage> {
        let mut before = match after {
            None => (i64::MAX, Uuid::max()),
            Some(run) => (self.created_at(run).await?, run.0),
        };
        let mut page = RunPage::default();
        let wanted = i64::from(limit) + 1;
        loop {
            let rows = self.read("runs", runs_statement(filter, before, wanted)).await?;
            let read = all(&rows, |row| run_row(row, self.partitions)).map_err(|failed| failed.of("runs"))?;
            let full = rows.len() as u64 >= wanted.cast_unsigned();
            for row in read {
                before = (row.created_at.0, row.id.0);
                // The hashes of two labels may be equal.
                if !filter.labels.iter().all(|(key, value)| row.labels.get(key) == Some(value)) {
                    continue;
                }
                if page.items.len() >= limit as usize {
                    page.next = page.items.last().map(|last| last.id);
                    return Ok(page);
                }
                page.items.push(row);
            }
            if !full {
                return Ok(page);
            }
        }
    }

    async fn steps(&self, run: RunId, after: Option<StepIx>, limit: u32) -> Result<Vec<StepRow>> {
        let statement = Statement::new(
            "SELECT ix, state, dispatch, detail FROM steps WHERE run = $1 AND ix > $2 ORDER BY ix LIMIT $3",
        );
        let after = after.map_or(-1, |step| i64::from(step.0));
        let rows = self.read("steps", statement.with(run.0).with(after).with(i64::from(limit))).await?;
        all(&rows, |row| step_row(&mut Cells::of(row))).map_err(|failed| failed.of("steps"))
    }

    async fn segments(&self, run: RunId, after: Seq, limit: u32) -> Result<Vec<SegmentRow>> {
        self.segments_from("segments", run, Seq(after.0.saturating_add(1)), limit).await
    }

    async fn payload(&self, at: &PayloadAt) -> Result<Bytes> {
        let read = self.payloads(std::slice::from_ref(at)).await?;
        read.into_iter().next().ok_or_else(|| Failed::corrupt("a payload was not answered").of("payload"))
    }

    async fn shown(&self, run: RunId, payloads: &[OutputRef]) -> Result<Shown> {
        let statement = Statement::new(SHOWN)
            .with(run.0)
            .with(payloads.iter().map(|at| at.segment.0.cast_signed()).bind_iter())
            .with(payloads.iter().map(|at| i64::from(at.offset)).bind_iter())
            .with(payloads.iter().map(|at| i64::from(at.len)).bind_iter());
        let rows = self.read("shown", statement).await?;
        shown(&rows, run, payloads).map_err(|failed| failed.of("shown"))
    }
}

fn shown(rows: &[PgRow], run: RunId, payloads: &[OutputRef]) -> std::result::Result<Shown, Failed> {
    let mut shown = Shown::default();
    let mut read = BTreeMap::new();
    for row in rows {
        let mut cells = Cells::of(row);
        let (place, state, count): (i64, i16, i64) = (cells.next()?, cells.next()?, cells.next()?);
        if place > 0 {
            read.insert(place, cells.bytes()?);
        } else {
            shown.states.insert(step_state(state)?, count.cast_unsigned());
        }
    }
    for (place, at) in (1_i64..).zip(payloads) {
        let bytes = read.remove(&place).ok_or_else(|| {
            let (len, offset, segment) = (at.len, at.offset, at.segment);
            Failed::corrupt(format!("{run} has no payload of {len} bytes at {offset} in the segment from {segment}"))
        });
        shown.payloads.push(bytes?);
    }
    Ok(shown)
}

fn runs_statement(filter: &RunFilter, (created_at, id): (i64, Uuid), limit: i64) -> Statement {
    let text = if filter.labels.is_empty() { RUNS } else { LABELLED_RUNS };
    let statement = Statement::new(text)
        .with(filter.project.as_str())
        .with(created_at)
        .with(id)
        .with(filter.plan.as_ref().map(|plan| plan.as_bytes()))
        .with(filter.states.iter().map(|state| i16::from(state.code())).bind_iter())
        .with(limit);
    if filter.labels.is_empty() {
        return statement;
    }
    let hashes = filter.labels.iter().map(|(key, value)| label_hash(&filter.project, key, value));
    statement.with(hashes.bind_iter())
}

impl PostgresStore {
    async fn created_at(&self, run: RunId) -> Result<i64> {
        let statement = Statement::new("SELECT created_at FROM run_details WHERE id = $1").with(run.0);
        let rows = self.read("runs", statement).await?;
        let at = rows.first().ok_or_else(|| Failed::not_found(run)).and_then(|row| Cells::of(row).next());
        at.map_err(|failed| failed.of("runs"))
    }

    /// Segments from the one that holds `from` on, in order.
    pub(super) async fn segments_from(
        &self,
        operation: &'static str,
        run: RunId,
        from: Seq,
        limit: u32,
    ) -> Result<Vec<SegmentRow>> {
        let statement = Statement::new(
            "SELECT first_seq, count, events, payloads FROM segments WHERE run = $1 AND first_seq >= coalesce( \
             (SELECT max(first_seq) FROM segments WHERE run = $1 AND first_seq <= $2), 0) \
             AND first_seq + count > $2 ORDER BY first_seq LIMIT $3",
        );
        let statement = statement.with(run.0).with(bound(from.0)).with(i64::from(limit));
        let rows = self.read(operation, statement).await?;
        let segments = all(&rows, |row| {
            let mut cells = Cells::of(row);
            Ok(SegmentRow {
                run,
                first_seq: Seq(cells.unsigned()?),
                count: cells.next::<i32>()?.cast_unsigned(),
                events: cells.bytes()?,
                payloads: cells.bytes()?,
            })
        });
        segments.map_err(|failed| failed.of(operation))
    }
}
