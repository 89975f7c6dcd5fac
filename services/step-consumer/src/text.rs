//! What a running call prints and says, gathered so that it is written seldom.

use bytes::{Bytes, BytesMut};
use std::time::Duration;
use tokio::time::Instant;

/// How much of a log travels with the result.
pub(crate) const HEAD_BYTES: usize = 4096;

/// How much progress text is kept between two events.
const PROGRESS_BYTES: usize = 4096;

const TRUNCATED: &[u8] = b"\n[the rest of the log was dropped]\n";

/// A piece of a log that is ready to be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Piece {
    pub(crate) offset: u64,
    pub(crate) bytes: Bytes,
}

/// The log of one dispatch.
#[derive(Debug, Default)]
pub(crate) struct Log {
    head: BytesMut,
    waiting: BytesMut,
    /// Where `waiting` stands in the dispatch's log.
    offset: u64,
    truncated: bool,
}

impl Log {
    /// Adds what the worker printed at `offset`. What came before is skipped; a gap stays a gap.
    pub(crate) fn push(&mut self, offset: u64, data: &Bytes, limit: u64) -> Option<Piece> {
        let end = self.end();
        let gap = (offset > end && !self.truncated).then(|| {
            let piece = self.take(true);
            self.offset = offset;
            piece
        });
        let known = usize::try_from(end.saturating_sub(offset)).unwrap_or(usize::MAX);
        if known >= data.len() || self.truncated {
            return gap.flatten();
        }
        let mut new = &data[known..];
        let room = usize::try_from(limit.saturating_sub(self.end())).unwrap_or(usize::MAX);
        if new.len() > room {
            new = &new[..room];
            self.truncated = true;
        }
        let head = new.len().min(HEAD_BYTES - self.head.len());
        self.head.extend_from_slice(&new[..head]);
        self.waiting.extend_from_slice(new);
        if self.truncated {
            self.waiting.extend_from_slice(TRUNCATED);
        }
        gap.flatten()
    }

    /// Where the next byte goes.
    fn end(&self) -> u64 {
        self.offset + self.waiting.len() as u64
    }

    /// How much waits to be written.
    pub(crate) fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// What can be written: all at the end, else up to the last whole character.
    pub(crate) fn take(&mut self, at_end: bool) -> Option<Piece> {
        let len = if at_end { self.waiting.len() } else { whole_characters(&self.waiting) };
        if len == 0 {
            return None;
        }
        let piece = Piece { offset: self.offset, bytes: self.waiting.split_to(len).freeze() };
        self.offset += len as u64;
        Some(piece)
    }

    /// The first bytes of the log.
    pub(crate) fn head(&mut self) -> Bytes {
        self.head.split().freeze()
    }
}

/// The length without a character that has only begun.
fn whole_characters(bytes: &[u8]) -> usize {
    let tail = bytes.len().saturating_sub(3);
    for start in (tail..bytes.len()).rev() {
        let expected = match bytes[start] {
            0xC0..=0xDF => 2,
            0xE0..=0xEF => 3,
            0xF0..=0xF7 => 4,
            0x80..=0xBF => continue,
            _ => 1,
        };
        return if start + expected > bytes.len() { start } else { bytes.len() };
    }
    bytes.len()
}

/// The messages of one dispatch, coalesced.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    waiting: String,
    offset: u64,
    sent_at: Option<Instant>,
}

impl Progress {
    /// Adds a message, as a line.
    pub(crate) fn push(&mut self, message: &str) {
        let mut room = PROGRESS_BYTES.saturating_sub(self.waiting.len() + 1);
        if message.is_empty() || room == 0 {
            return;
        }
        while !message.is_char_boundary(room.min(message.len())) {
            room -= 1;
        }
        self.waiting.push_str(&message[..room.min(message.len())]);
        self.waiting.push('\n');
    }

    /// When what waits may be sent.
    pub(crate) fn due(&self, started: Instant, every: Duration) -> Option<Instant> {
        (!self.waiting.is_empty()).then(|| self.sent_at.unwrap_or(started) + every)
    }

    /// What waits, and where it stands in the dispatch's stream.
    pub(crate) fn take(&mut self, now: Instant) -> Option<(u64, String)> {
        if self.waiting.is_empty() {
            return None;
        }
        let text = std::mem::take(&mut self.waiting);
        let offset = self.offset;
        self.offset += text.len() as u64;
        self.sent_at = Some(now);
        Some((offset, text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn push(log: &mut Log, offset: u64, text: &str) -> Option<Piece> {
        log.push(offset, &Bytes::copy_from_slice(text.as_bytes()), 100)
    }

    #[test]
    fn text_is_whole_and_in_order_though_pieces_repeat_or_break_a_character() {
        let mut log = Log::default();
        push(&mut log, 0, "grü");
        push(&mut log, 2, "üße");
        let piece = log.take(false).unwrap();
        assert_eq!((piece.offset, &piece.bytes[..]), (0, "grüße".as_bytes()));
        let euro = "€".as_bytes();
        log.push(7, &Bytes::copy_from_slice(&euro[..2]), 100);
        assert_eq!(log.take(false), None, "a character that has only begun waits");
        log.push(9, &Bytes::copy_from_slice(&euro[2..]), 100);
        assert_eq!(log.take(false).unwrap().bytes, euro);
        assert_eq!(log.head(), "grüße€".as_bytes());
    }

    #[test]
    fn a_gap_is_kept_and_a_flood_is_cut() {
        let mut log = Log::default();
        push(&mut log, 0, "a");
        let before = push(&mut log, 50, "b").unwrap();
        assert_eq!((before.offset, &before.bytes[..]), (0, &b"a"[..]));
        push(&mut log, 51, &"x".repeat(500));
        let rest = log.take(true).unwrap();
        assert_eq!(rest.offset, 50);
        assert!(rest.bytes.ends_with(TRUNCATED));
        push(&mut log, 551, "more");
        assert_eq!(log.take(true), None);
    }

    #[test]
    fn bytes_that_are_no_text_pass_too() {
        let mut log = Log::default();
        log.push(0, &Bytes::from_static(&[0x80, 0x80, 0x80, 0x80, 0, 0xFF]), 100);
        assert_eq!(log.take(false).unwrap().bytes.len(), 6);
    }

    #[tokio::test(start_paused = true)]
    async fn progress_is_coalesced_and_bounded() {
        let now = Instant::now();
        let mut progress = Progress::default();
        assert_eq!(progress.due(now, Duration::from_secs(1)), None);
        progress.push("one");
        progress.push("two");
        assert_eq!(progress.due(now, Duration::from_secs(1)), Some(now + Duration::from_secs(1)));
        assert_eq!(progress.take(now), Some((0, "one\ntwo\n".to_owned())));
        (0..1000).for_each(|_| progress.push("grün"));
        let (offset, text) = progress.take(now).unwrap();
        assert_eq!(offset, 8);
        assert!(text.len() <= PROGRESS_BYTES);
    }
}
