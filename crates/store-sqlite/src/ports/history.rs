//! What the gateway reads.

use super::Result;
use crate::SqliteStore;
use crate::error::Failed;
use crate::read::{payload, segments_from};
use crate::rows::{known, label_hash, run_columns, run_row, step_columns, step_row};
use aidt_domain::{OutputRef, Project, RunId, RunRow, Seq, StepIx, StepRow, StepState};
use aidt_store::{History, PayloadAt, RunFilter, RunPage, SegmentRow, Shown};
use async_trait::async_trait;
use bytes::Bytes;
use rusqlite::{Connection, OptionalExtension, ToSql, params};

#[async_trait]
impl History for SqliteStore {
    async fn run(&self, project: &Project, run: RunId) -> Result<Option<RunRow>> {
        let project = project.clone();
        self.readers
            .read("run", move |connection| {
                let sql = concat!(
                    "SELECT ",
                    run_columns!(),
                    " FROM run_details d JOIN runs r USING (no) WHERE d.id = ?1 AND d.project = ?2"
                );
                let mut statement = connection.prepare_cached(sql)?;
                let mut rows = statement.query(params![run.0.as_bytes(), project.as_str()])?;
                rows.next()?.map(run_row).transpose()
            })
            .await
    }

    async fn runs(&self, filter: &RunFilter, after: Option<RunId>, limit: u32) -> Result<RunPage> {
        let filter = filter.clone();
        self.readers.read("runs", move |connection| page(connection, &filter, after, limit)).await
    }

    async fn steps(&self, run: RunId, after: Option<StepIx>, limit: u32) -> Result<Vec<StepRow>> {
        self.readers
            .read("steps", move |connection| {
                let sql = concat!(
                    "SELECT ",
                    step_columns!(),
                    " FROM run_details d JOIN steps s ON s.run = d.no WHERE d.id = ?1 AND s.ix > ?2 \
                     ORDER BY s.ix LIMIT ?3"
                );
                let after = after.map_or(-1, |step| i64::from(step.0));
                let mut statement = connection.prepare_cached(sql)?;
                let rows = statement.query_and_then(params![run.0.as_bytes(), after, limit], step_row)?;
                rows.collect()
            })
            .await
    }

    async fn segments(&self, run: RunId, after: Seq, limit: u32) -> Result<Vec<SegmentRow>> {
        let from = Seq(after.0.saturating_add(1));
        self.readers.read("segments", move |connection| segments_from(connection, run, from, limit)).await
    }

    async fn payload(&self, at: &PayloadAt) -> Result<Bytes> {
        let at = at.clone();
        self.readers.read("payload", move |connection| payload(connection, &at)).await
    }

    async fn shown(&self, run: RunId, payloads: &[OutputRef]) -> Result<Shown> {
        let payloads = payloads.to_vec();
        self.readers
            .read("shown", move |connection| {
                let sql = "SELECT s.state, count(*) FROM run_details d JOIN steps s ON s.run = d.no \
                           WHERE d.id = ?1 GROUP BY s.state";
                let mut statement = connection.prepare_cached(sql)?;
                let mut rows = statement.query([run.0.as_bytes()])?;
                let mut shown = Shown::default();
                while let Some(row) = rows.next()? {
                    let state = known(StepState::from_code(row.get(0)?), "state of a step")?;
                    shown.states.insert(state, row.get::<_, i64>(1)?.cast_unsigned());
                }
                for at in payloads {
                    shown.payloads.push(payload(connection, &(run, at))?);
                }
                Ok(shown)
            })
            .await
    }
}

/// Newest first. The first label leads to its runs by its hash; the labels themselves decide.
fn page(
    connection: &Connection,
    filter: &RunFilter,
    after: Option<RunId>,
    limit: u32,
) -> std::result::Result<RunPage, Failed> {
    let before = match after {
        None => i64::MAX,
        Some(run) => {
            let mut statement = connection.prepare_cached("SELECT no FROM run_details WHERE id = ?1")?;
            let number = statement.query_row([run.0.as_bytes()], |row| row.get(0)).optional()?;
            number.ok_or_else(|| Failed::not_found(run))?
        }
    };
    let hash = filter.labels.first_key_value().map(|(key, value)| label_hash(&filter.project, key, value));
    let project = filter.project.as_str();
    let mut values: Vec<&dyn ToSql> = vec![&project, &before];
    values.extend(hash.as_ref().map(|hash| hash as &dyn ToSql));
    values.extend(filter.plan.as_ref().map(|plan| plan as &dyn ToSql));
    let mut statement = connection.prepare_cached(&page_text(filter))?;
    let mut rows = statement.query(&values[..])?;
    let mut page = RunPage::default();
    while let Some(row) = rows.next()? {
        let row = run_row(row)?;
        if !filter.labels.iter().all(|(key, value)| row.labels.get(key) == Some(value)) {
            continue;
        }
        if page.items.len() >= limit as usize {
            page.next = page.items.last().map(|last| last.id);
            break;
        }
        page.items.push(row);
    }
    Ok(page)
}

/// The query of a page, of few texts.
fn page_text(filter: &RunFilter) -> String {
    let mut text = concat!("SELECT ", run_columns!(), " FROM ").to_owned();
    let (mut next, newest) = (3, if filter.labels.is_empty() { "d.no" } else { "l.no" });
    text.push_str(if filter.labels.is_empty() {
        "run_details d CROSS JOIN runs r ON r.no = d.no"
    } else {
        "run_labels l CROSS JOIN run_details d ON d.no = l.no CROSS JOIN runs r ON r.no = l.no"
    });
    text.push_str(&format!(" WHERE d.project = ?1 AND {newest} < ?2"));
    if !filter.labels.is_empty() {
        text.push_str(&format!(" AND l.hash = ?{next}"));
        next += 1;
    }
    if filter.plan.is_some() {
        text.push_str(&format!(" AND d.plan = ?{next}"));
    }
    if !filter.states.is_empty() {
        let mut codes: Vec<u8> = filter.states.iter().map(|state| state.code()).collect();
        codes.sort_unstable();
        let codes: Vec<String> = codes.iter().map(u8::to_string).collect();
        text.push_str(&format!(" AND r.state IN ({})", codes.join(", ")));
    }
    text.push_str(&format!(" ORDER BY {newest} DESC"));
    text
}
