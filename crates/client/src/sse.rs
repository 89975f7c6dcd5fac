//! Server-sent events: bytes to frames (WHATWG HTML, "Interpreting an event stream").

/// A frame longer than this is not one of ours (an event's payload is at most 256 KiB of JSON).
const MAX_FRAME: usize = 8 * 1024 * 1024;

/// One frame, as it stood on the wire.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Frame {
    pub(crate) id: Option<String>,
    pub(crate) event: String,
    pub(crate) data: String,
}

/// A frame that never ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a frame of the event stream is larger than {MAX_FRAME} bytes")]
pub(crate) struct TooLong;

/// Takes bytes as they arrive, split anywhere.
#[derive(Debug, Default)]
pub(crate) struct Decoder {
    buffer: Vec<u8>,
    /// Up to here the buffer has been read.
    start: usize,
    /// From `start` up to here it holds no end of line.
    searched: usize,
    frame: Frame,
    /// Bytes of the frame so far.
    size: usize,
    started: bool,
    /// The line before ended with a CR at the end of the buffer: an LF that follows belongs to it.
    after_cr: bool,
}

impl Decoder {
    /// Adds what arrived.
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        self.buffer.drain(..self.start);
        self.searched -= self.start;
        self.start = 0;
        self.buffer.extend_from_slice(bytes);
    }

    /// The next whole frame, if it has arrived.
    pub(crate) fn next(&mut self) -> Result<Option<Frame>, TooLong> {
        while let Some(line) = self.line() {
            if line.is_empty() {
                if let Some(frame) = self.dispatch() {
                    return Ok(Some(frame));
                }
            } else {
                self.size += line.len();
                self.field(&line);
            }
            if self.size > MAX_FRAME {
                return Err(TooLong);
            }
        }
        if self.buffer.len() - self.start > MAX_FRAME { Err(TooLong) } else { Ok(None) }
    }

    fn line(&mut self) -> Option<String> {
        if self.after_cr && self.start < self.buffer.len() {
            self.after_cr = false;
            if self.buffer[self.start] == b'\n' {
                self.start += 1;
                self.searched = self.start;
            }
        }
        let Some(found) = self.buffer[self.searched..].iter().position(|b| matches!(b, b'\n' | b'\r')) else {
            self.searched = self.buffer.len();
            return None;
        };
        let end = self.searched + found;
        let line = String::from_utf8_lossy(&self.buffer[self.start..end]).into_owned();
        let mut next = end + 1;
        if self.buffer[end] == b'\r' {
            match self.buffer.get(next) {
                Some(b'\n') => next += 1,
                Some(_) => {}
                None => self.after_cr = true,
            }
        }
        (self.start, self.searched) = (next, next);
        Some(line)
    }

    fn field(&mut self, line: &str) {
        // A byte order mark may stand before the very first line.
        let line = if self.started { line } else { line.trim_start_matches('\u{feff}') };
        self.started = true;
        let (name, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match name {
            "event" => value.clone_into(&mut self.frame.event),
            "id" if !value.contains('\0') => self.frame.id = Some(value.to_owned()),
            "data" => {
                self.frame.data.push_str(value);
                self.frame.data.push('\n');
            }
            // A comment (no name), `retry`, or what a later version adds.
            _ => {}
        }
    }

    fn dispatch(&mut self) -> Option<Frame> {
        self.size = 0;
        let mut frame = std::mem::take(&mut self.frame);
        if frame.data.is_empty() {
            return None;
        }
        frame.data.pop();
        Some(frame)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn decode(chunks: &[&[u8]]) -> Vec<Frame> {
        let mut decoder = Decoder::default();
        let mut frames = Vec::new();
        for chunk in chunks {
            decoder.push(chunk);
            while let Some(frame) = decoder.next().unwrap() {
                frames.push(frame);
            }
        }
        frames
    }

    fn frame(id: Option<&str>, event: &str, data: &str) -> Frame {
        Frame { id: id.map(str::to_owned), event: event.into(), data: data.into() }
    }

    #[test]
    fn reads_ids_names_and_data_of_several_lines() {
        let text = "\u{feff}: hello\n\nid: 7\nevent: run_done\ndata: {\"a\":1}\n\ndata:x\ndata: y\nretry: 5\n\n";
        assert_eq!(decode(&[text.as_bytes()]), [frame(Some("7"), "run_done", "{\"a\":1}"), frame(None, "", "x\ny")]);
    }

    #[test]
    fn leaves_out_what_is_not_finished_and_what_has_no_data() {
        assert_eq!(decode(&[b"event: ping\n\ndata: half\n"]), []);
    }

    #[test]
    fn refuses_a_frame_without_an_end() {
        let mut decoder = Decoder::default();
        decoder.push(&vec![b'x'; MAX_FRAME + 1]);
        assert_eq!(decoder.next(), Err(TooLong));
    }

    proptest! {
        #[test]
        fn frames_do_not_depend_on_how_the_bytes_are_split(cuts in prop::collection::vec(0_usize..60, 0..8), end in "(\n|\r|\r\n)") {
            let text = "id: 1\nevent: a\ndata: één\ndata: z\n\n: c\nid: 2\ndata: q\n\n".replace('\n', &end);
            let bytes = text.as_bytes();
            let mut cuts: Vec<usize> = cuts.into_iter().map(|c| c.min(bytes.len())).collect();
            cuts.push(bytes.len());
            cuts.sort_unstable();
            let mut from = 0;
            let chunks: Vec<&[u8]> = cuts.iter().map(|&to| { let c = &bytes[from..to]; from = to; c }).collect();
            prop_assert_eq!(decode(&chunks), [frame(Some("1"), "a", "één\nz"), frame(Some("2"), "", "q")]);
        }
    }
}
