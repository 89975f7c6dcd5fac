//! The expressions in a document: each compiled where it stands, and what it names looked up.

use crate::Rule;
use crate::diagnostic::nearest;
use crate::inputs::has_large_number;
use crate::report::Report;
use crate::source::Span;
use crate::tree::{Data, Node};
use aidt_expr::{Condition, ExprError, ExprErrorKind, References, Template, whole_expression};
use std::collections::BTreeMap;

/// What expressions may name.
#[derive(Debug)]
pub(crate) struct Names {
    /// The plan's inputs.
    pub(crate) inputs: Vec<String>,
    /// Step ids and their positions.
    pub(crate) steps: BTreeMap<String, usize>,
}

/// A step that is referred to, and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Need {
    pub(crate) step: usize,
    pub(crate) span: Span,
}

/// The steps that the expressions anywhere in a value refer to.
pub(crate) fn template(node: &Node, names: &Names, report: &mut Report<'_>) -> Vec<Need> {
    let mut needs = Vec::new();
    let mut open = vec![node];
    while let Some(node) = open.pop() {
        match &node.data {
            Data::Text(text) if text.contains("${{") => match Template::compile(&text.as_str().into()) {
                Ok(template) => needs.extend(look_up(template.references(), node, names, report)),
                Err(e) => bad_expression(&e, node, report),
            },
            Data::Number(n) if has_large_number(&n.clone().into()) => {
                let found = n.to_string();
                let message = "a whole number beyond 2^53 - 1 would be rounded";
                report
                    .error(node.span, Rule::Limit, message)
                    .found(&found)
                    .help(format!("put it in quotes: \"{found}\""));
            }
            Data::List(nodes) => open.extend(nodes),
            Data::Map(entries) => {
                for entry in entries {
                    if entry.key.contains("${{") {
                        let message = "an expression cannot stand in a key";
                        report.error(entry.key_span, Rule::BadExpression, message).found(&entry.key);
                    }
                    open.push(&entry.value);
                }
            }
            _ => {}
        }
    }
    needs
}

/// A condition's source, whether it asks for the status of what it needs, and what it refers to.
pub(crate) fn condition(node: &Node, names: &Names, report: &mut Report<'_>) -> Option<(String, bool, Vec<Need>)> {
    let source = match &node.data {
        Data::Bool(b) => b.to_string(),
        Data::Text(text) if text.contains("${{") => match whole_expression(text) {
            Some(source) => source.to_owned(),
            None => {
                report
                    .error(node.span, Rule::BadExpression, "a condition is one expression")
                    .help("write 'if: EXPRESSION' or 'if: ${{ EXPRESSION }}', with nothing around it");
                return None;
            }
        },
        Data::Text(text) => text.trim().to_owned(),
        _ => {
            let message = format!("if must be an expression, and this is {}", node.kind());
            report.error(node.span, Rule::WrongType, message);
            return None;
        }
    };
    match Condition::compile(&source) {
        Ok(condition) => {
            let needs = look_up(condition.references(), node, names, report);
            Some((source, condition.always(), needs))
        }
        Err(e) => {
            bad_expression(&e, node, report);
            None
        }
    }
}

fn bad_expression(e: &ExprError, node: &Node, report: &mut Report<'_>) {
    let rule = match e.kind {
        ExprErrorKind::UnknownName => Rule::UnknownReference,
        ExprErrorKind::Limit => Rule::Limit,
        ExprErrorKind::Evaluation => Rule::WrongType,
        ExprErrorKind::Syntax | ExprErrorKind::UnknownFunction | ExprErrorKind::Missing => Rule::BadExpression,
    };
    let span = find(node, &[e.expression.lines().next().unwrap_or_default().trim_end_matches('…')], report);
    report.error(span, rule, &e.message).found(&e.expression).nearest(e.nearest.as_deref());
}

fn look_up(references: &References, node: &Node, names: &Names, report: &mut Report<'_>) -> Vec<Need> {
    for name in references.inputs.iter().filter(|name| !names.inputs.contains(name)) {
        let span = find_name("inputs", name, node, report);
        let known = || names.inputs.iter().map(String::as_str);
        let near = if report.is_full() { None } else { nearest(name, known()) };
        let help = match names.inputs.is_empty() {
            true => "declare it under 'inputs'".to_owned(),
            false => format!("the inputs are {}", known().take(20).collect::<Vec<_>>().join(", ")),
        };
        report
            .error(span, Rule::UnknownReference, format!("the plan has no input '{name}'"))
            .found(name)
            .nearest(near)
            .help(help);
    }
    let mut needs = Vec::new();
    for id in &references.steps {
        let span = find_name("steps", id, node, report);
        match names.steps.get(id) {
            Some(step) => needs.push(Need { step: *step, span }),
            None => unknown_step(id, span, names, report),
        }
    }
    needs
}

/// Says that there is no such step.
pub(crate) fn unknown_step(id: &str, span: Span, names: &Names, report: &mut Report<'_>) {
    let near = if report.is_full() { None } else { nearest(id, names.steps.keys().map(String::as_str)) };
    let shown: Vec<&str> = names.steps.keys().map(String::as_str).take(20).collect();
    let more = if names.steps.len() > shown.len() { ", …" } else { "" };
    report
        .error(span, Rule::UnknownReference, format!("there is no step '{id}'"))
        .found(id)
        .nearest(near)
        .help(format!("the steps are {}{more}", shown.join(", ")));
}

fn find_name(root: &str, name: &str, node: &Node, report: &Report<'_>) -> Span {
    let ways = [format!("{root}.{name}"), format!("{root}['{name}']"), format!("{root}[\"{name}\"]"), name.to_owned()];
    find(node, &ways.each_ref().map(String::as_str), report)
}

/// The first of some texts within a scalar, as it is written in the document; else the whole scalar.
fn find(node: &Node, ways: &[&str], report: &Report<'_>) -> Span {
    let written = report.text(node.span);
    let place = ways.iter().filter(|way| !way.is_empty()).find_map(|way| Some((written.find(way)?, way.len())));
    place.map_or(node.span, |(at, len)| Span::new(node.span.start + at, node.span.start + at + len))
}
