//! Several entries in one message body.

use crate::wire::{Writer, check_format};
use crate::{DecodeError, v1};
use bytes::Bytes;
use prost::Message;

const WHAT: &str = "a shared envelope";

/// Key of `Shared.count`, a varint. It follows the format at once, where every other envelope has a
/// field of bytes: so one byte tells them apart.
const COUNT_KEY: u8 = 3 << 3;

/// One message body for these entries (encoded steps of one pool, or commands for one partition). A
/// single entry is its own body.
#[must_use]
pub fn encode_shared(mut entries: Vec<Bytes>) -> Bytes {
    if entries.len() == 1 {
        return entries.pop().expect("there is one");
    }
    let mut w = Writer::envelope(16 + entries.iter().map(|e| e.len() + 6).sum::<usize>());
    w.uint_always(3, entries.len() as u64);
    entries.iter().for_each(|entry| w.bytes_always(2, entry));
    w.finish()
}

/// The entries of a message body, each to be decoded on its own: one bad entry spoils no other. They share
/// the memory of `body`. Works for what [`encode_shared`] made and for a single envelope.
pub fn decode_entries(body: Bytes) -> Result<Vec<Bytes>, DecodeError> {
    let read = check_format(WHAT, &body)?;
    if body.get(read) != Some(&COUNT_KEY) {
        return Ok(vec![body]);
    }
    let shared = v1::Shared::decode(body).map_err(|e| DecodeError::malformed_by(WHAT, e))?;
    if shared.entries.len() as u64 != u64::from(shared.count) {
        return Err(DecodeError::invalid(WHAT, "count"));
    }
    Ok(shared.entries)
}
