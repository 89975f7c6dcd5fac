//! The text of a document, and places in it.

use crate::limits::DOCUMENT_BYTES;
use crate::{Diagnostic, Rule};
use std::ops::Range;

/// A document before it is parsed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// What errors call it: a path, as a rule.
    pub name: String,
    /// YAML or JSON.
    pub text: String,
}

impl Source {
    /// A document from what was read of a file.
    ///
    /// # Errors
    /// It is too large, or not UTF-8.
    pub fn from_bytes(name: &str, bytes: Vec<u8>) -> Result<Self, Box<Diagnostic>> {
        let size = bytes.len();
        if size > DOCUMENT_BYTES {
            return Err(Box::new(too_large(name, size)));
        }
        String::from_utf8(bytes).map(|text| Self { name: name.to_owned(), text }).map_err(|e| {
            let valid = &e.as_bytes()[..e.utf8_error().valid_up_to()];
            let line = valid.iter().filter(|b| **b == b'\n').count() + 1;
            let start = valid.iter().rposition(|b| *b == b'\n').map_or(0, |i| i + 1);
            let column = String::from_utf8_lossy(&valid[start..]).chars().count() + 1;
            let mut diagnostic = Diagnostic::new(name, Rule::Encoding, "this is not UTF-8 text");
            (diagnostic.line, diagnostic.column) = (number(line), number(column));
            diagnostic.help = Some("save the file as UTF-8".to_owned());
            Box::new(diagnostic)
        })
    }
}

pub(crate) fn too_large(name: &str, size: usize) -> Diagnostic {
    let message = format!("the document has {size} bytes; the limit is {DOCUMENT_BYTES}");
    let mut diagnostic = Diagnostic::new(name, Rule::Limit, message);
    (diagnostic.line, diagnostic.column) = (1, 1);
    diagnostic.help = Some("keep large texts in files of the repository, and let steps read them".to_owned());
    diagnostic
}

pub(crate) fn number(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}

/// A place in a text, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Span {
    pub(crate) start: usize,
    pub(crate) end: usize,
}

impl Span {
    pub(crate) fn new(start: usize, end: usize) -> Self {
        Self { start, end: end.max(start) }
    }

    pub(crate) fn range(self) -> Range<usize> {
        self.start..self.end
    }
}

/// Where the lines of a text begin.
#[derive(Debug)]
pub(crate) struct Lines<'s> {
    text: &'s str,
    starts: Vec<usize>,
}

impl<'s> Lines<'s> {
    pub(crate) fn new(text: &'s str) -> Self {
        let starts = std::iter::once(0).chain(text.match_indices('\n').map(|(i, _)| i + 1)).collect();
        Self { text, starts }
    }

    /// Line and column of a byte, from 1; columns in characters.
    pub(crate) fn position(&self, at: usize) -> (u32, u32) {
        let mut at = at.min(self.text.len());
        while !self.text.is_char_boundary(at) {
            at -= 1;
        }
        let line = self.starts.partition_point(|start| *start <= at);
        let start = self.starts[line - 1];
        (number(line), number(self.text[start..at].chars().count() + 1))
    }

    /// The byte at a line and column from 1: the inverse of [`Lines::position`].
    pub(crate) fn offset(&self, line: u32, column: u32) -> usize {
        let Some(start) = self.starts.get(line.max(1) as usize - 1) else { return self.text.len() };
        let rest = &self.text[*start..];
        let column = column.max(1) as usize - 1;
        start + rest.char_indices().nth(column).map_or(rest.len(), |(i, _)| i)
    }

    /// The lines from `first` to `last`, both counted from 1, and where they begin.
    pub(crate) fn slice(&self, first: u32, last: u32) -> (usize, &'s str) {
        let start = self.starts[(first.max(1) as usize - 1).min(self.starts.len() - 1)];
        let end = self.starts.get(last as usize).copied().unwrap_or(self.text.len());
        (start, self.text[start..end.max(start)].trim_end_matches(['\n', '\r']))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_count_characters() {
        let lines = Lines::new("a\nñb\n\nc");
        for (at, expected) in [(0, (1, 1)), (2, (2, 1)), (4, (2, 2)), (6, (3, 1)), (7, (4, 1)), (99, (4, 2))] {
            assert_eq!(lines.position(at), expected, "{at}");
        }
        assert_eq!(lines.offset(2, 2), 4);
        assert_eq!(lines.slice(2, 2), (2, "ñb"));
        assert_eq!(lines.slice(9, 9), (7, "c"));
    }

    #[test]
    fn bytes_that_are_not_utf8_are_refused_with_their_place() {
        let refused = Source::from_bytes("p.yaml", b"a: 1\nb: \xff".to_vec()).unwrap_err();
        assert_eq!((refused.rule, refused.line, refused.column), (Rule::Encoding, 2, 4));
        let refused = Source::from_bytes("p.yaml", vec![b' '; DOCUMENT_BYTES + 1]).unwrap_err();
        assert_eq!(refused.rule, Rule::Limit);
    }
}
