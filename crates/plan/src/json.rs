//! JSON into a tree. Most JSON is YAML, but its escapes and its tabs are not.

use crate::limits::{DEPTH, NODES};
use crate::report::Report;
use crate::source::Span;
use crate::tree::{Data, Entry, Node};
use crate::{Rule, Source};
use std::collections::HashSet;

/// Whether a document begins as a JSON object or list would.
pub(crate) fn looks_like(text: &str) -> bool {
    let mut chars = text.trim_start_matches('\u{feff}').chars().filter(|c| !c.is_whitespace());
    match chars.next() {
        Some('{') => matches!(chars.next(), Some('"' | '}')),
        Some('[') => true,
        _ => false,
    }
}

/// What stands in the way of reading a text as JSON.
#[derive(Debug)]
pub(crate) struct NotJson {
    pub(crate) span: Span,
    pub(crate) rule: Rule,
    pub(crate) message: String,
}

/// The document's tree, or why it is not JSON. Duplicate keys are reported and do not end it.
pub(crate) fn parse(source: &Source, report: &mut Report<'_>) -> Result<Node, NotJson> {
    let mut reader = Reader { text: &source.text, at: 0, nodes: 0, duplicates: Vec::new() };
    if reader.text.starts_with('\u{feff}') {
        reader.at = '\u{feff}'.len_utf8();
    }
    let node = reader.value(0)?;
    reader.space();
    if reader.at < reader.text.len() {
        return Err(reader.not_json("something follows the end of the value"));
    }
    for (key, span) in reader.duplicates {
        report
            .error(span, Rule::DuplicateKey, format!("the key '{key}' stands here twice"))
            .found(&key)
            .help("keep one of the two");
    }
    Ok(node)
}

struct Reader<'s> {
    text: &'s str,
    at: usize,
    nodes: usize,
    duplicates: Vec<(String, Span)>,
}

impl Reader<'_> {
    fn not_json(&self, message: impl Into<String>) -> NotJson {
        let span = Span::new(self.at, self.at + 1);
        NotJson { span, rule: Rule::Syntax, message: format!("this is not JSON: {}", message.into()) }
    }

    fn limit(&self, message: String) -> NotJson {
        NotJson { span: Span::new(self.at, self.at + 1), rule: Rule::Limit, message }
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    fn eat(&mut self, sign: u8) -> bool {
        self.space();
        let eaten = self.peek() == Some(sign);
        self.at += usize::from(eaten);
        eaten
    }

    fn expect(&mut self, sign: u8) -> Result<(), NotJson> {
        match self.eat(sign) {
            true => Ok(()),
            false => Err(self.not_json(format!("'{}' is expected here", char::from(sign)))),
        }
    }

    fn value(&mut self, depth: usize) -> Result<Node, NotJson> {
        self.nodes += 1;
        if depth > DEPTH {
            return Err(self.limit(format!("lists and maps are nested more than {DEPTH} deep")));
        }
        if self.nodes > NODES {
            return Err(self.limit(format!("the document has more than {NODES} values")));
        }
        self.space();
        let start = self.at;
        let data = match self.peek() {
            Some(b'{') => self.map(depth)?,
            Some(b'[') => self.list(depth)?,
            Some(b'"') => Data::Text(self.string()?),
            Some(b'-' | b'0'..=b'9') => self.number()?,
            _ => self.word()?,
        };
        Ok(Node { span: Span::new(start, self.at), data })
    }

    fn list(&mut self, depth: usize) -> Result<Data, NotJson> {
        self.expect(b'[')?;
        let mut nodes = Vec::new();
        if self.eat(b']') {
            return Ok(Data::List(nodes));
        }
        loop {
            nodes.push(self.value(depth + 1)?);
            if !self.eat(b',') {
                self.expect(b']')?;
                return Ok(Data::List(nodes));
            }
        }
    }

    fn map(&mut self, depth: usize) -> Result<Data, NotJson> {
        self.expect(b'{')?;
        let (mut entries, mut seen) = (Vec::new(), HashSet::new());
        if self.eat(b'}') {
            return Ok(Data::Map(entries));
        }
        loop {
            self.space();
            let start = self.at;
            if self.peek() != Some(b'"') {
                return Err(self.not_json("a key in double quotes is expected here"));
            }
            let key = self.string()?;
            let key_span = Span::new(start, self.at);
            self.expect(b':')?;
            let value = self.value(depth + 1)?;
            match seen.insert(key.clone()) {
                true => entries.push(Entry { key, key_span, value }),
                false => self.duplicates.push((key, key_span)),
            }
            if !self.eat(b',') {
                self.expect(b'}')?;
                return Ok(Data::Map(entries));
            }
        }
    }

    /// The end of the string is found here, its escapes are left to serde_json.
    fn string(&mut self) -> Result<String, NotJson> {
        let bytes = self.text.as_bytes();
        let mut end = self.at + 1;
        loop {
            match bytes.get(end) {
                Some(b'"') => break,
                Some(b'\\') => end += 2,
                Some(_) => end += 1,
                None => return Err(self.not_json("this string is not closed")),
            }
        }
        let literal = self.text.get(self.at..=end).unwrap_or_default();
        let text = serde_json::from_str(literal).map_err(|e| {
            let reason = e.to_string();
            self.not_json(reason.split(" at line").next().unwrap_or_default().to_owned())
        })?;
        self.at = end + 1;
        Ok(text)
    }

    fn number(&mut self) -> Result<Data, NotJson> {
        let rest = &self.text[self.at..];
        let end = rest.find(|c: char| !matches!(c, '0'..='9' | '+' | '-' | '.' | 'e' | 'E')).unwrap_or(rest.len());
        let number = serde_json::from_str(&rest[..end]).map_err(|_| self.not_json("this is not a number"))?;
        self.at += end;
        Ok(Data::Number(number))
    }

    fn word(&mut self) -> Result<Data, NotJson> {
        let words = [("null", Data::Null), ("true", Data::Bool(true)), ("false", Data::Bool(false))];
        for (word, data) in words {
            if self.text[self.at..].starts_with(word) {
                self.at += word.len();
                return Ok(data);
            }
        }
        Err(self.not_json("a value is expected here"))
    }
}
