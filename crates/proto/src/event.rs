//! Segments of history: the meta of events, and their payloads apart.

use crate::field::{Fields, labels};
use crate::wire::{Writer, check_format};
use crate::{DecodeError, v1};
use aidt_domain::{
    Attempt, CommandId, Digest, DispatchNo, Event, FORMAT, Generation, OutputRef, Payload, Seq, Timestamp,
};
use bytes::{Buf, Bytes};
use prost::Message;

const FIELDS: Fields = Fields("a segment of events");

/// Names of payloads, by their number on the wire less one; never reorder.
const PAYLOADS: [&str; 5] = ["inputs", "arguments", "output", "outputs", "text"];

/// The events of one run of one transaction, ready to be stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Segment {
    /// Their meta, one after the other.
    pub events: Bytes,
    /// Their payloads, one after the other.
    pub payloads: Bytes,
    /// Where each event's payload stands.
    pub refs: Vec<Option<OutputRef>>,
}

/// Writes events, which are of one run and in order, as one segment.
///
/// # Panics
/// When a payload's name is none of the five, or the payloads are 4 GiB: both are refused long before.
#[must_use]
pub fn encode_segment(events: &[Event]) -> Segment {
    let first = events.first().map_or(Seq(0), |event| event.seq);
    let mut metas = Writer::with_capacity(256 * events.len());
    let mut payloads = Vec::with_capacity(events.iter().map(payload_len).sum());
    let mut refs = Vec::with_capacity(events.len());
    let mut meta = Writer::with_capacity(512);
    for event in events {
        let at = event.payload.as_ref().map(|payload| {
            let offset = payloads.len();
            payloads.extend_from_slice(&payload.bytes);
            place(first, offset, payload)
        });
        meta.clear();
        write_meta(&mut meta, event, at.as_ref());
        metas.delimited(&meta);
        refs.push(at);
    }
    Segment { events: metas.finish(), payloads: payloads.into(), refs }
}

fn payload_len(event: &Event) -> usize {
    event.payload.as_ref().map_or(0, |payload| payload.bytes.len())
}

fn place(segment: Seq, offset: usize, payload: &Payload) -> OutputRef {
    let short = |n: usize| u32::try_from(n).expect("payloads of one segment stay under 4 GiB");
    OutputRef {
        segment,
        offset: short(offset),
        len: short(payload.bytes.len()),
        digest: Digest::of(&payload.bytes),
        labels: payload.labels.clone(),
    }
}

fn write_meta(w: &mut Writer, event: &Event, at: Option<&OutputRef>) {
    w.uint(1, u64::from(FORMAT));
    w.uint(2, event.seq.0);
    w.int(3, event.at.0);
    w.optional(4, event.cause.as_ref().map(|cause| cause.0.as_bytes()));
    w.bytes(5, event.step.as_ref().map_or("", |step| step.as_str()));
    w.uint(6, u64::from(event.dispatch.0));
    w.uint(7, u64::from(event.attempt.0));
    w.uint(8, u64::from(event.generation.0));
    w.json(9, &event.body);
    if let (Some(payload), Some(at)) = (&event.payload, at) {
        let number = PAYLOADS.iter().position(|name| *name == payload.name);
        w.uint(10, number.expect("the name of a payload is one of five") as u64 + 1);
        w.uint(11, u64::from(at.len));
        w.bytes(12, at.digest.0);
        w.labels(13, &at.labels);
    }
}

/// Reads the events of a segment. Payloads share the memory of `payloads`.
pub fn decode_segment(events: &Bytes, payloads: &Bytes) -> Result<Vec<Event>, DecodeError> {
    let (mut metas, mut payloads) = (events.clone(), payloads.clone());
    let mut read = Vec::new();
    while metas.has_remaining() {
        let len = prost::decode_length_delimiter(&mut metas).map_err(|e| DecodeError::malformed_by(FIELDS.0, e))?;
        if len > metas.len() {
            return Err(DecodeError::malformed(FIELDS.0));
        }
        read.push(read_event(metas.split_to(len), &mut payloads)?);
    }
    if payloads.has_remaining() {
        return Err(FIELDS.invalid("payload_len"));
    }
    Ok(read)
}

fn read_event(meta: Bytes, payloads: &mut Bytes) -> Result<Event, DecodeError> {
    check_format(FIELDS.0, &meta)?;
    let meta = v1::EventMeta::decode(meta).map_err(|e| DecodeError::malformed_by(FIELDS.0, e))?;
    let payload = read_payload(&meta, payloads)?;
    let step = match meta.step.as_str() {
        "" => None,
        path => Some(FIELDS.text("step", path)?),
    };
    Ok(Event {
        seq: Seq(meta.seq),
        at: Timestamp(meta.at),
        cause: meta.cause.map(|cause| FIELDS.uuid("cause", &cause)).transpose()?.map(CommandId),
        step,
        dispatch: DispatchNo(meta.dispatch),
        attempt: Attempt(meta.attempt),
        generation: Generation(meta.generation),
        body: FIELDS.json("body", &meta.body)?,
        payload,
    })
}

fn read_payload(meta: &v1::EventMeta, payloads: &mut Bytes) -> Result<Option<Payload>, DecodeError> {
    let Some(number) = (meta.payload as usize).checked_sub(1) else {
        return if meta.payload_len == 0 { Ok(None) } else { Err(FIELDS.invalid("payload")) };
    };
    let name = *PAYLOADS.get(number).ok_or_else(|| FIELDS.invalid("payload"))?;
    let len = meta.payload_len as usize;
    if len > payloads.len() {
        return Err(FIELDS.invalid("payload_len"));
    }
    Ok(Some(Payload { name, bytes: payloads.split_to(len), labels: labels(&meta.labels) }))
}
