//! A parsed document that knows where each of its values stands.

use crate::source::Span;
use serde_json::{Number, Value};

/// A value and its place.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Node {
    pub(crate) span: Span,
    pub(crate) data: Data,
}

/// A value.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Data {
    Null,
    Bool(bool),
    Number(Number),
    Text(String),
    List(Vec<Node>),
    /// In the document's order; keys are unique.
    Map(Vec<Entry>),
}

/// A key of a map, with its place, and its value.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Entry {
    pub(crate) key: String,
    pub(crate) key_span: Span,
    pub(crate) value: Node,
}

impl Node {
    pub(crate) fn text(&self) -> Option<&str> {
        if let Data::Text(text) = &self.data { Some(text) } else { None }
    }

    pub(crate) fn entries(&self) -> Option<&[Entry]> {
        if let Data::Map(entries) = &self.data { Some(entries) } else { None }
    }

    pub(crate) fn list(&self) -> Option<&[Self]> {
        if let Data::List(nodes) = &self.data { Some(nodes) } else { None }
    }

    /// A word for its type.
    pub(crate) fn kind(&self) -> &'static str {
        match &self.data {
            Data::Null => "nothing",
            Data::Bool(_) => "true or false",
            Data::Number(_) => "a number",
            Data::Text(_) => "text",
            Data::List(_) => "a list",
            Data::Map(_) => "a map",
        }
    }

    /// Without the places.
    pub(crate) fn to_json(&self) -> Value {
        match &self.data {
            Data::Null => Value::Null,
            Data::Bool(b) => (*b).into(),
            Data::Number(n) => Value::Number(n.clone()),
            Data::Text(text) => text.as_str().into(),
            Data::List(nodes) => nodes.iter().map(Self::to_json).collect(),
            Data::Map(entries) => Value::Object(entries.iter().map(|e| (e.key.clone(), e.value.to_json())).collect()),
        }
    }

    /// The value at a JSON pointer (RFC 6901), or the last one on the way there.
    pub(crate) fn at_pointer(&self, pointer: &str) -> &Self {
        let mut here = self;
        for part in pointer.split('/').skip(1) {
            let part = part.replace("~1", "/").replace("~0", "~");
            let next = match &here.data {
                Data::Map(entries) => entries.iter().find(|e| e.key == part).map(|e| &e.value),
                Data::List(nodes) => part.parse::<usize>().ok().and_then(|i| nodes.get(i)),
                _ => None,
            };
            let Some(next) = next else { return here };
            here = next;
        }
        here
    }

    /// Nodes of the tree; stops counting above `limit`.
    pub(crate) fn count(&self, limit: usize) -> usize {
        let mut count = 0;
        let mut open = vec![self];
        while let Some(node) = open.pop() {
            count += 1;
            if count > limit {
                break;
            }
            match &node.data {
                Data::List(nodes) => open.extend(nodes),
                Data::Map(entries) => open.extend(entries.iter().map(|e| &e.value)),
                _ => {}
            }
        }
        count
    }
}
