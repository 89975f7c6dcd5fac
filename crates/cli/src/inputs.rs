//! Inputs from the command line, typed by what the plan states.

use crate::args::{InputArgs, KeyValue};
use crate::error::CliError;
use crate::plan_file::read_text;
use crate::terminal::Terminal;
use aidt_domain::{ErrorCode, InputSpec, InputType};
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::path::Path;

/// The types of inputs, by name.
pub(crate) type Types = BTreeMap<String, InputType>;

pub(crate) fn types_of(inputs: &BTreeMap<String, InputSpec>) -> Types {
    inputs.iter().map(|(name, spec)| (name.clone(), spec.kind)).collect()
}

/// Whether the plan's types are needed to read these.
pub(crate) fn needs_types(args: &InputArgs) -> bool {
    !args.set.is_empty() || !args.set_file.is_empty()
}

/// Reads `--inputs`, then `--set-file`, then `--set`; what comes later wins.
pub(crate) fn gather(args: &InputArgs, types: &Types, terminal: &Terminal) -> Result<Map<String, Value>, CliError> {
    let mut inputs = match &args.inputs {
        Some(path) => from_file(path, terminal)?,
        None => Map::new(),
    };
    for KeyValue { key, value } in &args.set_file {
        let (_, text) = read_text(Path::new(value), terminal)?;
        inputs.insert(key.clone(), set(key, &text, types, "--set-file")?);
    }
    for KeyValue { key, value } in &args.set {
        inputs.insert(key.clone(), set(key, value, types, "--set")?);
    }
    Ok(inputs)
}

fn from_file(path: &Path, terminal: &Terminal) -> Result<Map<String, Value>, CliError> {
    let (name, text) = read_text(path, terminal)?;
    serde_json::from_str(&text).map_err(|e| {
        CliError::new(ErrorCode::InvalidInputs, format!("{name} is not a JSON object of inputs"))
            .caused(&e)
            .help("write {\"name\": value, …}")
    })
}

fn set(key: &str, text: &str, types: &Types, option: &str) -> Result<Value, CliError> {
    // An input that the plan does not have goes along as it is: the check of the whole says so.
    let kind = types.get(key).copied().unwrap_or(InputType::Any);
    typed(kind, text).ok_or_else(|| {
        let found: String = text.chars().take(80).collect();
        CliError::new(ErrorCode::InvalidInputs, format!("{option} {key}: '{}' is not {}", found, wanted(kind)))
    })
}

/// A value of this type, as written on a command line. Text needs no quotes; `any` is JSON if it is that,
/// else text.
pub(crate) fn typed(kind: InputType, text: &str) -> Option<Value> {
    let json = || serde_json::from_str::<Value>(text).ok();
    match kind {
        InputType::String => Some(Value::from(text)),
        InputType::Number => json().filter(Value::is_number),
        InputType::Integer => json().filter(|v| v.is_i64() || v.is_u64()),
        InputType::Boolean => json().filter(Value::is_boolean),
        InputType::Array => json().filter(Value::is_array),
        InputType::Object => json().filter(Value::is_object),
        InputType::Any => Some(json().unwrap_or_else(|| Value::from(text))),
    }
}

fn wanted(kind: InputType) -> &'static str {
    match kind {
        InputType::String => "text",
        InputType::Number => "a number",
        InputType::Integer => "a whole number",
        InputType::Boolean => "true or false",
        InputType::Array => "a JSON list",
        InputType::Object => "a JSON object",
        InputType::Any => "a value",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_value_has_the_type_that_the_plan_states() {
        for (kind, text, value) in [
            (InputType::String, "12", Some(json!("12"))),
            (InputType::String, "", Some(json!(""))),
            (InputType::Integer, "12", Some(json!(12))),
            (InputType::Integer, "-3", Some(json!(-3))),
            (InputType::Integer, "1.5", None),
            (InputType::Integer, "twelve", None),
            (InputType::Number, "1.5", Some(json!(1.5))),
            (InputType::Number, "1", Some(json!(1))),
            (InputType::Number, "true", None),
            (InputType::Boolean, "true", Some(json!(true))),
            (InputType::Boolean, "yes", None),
            (InputType::Array, "[1, \"a\"]", Some(json!([1, "a"]))),
            (InputType::Array, "{}", None),
            (InputType::Object, "{\"a\": 1}", Some(json!({"a": 1}))),
            (InputType::Object, "a", None),
            (InputType::Any, "12", Some(json!(12))),
            (InputType::Any, "null", Some(json!(null))),
            (InputType::Any, "plain text", Some(json!("plain text"))),
        ] {
            assert_eq!(typed(kind, text), value, "{kind:?} {text}");
        }
    }

    #[test]
    fn what_is_more_explicit_wins() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("note.txt");
        std::fs::write(&file, "from a file\n").unwrap();
        let args = InputArgs {
            inputs: Some("-".into()),
            set_file: vec![KeyValue { key: "b".into(), value: file.display().to_string() }],
            set: vec![KeyValue { key: "c".into(), value: "3".into() }],
        };
        let terminal = Terminal::of_streams(&br#"{"a": 1, "b": "x", "c": 0}"#[..], std::io::sink(), std::io::sink());
        let types = [("b", InputType::String), ("c", InputType::Integer)];
        let types = types.into_iter().map(|(name, kind)| (name.to_owned(), kind)).collect();
        let inputs = gather(&args, &types, &terminal).unwrap();
        assert_eq!(Value::Object(inputs), json!({"a": 1, "b": "from a file\n", "c": 3}));
    }

    #[test]
    fn says_which_option_is_wrong_and_how() {
        let args = InputArgs { set: vec!["n=x".parse().unwrap()], ..InputArgs::default() };
        let terminal = Terminal::of_streams(std::io::empty(), std::io::sink(), std::io::sink());
        let types = [("n".to_owned(), InputType::Integer)].into();
        let error = gather(&args, &types, &terminal).unwrap_err();
        assert_eq!(error.code, ErrorCode::InvalidInputs);
        assert_eq!(error.message, "--set n: 'x' is not a whole number");
    }
}
