//! The `inputs` of a plan, and those that a submitter gives.

use crate::Rule;
use crate::diagnostic::{Diagnostic, nearest};
use crate::fields::{Fields, NAME_FORM, boolean, is_name, map, text, word};
use crate::limits::VALUE_BYTES;
use crate::report::Report;
use crate::tree::Node;
use aidt_domain::{InputSpec, InputType, Snapshot, canonical_json};
use serde_json::{Map, Value};
use std::collections::BTreeMap;

const KEYS: [&str; 4] = ["type", "required", "default", "description"];
const TYPES: [(&str, InputType); 7] = [
    ("string", InputType::String),
    ("number", InputType::Number),
    ("integer", InputType::Integer),
    ("boolean", InputType::Boolean),
    ("array", InputType::Array),
    ("object", InputType::Object),
    ("any", InputType::Any),
];
/// What diagnostics of given inputs name as their file.
const GIVEN: &str = "inputs";

pub(crate) fn read(node: &Node, report: &mut Report<'_>) -> BTreeMap<String, InputSpec> {
    let mut specs = BTreeMap::new();
    for entry in map(node, "inputs", report).unwrap_or_default() {
        if !is_name(&entry.key) {
            let message = format!("'{}' cannot be the name of an input", entry.key);
            report.error(entry.key_span, Rule::BadName, message).found(&entry.key).help(NAME_FORM);
        }
        let kind = InputType::Any;
        let spec = spec(&entry.key, &entry.value, report);
        specs.insert(
            entry.key.clone(),
            spec.unwrap_or(InputSpec { kind, required: false, default: None, description: None }),
        );
    }
    specs
}

fn spec(name: &str, node: &Node, report: &mut Report<'_>) -> Option<InputSpec> {
    let what = format!("the input '{name}'");
    let fields = Fields::read(node, &what, &KEYS, &[], report)?;
    let words = TYPES.map(|(word, _)| word);
    let kind = fields
        .require("type", &what, report)
        .and_then(|node| word(node, "the type of an input", &words, report))
        .and_then(|word| TYPES.into_iter().find(|(name, _)| *name == word));
    let required = fields.get("required").and_then(|node| boolean(node, "required", report)).unwrap_or(false);
    let description = fields.get("description").and_then(|node| text(node, "description", report));
    let default = fields.get("default");
    let (type_name, kind) = kind?;
    if let Some(node) = default {
        check_default(node, kind, type_name, &what, report);
    }
    if let Some(entry) = fields.entry("default").filter(|_| required) {
        report
            .warning(
                entry.key_span,
                Rule::Unused,
                format!("the default of '{name}' is never used: the input is required"),
            )
            .help("remove 'required' or 'default'");
    }
    Some(InputSpec { kind, required, default: default.map(Node::to_json), description: description.map(str::to_owned) })
}

fn check_default(node: &Node, kind: InputType, type_name: &str, what: &str, report: &mut Report<'_>) {
    let value = node.to_json();
    let written = report.text(node.span).to_owned();
    if !fits(&value, kind) {
        let message = format!("the default of {what} must be of type {type_name}, and this is {}", node.kind());
        let quotes = kind == InputType::String && (value.is_number() || value.is_boolean());
        let help = if quotes {
            format!("put it in quotes: \"{written}\"")
        } else {
            "change the default, or the type".to_owned()
        };
        report.error(node.span, Rule::WrongType, message).found(&written).help(help);
    }
    if value.to_string().contains("${{") {
        report
            .error(node.span, Rule::BadExpression, "expressions are not evaluated in a default")
            .help("write the value itself, or compute it where the input is used");
    }
}

fn fits(value: &Value, kind: InputType) -> bool {
    match kind {
        InputType::String => value.is_string(),
        InputType::Number => value.is_number(),
        InputType::Integer => value.is_i64() || value.is_u64(),
        InputType::Boolean => value.is_boolean(),
        InputType::Array => value.is_array(),
        InputType::Object => value.is_object(),
        InputType::Any => true,
    }
}

/// The inputs of a run: those that were given, of the types that the plan states, and the defaults of
/// the others.
///
/// # Errors
/// Everything that does not fit: unknown names, missing ones, wrong types, more than 256 KiB. The
/// diagnostics are about no place in a text (line 0); their file is `inputs`.
pub fn check_inputs(snapshot: &Snapshot, mut given: Map<String, Value>) -> Result<Map<String, Value>, Vec<Diagnostic>> {
    let mut wrong = Vec::new();
    for name in given.keys().filter(|name| !snapshot.inputs.contains_key(*name)) {
        let mut diagnostic = Diagnostic::new(GIVEN, Rule::UnknownInput, format!("the plan has no input '{name}'"));
        let known = snapshot.inputs.keys().map(String::as_str);
        diagnostic.found(name).nearest(nearest(name, known)).help(known_inputs(snapshot));
        wrong.push(diagnostic);
    }
    for (name, spec) in &snapshot.inputs {
        match (given.get(name), &spec.default) {
            (Some(value), _) => wrong.extend(misfit(name, spec, value)),
            (None, Some(default)) => _ = given.insert(name.clone(), default.clone()),
            (None, None) if spec.required => {
                let message = format!("the input '{name}' is required");
                let mut diagnostic = Diagnostic::new(GIVEN, Rule::MissingInput, message);
                diagnostic.help(format!("give it: --set {name}=…"));
                wrong.push(diagnostic);
            }
            (None, None) => {}
        }
    }
    let size = canonical_json(&given).len();
    if size > VALUE_BYTES {
        let message = format!("the inputs take {size} bytes; the limit is {VALUE_BYTES}");
        wrong.push(Diagnostic::new(GIVEN, Rule::Limit, message));
    }
    if wrong.is_empty() { Ok(given) } else { Err(wrong) }
}

fn misfit(name: &str, spec: &InputSpec, value: &Value) -> Option<Diagnostic> {
    let type_name = TYPES.into_iter().find(|(_, kind)| *kind == spec.kind).map_or("any", |(word, _)| word);
    let (rule, message) = if !fits(value, spec.kind) {
        (Rule::WrongType, format!("the input '{name}' must be of type {type_name}"))
    } else if has_large_number(value) {
        (Rule::Limit, format!("the input '{name}' has a whole number beyond 2^53 - 1, which would be rounded"))
    } else {
        return None;
    };
    let mut diagnostic = Diagnostic::new(GIVEN, rule, message);
    diagnostic.found(&value.to_string());
    if rule == Rule::Limit {
        diagnostic.help("give it as text");
    }
    Some(diagnostic)
}

/// Whether a value has a whole number that RFC 8785 would round.
pub(crate) fn has_large_number(value: &Value) -> bool {
    let too_large = |n: &serde_json::Number| {
        n.as_i64().map(i64::unsigned_abs).or(n.as_u64()).is_some_and(|n| n > aidt_expr::limits::WHOLE_NUMBER)
    };
    match value {
        Value::Number(n) => too_large(n),
        Value::Array(list) => list.iter().any(has_large_number),
        Value::Object(map) => map.values().any(has_large_number),
        Value::Null | Value::Bool(_) | Value::String(_) => false,
    }
}

fn known_inputs(snapshot: &Snapshot) -> String {
    let names: Vec<&str> = snapshot.inputs.keys().map(String::as_str).take(20).collect();
    match names.is_empty() {
        true => "the plan has no inputs".to_owned(),
        false => format!("the inputs are {}", names.join(", ")),
    }
}
