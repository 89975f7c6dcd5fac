//! Pieces of a run's history.

use super::ReadError;
use aidt_domain::{Event, RunId, Seq};
use aidt_proto::decode_segment;
use aidt_store::History;

/// Segments that are read at once.
const SEGMENTS_AT_ONCE: u32 = 16;

/// A piece of history.
#[derive(Debug)]
pub(crate) struct Piece {
    pub(crate) events: Vec<Event>,
    /// More follow already.
    pub(crate) more: bool,
}

/// Reads what follows `after`: at most `limit` events, and no further ones once their payloads exceed
/// `bytes`. Gapless, or an error.
pub(crate) async fn events_after(
    history: &dyn History,
    run: RunId,
    after: Seq,
    limit: usize,
    bytes: usize,
) -> Result<Piece, ReadError> {
    let mut events: Vec<Event> = Vec::new();
    let mut held = 0;
    loop {
        let last = events.last().map_or(after, |e| e.seq);
        let segments = history.segments(run, last, SEGMENTS_AT_ONCE).await?;
        for segment in &segments {
            let read =
                decode_segment(&segment.events, &segment.payloads).map_err(|e| ReadError::Undecodable(run, e))?;
            for event in read {
                let expected = events.last().map_or(after, |e| e.seq).next();
                if event.seq < expected {
                    continue;
                }
                if event.seq > expected {
                    return Err(ReadError::Gap(run, expected.0));
                }
                if events.len() == limit || held > bytes {
                    return Ok(Piece { events, more: true });
                }
                held += event.payload.as_ref().map_or(0, |p| p.bytes.len());
                events.push(event);
            }
        }
        if segments.len() < SEGMENTS_AT_ONCE as usize {
            return Ok(Piece { events, more: false });
        }
    }
}
