//! What the owner and the gateway both read of a run.

use crate::error::Failed;
use crate::rows::{Cells, bound, run_columns, run_row, step_columns, step_row};
use aidt_domain::{RunId, Seq};
use aidt_store::{PayloadAt, SegmentRow, StoredRun};
use bytes::Bytes;
use rusqlite::{Connection, OptionalExtension, Row, params};

/// A run's row with all its steps'.
pub(crate) fn load(connection: &Connection, run: RunId) -> Result<Option<StoredRun>, Failed> {
    let sql = concat!(
        "SELECT ",
        run_columns!(),
        ", d.no AS no FROM run_details d JOIN runs r ON r.no = d.no WHERE d.id = ?1"
    );
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query([run.0.as_bytes()])?;
    let Some(found) = rows.next()? else { return Ok(None) };
    let (number, row): (i64, _) = (found.get("no")?, run_row(found)?);
    let sql = concat!("SELECT ", step_columns!(), " FROM steps s WHERE s.run = ?1 ORDER BY s.ix");
    let mut statement = connection.prepare_cached(sql)?;
    let steps = statement.query_and_then([number], step_row)?.collect::<Result<_, Failed>>()?;
    Ok(Some(StoredRun { row, steps }))
}

/// Segments from the one that holds `from` on, in order.
pub(crate) fn segments_from(
    connection: &Connection,
    run: RunId,
    from: Seq,
    limit: u32,
) -> Result<Vec<SegmentRow>, Failed> {
    let sql = "SELECT s.first_seq, s.count, s.events, s.payloads FROM run_details d \
               JOIN segments s ON s.run = d.no WHERE d.id = ?1 AND s.first_seq >= coalesce( \
               (SELECT max(first_seq) FROM segments WHERE run = d.no AND first_seq <= ?2), 0) \
               AND s.first_seq + s.count > ?2 ORDER BY s.first_seq LIMIT ?3";
    let mut statement = connection.prepare_cached(sql)?;
    let rows = statement.query_and_then(params![run.0.as_bytes(), bound(from.0), limit], |row: &Row<'_>| {
        let mut cells = Cells::of(row);
        Ok(SegmentRow {
            run,
            first_seq: Seq(cells.unsigned()?),
            count: cells.next()?,
            events: cells.bytes()?,
            payloads: cells.bytes()?,
        })
    })?;
    rows.collect()
}

/// The bytes that a reference names.
pub(crate) fn payload(connection: &Connection, (run, at): &PayloadAt) -> Result<Bytes, Failed> {
    // SQLite's substr of an empty blob is NULL.
    let sql = "SELECT coalesce(substr(s.payloads, ?3 + 1, ?4), x'') FROM run_details d JOIN segments s ON s.run = d.no \
               WHERE d.id = ?1 AND s.first_seq = ?2 AND length(s.payloads) >= ?3 + ?4";
    let mut statement = connection.prepare_cached(sql)?;
    let place = params![run.0.as_bytes(), at.segment.0.cast_signed(), at.offset, at.len];
    let bytes: Option<Vec<u8>> = statement.query_row(place, |row| row.get(0)).optional()?;
    bytes.map(Bytes::from).ok_or_else(|| {
        Failed::corrupt(format!(
            "{run} has no payload of {} bytes at {} in the segment from event {}",
            at.len, at.offset, at.segment
        ))
    })
}
