//! The `outputs` of a plan.

use crate::Rule;
use crate::expressions::{Names, template};
use crate::fields::{NAME_FORM, is_name, map};
use crate::report::Report;
use crate::tree::Node;
use serde_json::Value;
use std::collections::BTreeMap;

pub(crate) fn read(node: &Node, names: &Names, report: &mut Report<'_>) -> BTreeMap<String, Value> {
    let mut outputs = BTreeMap::new();
    for entry in map(node, "outputs", report).unwrap_or_default() {
        if !is_name(&entry.key) {
            let message = format!("'{}' cannot be the name of an output", entry.key);
            report.error(entry.key_span, Rule::BadName, message).found(&entry.key).help(NAME_FORM);
        }
        template(&entry.value, names, report);
        outputs.insert(entry.key.clone(), entry.value.to_json());
    }
    outputs
}
