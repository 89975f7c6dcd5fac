//! Reads the expressions that need no interpreter: one literal, or one selector chain.
//!
//! What is not of this small grammar is left to CEL; what is, means the same there.

use crate::selector::{Link, ROOTS};
use serde_json::Value;

/// An expression without operators or calls.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Simple<'a> {
    Literal(Value),
    /// A chain by its first name and its links.
    Chain(&'a str, Vec<Link>),
}

/// `None`: it takes CEL to read this.
pub(crate) fn parse(source: &str) -> Option<Simple<'_>> {
    let mut cursor = Cursor { rest: source.trim() };
    let simple = match cursor.rest.as_bytes().first()? {
        b'\'' | b'"' => Simple::Literal(cursor.string()?.into()),
        b'-' | b'0'..=b'9' => Simple::Literal(cursor.integer()?.into()),
        _ => match cursor.name()? {
            "true" => Simple::Literal(true.into()),
            "false" => Simple::Literal(false.into()),
            "null" => Simple::Literal(Value::Null),
            root if ROOTS.contains(&root) => Simple::Chain(root, cursor.links()?),
            _ => return None,
        },
    };
    cursor.rest.is_empty().then_some(simple)
}

struct Cursor<'a> {
    rest: &'a str,
}

impl<'a> Cursor<'a> {
    fn take(&mut self, len: usize) -> &'a str {
        let (taken, rest) = self.rest.split_at(len);
        self.rest = rest;
        taken
    }

    fn eat(&mut self, c: char) -> Option<()> {
        self.rest = self.rest.strip_prefix(c)?;
        Some(())
    }

    fn name(&mut self) -> Option<&'a str> {
        let end = self.rest.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).unwrap_or(self.rest.len());
        let starts = self.rest.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
        (starts && end > 0).then(|| self.take(end))
    }

    /// A string without escapes, on one line.
    fn string(&mut self) -> Option<&'a str> {
        let quote = self.rest.chars().next().filter(|c| matches!(c, '\'' | '"'))?;
        self.eat(quote)?;
        let end = self.rest.find(quote)?;
        let text = self.take(end);
        self.eat(quote)?;
        // An empty string before another quote begins a triple-quoted one.
        let plain = !text.contains(['\\', '\n', '\r']) && !self.rest.starts_with(quote);
        plain.then_some(text)
    }

    fn digits(&mut self) -> Option<&'a str> {
        let end = self.rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(self.rest.len());
        let follows = self.rest[end..].starts_with(|c: char| c.is_ascii_alphabetic() || c == '.' || c == '_');
        (end > 0 && !follows).then(|| self.take(end))
    }

    fn integer(&mut self) -> Option<i64> {
        let negative = self.eat('-').is_some();
        let number: i64 = self.digits()?.parse().ok()?;
        Some(if negative { -number } else { number })
    }

    fn links(&mut self) -> Option<Vec<Link>> {
        let mut links = Vec::new();
        while !self.rest.is_empty() {
            if self.eat('.').is_some() {
                links.push(Link::Key(self.name()?.to_owned()));
            } else {
                self.eat('[')?;
                let link = match self.rest.as_bytes().first()? {
                    b'\'' | b'"' => Link::Key(self.string()?.to_owned()),
                    _ => Link::Index(self.digits()?.parse::<i64>().ok()?.unsigned_abs()),
                };
                self.eat(']')?;
                links.push(link);
            }
        }
        Some(links)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_literals_and_chains_and_leaves_the_rest() {
        assert_eq!(parse(" 'a b' "), Some(Simple::Literal("a b".into())));
        assert_eq!(parse("-7"), Some(Simple::Literal((-7).into())));
        assert_eq!(parse("true"), Some(Simple::Literal(true.into())));
        let chain = parse("steps.a.output['k-1'][0]").unwrap();
        let key = |k: &str| Link::Key(k.to_owned());
        assert_eq!(chain, Simple::Chain("steps", vec![key("a"), key("output"), key("k-1"), Link::Index(0)]));
        for source in ["", "1.5", "1u", "0x1f", "''''''", r"'\n'", "inputs.a + 1", "foo", "inputs.f()", "inputs..a"] {
            assert_eq!(parse(source), None, "{source}");
        }
    }
}
