//! Finds the `${{ }}` in a text.

use crate::error::{ExprError, ExprErrorKind};
use std::borrow::Cow;

/// A piece of a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Piece<'a> {
    /// As it stands.
    Text(&'a str),
    /// The source of an expression, without `${{ }}`, and its byte offset in the text.
    Expression(&'a str, usize),
}

const OPEN: &str = "${{";

/// Splits a text at its expressions.
pub(crate) fn pieces(text: &str) -> Result<Vec<Piece<'_>>, ExprError> {
    let mut pieces = Vec::new();
    let mut from = 0;
    while let Some(found) = text[from..].find(OPEN) {
        let open = from + found;
        if open > from {
            pieces.push(Piece::Text(&text[from..open]));
        }
        let start = open + OPEN.len();
        let Some(len) = expression_len(&text[start..]) else {
            let message = "this '${{' is not closed by '}}'";
            return Err(ExprError::new(ExprErrorKind::Syntax, &text[open..], message).at_offset(open));
        };
        pieces.push(Piece::Expression(&text[start..start + len], start));
        from = start + len + 2;
    }
    if from < text.len() || pieces.is_empty() {
        pieces.push(Piece::Text(&text[from..]));
    }
    Ok(pieces)
}

/// The source of the expression, if a text is exactly one `${{ }}` (white space around it aside).
#[must_use]
pub fn whole_expression(text: &str) -> Option<&str> {
    match pieces(text.trim()).ok()?.as_slice() {
        [Piece::Expression(source, _)] => Some(source.trim()),
        _ => None,
    }
}

/// Length of an expression up to the `}}` that ends it: one outside of strings and comments and of
/// the expression's own braces.
fn expression_len(source: &str) -> Option<usize> {
    let mut depth = 0_usize;
    let mut tokens = Tokens::new(source);
    while let Some((at, token)) = tokens.next_token() {
        match token {
            Token::Sign(b'{') => depth += 1,
            Token::Sign(b'}') if depth > 0 => depth -= 1,
            Token::Sign(b'}') if source.as_bytes().get(at + 1) == Some(&b'}') => return Some(at),
            Token::Sign(b'}') | Token::Unclosed => return None,
            Token::Sign(_) | Token::Word | Token::Text => {}
        }
    }
    None
}

/// How many words, numbers, strings and signs a source has.
pub(crate) fn token_count(source: &str) -> usize {
    let mut tokens = Tokens::new(source);
    std::iter::from_fn(|| tokens.next_token()).count()
}

/// The source with the line breaks within its strings written as `\\n`. CEL has none there, but in
/// `"${{ lines.join('\\n') }}"` YAML turns the two characters into one before CEL sees them.
pub(crate) fn escape_line_breaks(source: &str) -> Cow<'_, str> {
    if !source.contains(['\n', '\r']) {
        return Cow::Borrowed(source);
    }
    let mut escaped = String::with_capacity(source.len() + 8);
    let mut tokens = Tokens::new(source);
    let mut from = 0;
    while let Some((start, token)) = tokens.next_token() {
        let text = &source[start..tokens.at];
        if token == Token::Text && text.starts_with(['"', '\'']) && !is_triple_quoted(text) {
            escaped.push_str(&source[from..start]);
            escaped.push_str(&text.replace('\n', "\\n").replace('\r', "\\r"));
            from = tokens.at;
        }
    }
    escaped.push_str(&source[from..]);
    Cow::Owned(escaped)
}

fn is_triple_quoted(text: &str) -> bool {
    text.len() >= 6 && (text.starts_with("\"\"\"") || text.starts_with("'''"))
}

/// A word of CEL, as coarsely as its ends must be known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Token {
    /// A name or a number.
    Word,
    /// A string.
    Text,
    /// A string that does not end.
    Unclosed,
    /// Any other byte.
    Sign(u8),
}

/// Cuts CEL source into [`Token`]s; white space and `//` comments are skipped.
struct Tokens<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Tokens<'a> {
    fn new(source: &'a str) -> Self {
        Self { bytes: source.as_bytes(), at: 0 }
    }

    fn next_token(&mut self) -> Option<(usize, Token)> {
        loop {
            let start = self.at;
            let byte = *self.bytes.get(start)?;
            match byte {
                b' ' | b'\t' | b'\n' | b'\r' | 0x0c => self.at += 1,
                b'/' if self.bytes.get(start + 1) == Some(&b'/') => self.skip_line(),
                b'"' | b'\'' => return Some((start, self.string(false))),
                _ if is_word(byte) => return Some((start, self.word())),
                _ => {
                    self.at += 1;
                    return Some((start, Token::Sign(byte)));
                }
            }
        }
    }

    fn skip_line(&mut self) {
        let rest = &self.bytes[self.at..];
        self.at += rest.iter().position(|b| *b == b'\n').unwrap_or(rest.len());
    }

    /// A name or number, or the prefix of a string together with the string: `r'\d'`, `b"x"`.
    fn word(&mut self) -> Token {
        let start = self.at;
        while self.bytes.get(self.at).is_some_and(|b| is_word(*b)) {
            self.at += 1;
        }
        let prefix = &self.bytes[start..self.at];
        let quoted = matches!(self.bytes.get(self.at), Some(b'"' | b'\''));
        if quoted && prefix.len() <= 2 && prefix.iter().all(|b| b"rRbB".contains(b)) {
            return self.string(prefix.iter().any(|b| b"rR".contains(b)));
        }
        Token::Word
    }

    fn string(&mut self, raw: bool) -> Token {
        let rest = &self.bytes[self.at..];
        let quote = rest[0];
        let end: &[u8] = if rest.starts_with(&[quote; 3]) { &[quote; 3] } else { &[quote] };
        let mut i = end.len();
        while i < rest.len() {
            if rest[i] == b'\\' && !raw {
                i += 2;
            } else if rest[i..].starts_with(end) {
                self.at += i + end.len();
                return Token::Text;
            } else {
                i += 1;
            }
        }
        self.at = self.bytes.len();
        Token::Unclosed
    }
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte >= 0x80
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sources(text: &str) -> Vec<&str> {
        let found = pieces(text).unwrap();
        found.iter().filter_map(|p| if let Piece::Expression(s, _) = p { Some(s.trim()) } else { None }).collect()
    }

    #[test]
    fn an_expression_ends_where_cel_does() {
        assert_eq!(sources("a ${{ x }} b ${{y}}"), ["x", "y"]);
        assert_eq!(sources("${{ {'a': {'b': 1}} }}"), ["{'a': {'b': 1}}"]);
        assert_eq!(sources("${{ {'a': {'b': 1}}}}"), ["{'a': {'b': 1}}"]);
        assert_eq!(sources(r#"${{ "}}" + '\'}}' }}"#), [r#""}}" + '\'}}'"#]);
        assert_eq!(sources(r"${{ r'\' + '}}' }}"), [r"r'\' + '}}'"]);
        assert_eq!(sources("${{ '''it's }}''' }}"), ["'''it's }}'''"]);
        assert_eq!(sources("${{ 1 // it's }}\n + 2 }}"), ["1 // it's }}\n + 2"]);
        assert_eq!(sources("no ${ x } here }}"), Vec::<&str>::new());
    }

    #[test]
    fn what_is_not_closed_is_an_error() {
        for text in ["${{ x", "${{ x }", "${{ 'x }}", "${{ x } }}"] {
            let e = pieces(text).unwrap_err();
            assert_eq!((e.kind, e.offset), (ExprErrorKind::Syntax, 0), "{text}");
        }
    }

    #[test]
    fn line_breaks_in_strings_are_escaped() {
        for (source, escaped) in [
            ("a.join('\n')\n + 'x'", "a.join('\\n')\n + 'x'"),
            ("'''a\nb''' + \"c\r\n\"", "'''a\nb''' + \"c\\r\\n\""),
            ("a // it's\n + 'b'", "a // it's\n + 'b'"),
        ] {
            assert_eq!(escape_line_breaks(source), escaped);
        }
    }

    #[test]
    fn a_whole_expression_stands_alone() {
        assert_eq!(whole_expression(" ${{ a && b }}\n"), Some("a && b"));
        assert_eq!(whole_expression("${{ a }}${{ b }}"), None);
        assert_eq!(whole_expression("a"), None);
    }
}
