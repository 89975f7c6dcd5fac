//! Reads the keys of a map: which are there, which are not known, and of what type their values are.

use crate::Rule;
use crate::diagnostic::nearest;
use crate::report::Report;
use crate::tree::{Data, Entry, Node};
use std::ops::RangeInclusive;

/// The keys of a map.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fields<'t> {
    node: &'t Node,
    entries: &'t [Entry],
}

impl<'t> Fields<'t> {
    /// The keys of a map, `known` and those that a `later` version brings; others are reported.
    pub(crate) fn read(
        node: &'t Node,
        what: &str,
        known: &[&str],
        later: &[&str],
        report: &mut Report<'_>,
    ) -> Option<Self> {
        let entries = map(node, what, report)?;
        for entry in entries.iter().filter(|e| !known.contains(&e.key.as_str())) {
            if later.contains(&entry.key.as_str()) {
                report
                    .error(entry.key_span, Rule::NotSupportedYet, format!("'{}' is not supported yet", entry.key))
                    .found(&entry.key)
                    .help("this version runs tool steps; remove the key (it would not be safe to ignore it)");
            } else {
                report
                    .error(entry.key_span, Rule::UnknownKey, format!("{what} has no key '{}'", entry.key))
                    .found(&entry.key)
                    .nearest(nearest(&entry.key, known.iter().copied()))
                    .help(format!("the keys of {what} are {}", known.join(", ")));
            }
        }
        Some(Self { node, entries })
    }

    pub(crate) fn get(&self, key: &str) -> Option<&'t Node> {
        self.entry(key).map(|entry| &entry.value)
    }

    pub(crate) fn entry(&self, key: &str) -> Option<&'t Entry> {
        self.entries.iter().find(|entry| entry.key == key)
    }

    /// The value of a key that must be there.
    pub(crate) fn require(&self, key: &str, what: &str, report: &mut Report<'_>) -> Option<&'t Node> {
        let found = self.get(key);
        if found.is_none() {
            report
                .error(self.node.span, Rule::MissingKey, format!("{what} needs the key '{key}'"))
                .help(format!("add '{key}: …'"));
        }
        found
    }
}

/// The value as text; a number or a bool is pointed out as one that lacks its quotes.
pub(crate) fn text<'t>(node: &'t Node, what: &str, report: &mut Report<'_>) -> Option<&'t str> {
    let found = node.text();
    if found.is_none() {
        wrong_type(node, what, "text", report);
    }
    found
}

pub(crate) fn boolean(node: &Node, what: &str, report: &mut Report<'_>) -> Option<bool> {
    if let Data::Bool(b) = node.data {
        return Some(b);
    }
    wrong_type(node, what, "true or false", report);
    None
}

/// A whole number within a range.
pub(crate) fn whole(node: &Node, what: &str, range: RangeInclusive<i64>, report: &mut Report<'_>) -> Option<i64> {
    let number = if let Data::Number(n) = &node.data { n.as_i64() } else { None };
    match number {
        None => wrong_type(node, what, "a whole number", report),
        Some(n) if !range.contains(&n) => {
            let message = format!("{what} must be between {} and {}", range.start(), range.end());
            report.error(node.span, Rule::InvalidValue, message).found(&n.to_string());
        }
        found => return found,
    }
    None
}

pub(crate) fn map<'t>(node: &'t Node, what: &str, report: &mut Report<'_>) -> Option<&'t [Entry]> {
    let found = node.entries();
    if found.is_none() {
        wrong_type(node, what, "a map", report);
    }
    found
}

pub(crate) fn list<'t>(node: &'t Node, what: &str, report: &mut Report<'_>) -> Option<&'t [Node]> {
    let found = node.list();
    if found.is_none() {
        wrong_type(node, what, "a list", report);
    }
    found
}

/// One of some words.
pub(crate) fn word<'w>(node: &Node, what: &str, words: &[&'w str], report: &mut Report<'_>) -> Option<&'w str> {
    let found = text(node, what, report)?;
    let known = words.iter().find(|word| **word == found).copied();
    if known.is_none() {
        report
            .error(node.span, Rule::InvalidValue, format!("{what} cannot be '{found}'"))
            .found(found)
            .nearest(nearest(found, words.iter().copied()))
            .help(format!("it is one of {}", words.join(", ")));
    }
    known
}

fn wrong_type(node: &Node, what: &str, wanted: &str, report: &mut Report<'_>) {
    let written = report.text(node.span).lines().next().unwrap_or_default().trim().to_owned();
    let help = match (&node.data, wanted) {
        (Data::Number(_) | Data::Bool(_), "text") => format!("put it in quotes: \"{written}\""),
        (Data::Text(text), "a whole number") if text.parse::<i64>().is_ok() => format!("remove the quotes: {text}"),
        (Data::Text(text), "true or false") => match text.to_ascii_lowercase().as_str() {
            "yes" | "on" | "true" => "write true".to_owned(),
            "no" | "off" | "false" => "write false".to_owned(),
            _ => format!("write {wanted}"),
        },
        (Data::Null, _) => "give it a value, or remove the key".to_owned(),
        (_, "a list") => "write a list: [a, b], or a line with '- ' for each element".to_owned(),
        _ => format!("write {wanted}"),
    };
    let message = format!("{what} must be {wanted}, and this is {}", node.kind());
    report.error(node.span, Rule::WrongType, message).found(&written).help(help);
}

/// Whether a word can be the name of an input, an output or a step: a letter or `_`, then letters,
/// digits, `_` and `-`.
pub(crate) fn is_name(word: &str) -> bool {
    word.len() <= crate::limits::NAME_BYTES
        && word.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && word.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-')
}

/// What [`is_name`] asks for, in words.
pub(crate) const NAME_FORM: &str = "a name begins with a letter or _ and goes on with letters, digits, _ and -";
