//! The body of a message: one or more envelopes, each to be acked on its own.
//!
//! Version 1 is one byte `1`, then for each entry a byte of flags (1: republished), its length as four
//! bytes, big endian, and the envelope. The content type says that it is one of these; a message without
//! it is taken for one bare envelope.

use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};

/// The content type of framed messages.
pub(crate) const CONTENT_TYPE: &str = "application/vnd.aidt.frame";

/// Entries of a message at most: their numbers are six bits of a tag.
pub(crate) const MAX_ENTRIES: usize = 64;

const VERSION: u8 = 1;
const REPUBLISHED: u8 = 1;

/// What an entry costs beside its envelope.
pub(crate) const ENTRY_OVERHEAD: usize = 5;

/// One of the envelopes in a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) body: Bytes,
    pub(crate) republished: bool,
}

/// Why a message has no entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unreadable {
    /// A newer process wrote it, and one will read it.
    Newer(u8),
    /// It breaks the format.
    Broken,
}

pub(crate) fn encode(entries: &[Entry]) -> Vec<u8> {
    let bytes = entries.iter().map(|entry| ENTRY_OVERHEAD + entry.body.len()).sum::<usize>();
    let mut frame = BytesMut::with_capacity(1 + bytes);
    frame.put_u8(VERSION);
    for entry in entries {
        frame.put_u8(if entry.republished { REPUBLISHED } else { 0 });
        frame.put_u32(u32::try_from(entry.body.len()).expect("an envelope is far below 4 GiB"));
        frame.put_slice(&entry.body);
    }
    frame.into()
}

/// The entries; they share the frame's memory.
pub(crate) fn decode(mut frame: Bytes) -> Result<Vec<Entry>, Unreadable> {
    match frame.try_get_u8() {
        Ok(VERSION) => {}
        Ok(newer) if newer > VERSION => return Err(Unreadable::Newer(newer)),
        _ => return Err(Unreadable::Broken),
    }
    let mut entries = Vec::new();
    while frame.has_remaining() {
        let flags = frame.get_u8();
        let length = frame.try_get_u32().map_err(|_| Unreadable::Broken)? as usize;
        if length > frame.remaining() || entries.len() == MAX_ENTRIES {
            return Err(Unreadable::Broken);
        }
        entries.push(Entry { body: frame.split_to(length), republished: flags & REPUBLISHED != 0 });
    }
    if entries.is_empty() { Err(Unreadable::Broken) } else { Ok(entries) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(body: &'static [u8], republished: bool) -> Entry {
        Entry { body: Bytes::from_static(body), republished }
    }

    /// The golden bytes: processes of several builds share a broker.
    #[test]
    fn version_1_stays_what_it_is() {
        let entries = [entry(b"ab", false), entry(b"", true)];
        let golden = b"\x01\x00\x00\x00\x00\x02ab\x01\x00\x00\x00\x00";
        assert_eq!(encode(&entries), golden);
        assert_eq!(decode(Bytes::from_static(golden)).unwrap(), entries);
    }

    #[test]
    fn a_full_frame_comes_back() {
        let entries: Vec<_> = (0..MAX_ENTRIES).map(|n| entry(b"some bytes", n % 3 == 0)).collect();
        assert_eq!(decode(encode(&entries).into()).unwrap(), entries);
    }

    #[test]
    fn what_is_cut_short_empty_or_too_full_is_broken() {
        let whole = encode(&[entry(b"ab", false), entry(b"c", false)]);
        for end in (0..whole.len()).filter(|end| *end != 8) {
            assert_eq!(decode(Bytes::copy_from_slice(&whole[..end])), Err(Unreadable::Broken), "{end}");
        }
        let crowd: Vec<_> = (0..=MAX_ENTRIES).map(|_| entry(b"", false)).collect();
        assert_eq!(decode(encode(&crowd).into()), Err(Unreadable::Broken));
        assert_eq!(decode(Bytes::from_static(b"\0")), Err(Unreadable::Broken));
    }

    #[test]
    fn a_newer_frame_is_not_taken_for_a_broken_one() {
        assert_eq!(decode(Bytes::from_static(b"\x02what comes")), Err(Unreadable::Newer(2)));
    }
}
