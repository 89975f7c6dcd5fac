//! A step's `with` against its tool's input schema.

use crate::Rule;
use crate::diagnostic::nearest;
use crate::report::Report;
use crate::source::Span;
use crate::tree::{Data, Node};
use aidt_domain::ToolEntry;
use jsonschema::Validator;
use jsonschema::error::{TypeKind, ValidationError, ValidationErrorKind as Kind};
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// Schemas, compiled when their tool is first used.
#[derive(Debug, Default)]
pub(crate) struct Schemas<'c>(BTreeMap<&'c str, Option<Validator>>);

impl<'c> Schemas<'c> {
    /// Checks what can be known before the run: names always, values where there is no expression.
    pub(crate) fn check(&mut self, tool: &'c ToolEntry, with: Option<&Node>, at: Span, report: &mut Report<'_>) {
        let validator = self.0.entry(&tool.name).or_insert_with(|| jsonschema::validator_for(&tool.input_schema).ok());
        // A schema that cannot be compiled was refused when the catalogue was loaded.
        let Some(validator) = validator else { return };
        let mut holes = Vec::new();
        let value = match with {
            Some(node) => known(node, &mut String::new(), &mut holes),
            None => Value::Object(Map::new()),
        };
        if validator.is_valid(&value) {
            return;
        }
        for error in validator.iter_errors(&value) {
            if !depends_on_holes(&error, &holes) {
                explain(&error, tool, with, at, report);
            }
        }
    }
}

/// The value with null in place of each text that has an expression; `holes` are their pointers.
fn known(node: &Node, pointer: &mut String, holes: &mut Vec<String>) -> Value {
    let mut inner = |part: &str, node: &Node| {
        let length = pointer.len();
        pointer.push('/');
        pointer.push_str(&part.replace('~', "~0").replace('/', "~1"));
        let value = known(node, pointer, holes);
        pointer.truncate(length);
        value
    };
    match &node.data {
        Data::List(nodes) => nodes.iter().enumerate().map(|(i, node)| inner(&i.to_string(), node)).collect(),
        Data::Map(entries) => Value::Object(entries.iter().map(|e| (e.key.clone(), inner(&e.key, &e.value))).collect()),
        Data::Text(text) if text.contains("${{") => {
            holes.push(pointer.clone());
            Value::Null
        }
        _ => node.to_json(),
    }
}

/// Whether an error may be due to a value that is not known yet. Which names a map has is known.
fn depends_on_holes(error: &ValidationError<'_>, holes: &[String]) -> bool {
    let place = error.instance_path().as_str();
    let under = |inner: &str, outer: &str| {
        inner.strip_prefix(outer).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    let names = matches!(error.kind(), Kind::Required { .. } | Kind::AdditionalProperties { .. });
    holes.iter().any(|hole| under(place, hole) || (!names && under(hole, place)))
}

fn explain(error: &ValidationError<'_>, tool: &ToolEntry, with: Option<&Node>, at: Span, report: &mut Report<'_>) {
    let pointer = error.instance_path().as_str();
    let node = with.map(|with| with.at_pointer(pointer));
    let span = node.map_or(at, |node| node.span);
    let name = if pointer.is_empty() { "with".to_owned() } else { format!("'{}'", dotted(pointer)) };
    match error.kind() {
        Kind::Required { property } => {
            let missing = property.as_str().unwrap_or_default();
            let message = format!("{} needs the argument '{}{missing}'", tool.name, prefix(pointer));
            report.error(span, Rule::MissingArgument, message).help(format!("add '{missing}: …' under 'with'"));
        }
        Kind::AdditionalProperties { unexpected } => {
            let known = properties(&tool.input_schema, pointer);
            for word in unexpected {
                let entry = node.and_then(Node::entries).and_then(|entries| entries.iter().find(|e| e.key == *word));
                let span = entry.map_or(span, |entry| entry.key_span);
                let message = format!("{} has no argument '{}{word}'", tool.name, prefix(pointer));
                report
                    .error(span, Rule::UnknownArgument, message)
                    .found(word)
                    .nearest(nearest(word, known.iter().copied()))
                    .help(format!("its arguments are {}", known.join(", ")));
            }
        }
        kind => {
            let found = report.text(span).lines().next().unwrap_or_default().to_owned();
            let diagnostic =
                report.error(span, Rule::BadArgument, format!("{} of {} {}", name, tool.name, demand(kind, error)));
            diagnostic.found(&found);
            if let (Kind::Enum { options }, Some(word)) = (kind, error.instance().as_str()) {
                let words: Vec<&str> = options.as_array().into_iter().flatten().filter_map(Value::as_str).collect();
                diagnostic
                    .nearest(nearest(word, words.iter().copied()))
                    .help(format!("it is one of {}", words.join(", ")));
            }
        }
    }
}

/// What a schema asks for, in a few words.
fn demand(kind: &Kind, error: &ValidationError<'_>) -> String {
    match kind {
        Kind::Type { kind: TypeKind::Single(wanted) } => format!("must be of type {wanted}"),
        Kind::Minimum { limit } => format!("must be at least {limit}"),
        Kind::Maximum { limit } => format!("must be at most {limit}"),
        Kind::Enum { .. } => "is not one of the allowed values".to_owned(),
        Kind::MinLength { limit } => format!("must have at least {limit} characters"),
        Kind::MaxLength { limit } => format!("must have at most {limit} characters"),
        Kind::Pattern { pattern } => format!("must match {pattern}"),
        _ => {
            let text = error.masked().to_string();
            format!("does not fit the tool's schema: {}", text.chars().take(160).collect::<String>())
        }
    }
}

/// The argument names of a schema, at the top only: deeper ones may hang on anything.
fn properties<'c>(schema: &'c Value, pointer: &str) -> Vec<&'c str> {
    if !pointer.is_empty() {
        return Vec::new();
    }
    schema.get("properties").and_then(Value::as_object).into_iter().flatten().map(|(name, _)| name.as_str()).collect()
}

/// `/a/0/b` as `a.0.b`.
fn dotted(pointer: &str) -> String {
    pointer.trim_start_matches('/').replace('/', ".")
}

fn prefix(pointer: &str) -> String {
    if pointer.is_empty() { String::new() } else { format!("{}.", dotted(pointer)) }
}
