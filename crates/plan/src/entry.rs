//! One entry of a catalogue's file.

use crate::Rule;
use crate::fields::{Fields, list, text, word};
use crate::limits::NAME_BYTES;
use crate::report::Report;
use crate::tree::{Data, Node};
use aidt_domain::{Effect, Pool, ToolEntry, ToolReads};
use serde_json::Value;

const KEYS: [&str; 10] = [
    "name",
    "pool",
    "capability",
    "effect",
    "description",
    "input_schema",
    "output_schema",
    "reads",
    "writes",
    "min_sandbox",
];
const EFFECTS: [(&str, Effect); 3] =
    [("read", Effect::Read), ("idempotent", Effect::Idempotent), ("once", Effect::Once)];
const SANDBOXES: [&str; 3] = ["none", "landlock", "bubblewrap"];

/// The entry, if nothing is wrong with it.
pub(crate) fn read(node: &Node, report: &mut Report<'_>) -> Option<ToolEntry> {
    let what = "a tool";
    let fields = Fields::read(node, what, &KEYS, &[], report)?;
    let name = fields.require("name", what, report).and_then(|node| dotted(node, "the name of a tool", report));
    let pool = fields.require("pool", what, report).and_then(|node| pool(node, report));
    let capability = fields.require("capability", what, report).and_then(|node| dotted(node, "a capability", report));
    let effect = fields.require("effect", what, report).and_then(|node| effect(node, report));
    let description = fields.get("description").map(|node| text(node, "description", report));
    let sandbox = fields.get("min_sandbox").map(|node| word(node, "min_sandbox", &SANDBOXES, report));
    let mut schema = |key| match fields.get(key) {
        Some(node) => schema(node, key, report),
        None => Some(Value::Bool(true)),
    };
    let (input_schema, output_schema) = (schema("input_schema"), schema("output_schema"));
    let mut touches = |key| match fields.get(key) {
        Some(node) => touches(node, key, report),
        None => Some(ToolReads::None),
    };
    let (reads, writes) = (touches("reads"), touches("writes"));
    Some(ToolEntry {
        name: name?.to_owned(),
        pool: pool?,
        capability: capability?.to_owned(),
        effect: effect?,
        description: description.unwrap_or(Some(""))?.to_owned(),
        input_schema: input_schema?,
        output_schema: output_schema?,
        reads: reads?,
        writes: writes?,
        min_sandbox: sandbox.unwrap_or(Some("none"))?.to_owned(),
    })
}

/// Words of letters, digits, `_` and `-` between dots.
fn dotted<'t>(node: &'t Node, what: &str, report: &mut Report<'_>) -> Option<&'t str> {
    let found = text(node, what, report)?;
    let word =
        |part: &str| !part.is_empty() && part.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-'));
    if found.len() <= NAME_BYTES && found.split('.').all(word) {
        return Some(found);
    }
    report
        .error(node.span, Rule::BadName, format!("'{found}' cannot be {what}"))
        .found(found)
        .help("write words of letters, digits, _ and - with dots between them: repo.read");
    None
}

fn pool(node: &Node, report: &mut Report<'_>) -> Option<Pool> {
    let found = text(node, "pool", report)?;
    Pool::new(found).map_err(|e| _ = report.error(node.span, Rule::BadName, e.to_string()).found(found)).ok()
}

fn effect(node: &Node, report: &mut Report<'_>) -> Option<Effect> {
    let found = word(node, "effect", &EFFECTS.map(|(word, _)| word), report)?;
    EFFECTS.into_iter().find(|(word, _)| *word == found).map(|(_, effect)| effect)
}

fn schema(node: &Node, key: &str, report: &mut Report<'_>) -> Option<Value> {
    let value = node.to_json();
    if !matches!(node.data, Data::Map(_) | Data::Bool(_)) {
        report.error(node.span, Rule::WrongType, format!("{key} must be a JSON Schema, and this is {}", node.kind()));
        return None;
    }
    let problem = match jsonschema::meta::validate(&value) {
        Ok(()) => jsonschema::validator_for(&value).err().map(|e| (node.span, e.to_string())),
        Err(e) => Some((node.at_pointer(e.instance_path().as_str()).span, e.to_string())),
    };
    if let Some((span, message)) = problem {
        let message: String = message.chars().take(160).collect();
        report
            .error(span, Rule::BadSchema, format!("{key} is not a JSON Schema: {message}"))
            .help("see https://json-schema.org; references to other documents are not followed");
        return None;
    }
    Some(value)
}

/// `none`, `all`, or `{ arguments: [path] }`.
fn touches(node: &Node, key: &str, report: &mut Report<'_>) -> Option<ToolReads> {
    if node.entries().is_none() {
        let found = word(node, key, &["none", "all"], report)?;
        return Some(if found == "all" { ToolReads::All } else { ToolReads::None });
    }
    let fields = Fields::read(node, key, &["arguments"], &[], report)?;
    let nodes = list(fields.require("arguments", key, report)?, "arguments", report)?;
    let names = nodes.iter().map(|node| text(node, "an argument's name", report).map(str::to_owned));
    names.collect::<Option<Vec<_>>>().map(ToolReads::Arguments)
}
