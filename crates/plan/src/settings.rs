//! `retry`, `timeout`, `priority` and `labels`.

use crate::Rule;
use crate::duration;
use crate::fields::{Fields, list, map, text, whole, word};
use crate::limits::{ATTEMPTS, DURATION_MS, LABEL_BYTES, LABELS, NAME_BYTES, PRIORITY};
use crate::report::Report;
use crate::tree::{Data, Node};
use aidt_domain::{Retry, Timeouts};
use std::collections::BTreeMap;

const RETRY_KEYS: [&str; 6] = ["max_attempts", "initial", "factor", "max", "jitter", "not_on"];
const TIMEOUT_KEYS: [&str; 3] = ["queue", "run", "heartbeat"];
const MAX_FACTOR: f64 = 100.0;

pub(crate) fn retry(node: &Node, report: &mut Report<'_>) -> Retry {
    let mut retry = Retry::default();
    let Some(fields) = Fields::read(node, "retry", &RETRY_KEYS, &[], report) else { return retry };
    if let Some(node) = fields.require("max_attempts", "retry", report)
        && let Some(n) = whole(node, "max_attempts", 1..=ATTEMPTS.cast_signed(), report)
    {
        retry.max_attempts = u32::try_from(n).unwrap_or(1);
    }
    if let Some(ms) = fields.get("initial").and_then(|node| duration_ms(node, "initial", report)) {
        retry.initial_ms = ms;
    }
    match fields.get("max").map(|node| (node, duration_ms(node, "max", report))) {
        Some((node, Some(ms))) => {
            retry.max_ms = ms;
            if ms < retry.initial_ms {
                report
                    .error(node.span, Rule::InvalidValue, "the longest wait is shorter than the first")
                    .help("raise 'max', or lower 'initial' (1s when not given)");
            }
        }
        Some((_, None)) => {}
        None => retry.max_ms = retry.max_ms.max(retry.initial_ms),
    }
    if let Some(factor) = fields.get("factor").and_then(|node| factor(node, report)) {
        retry.factor = factor;
    }
    if let Some(jitter) = fields.get("jitter").and_then(|node| word(node, "jitter", &["full", "none"], report)) {
        retry.jitter = jitter == "full";
    }
    if let Some(node) = fields.get("not_on") {
        retry.not_on = not_on(node, report);
    }
    retry
}

fn factor(node: &Node, report: &mut Report<'_>) -> Option<f64> {
    let number = if let Data::Number(n) = &node.data { n.as_f64() } else { None };
    let fits = number.filter(|n| (1.0..=MAX_FACTOR).contains(n));
    if fits.is_none() {
        let message = format!("factor must be a number between 1 and {MAX_FACTOR}");
        let rule = if number.is_some() { Rule::InvalidValue } else { Rule::WrongType };
        let found = report.text(node.span).to_owned();
        report.error(node.span, rule, message).found(&found);
    }
    fits
}

/// Error codes, or a tool's own words for its failures: those cannot be known here.
fn not_on(node: &Node, report: &mut Report<'_>) -> Vec<String> {
    let mut reasons = Vec::new();
    for node in list(node, "not_on", report).unwrap_or_default() {
        let Some(reason) = text(node, "a reason of not_on", report) else { continue };
        match !reason.is_empty() && reason.len() <= NAME_BYTES && !reason.contains(char::is_whitespace) {
            true => reasons.push(reason.to_owned()),
            false => {
                report
                    .error(node.span, Rule::BadName, "a reason of not_on is one word")
                    .found(reason)
                    .help("write an error code as in docs/reference/errors.md, or the tool's own reason");
            }
        }
    }
    reasons
}

pub(crate) fn timeouts(node: &Node, report: &mut Report<'_>) -> Timeouts {
    let mut timeouts = Timeouts::default();
    if node.entries().is_none() {
        if let Some(ms) = duration_ms(node, "timeout", report) {
            timeouts.run_ms = ms;
        }
        return timeouts;
    }
    let Some(fields) = Fields::read(node, "timeout", &TIMEOUT_KEYS, &[], report) else { return timeouts };
    let mut read = |key: &str| fields.get(key).and_then(|node| duration_ms(node, key, report));
    timeouts.queue_ms = read("queue");
    timeouts.run_ms = read("run").unwrap_or(timeouts.run_ms);
    timeouts.heartbeat_ms = read("heartbeat");
    timeouts
}

/// A duration above zero.
fn duration_ms(node: &Node, what: &str, report: &mut Report<'_>) -> Option<u64> {
    let parsed = node.text().and_then(duration::parse);
    if let Some(ms) = parsed.filter(|ms| (1..=DURATION_MS).contains(ms)) {
        return Some(ms);
    }
    let found = report.text(node.span).to_owned();
    let message = match parsed {
        Some(0) => format!("{what} must be longer than nothing"),
        Some(_) => format!("{what} is longer than 30 days"),
        None => format!("{what} must be a duration"),
    };
    let help = match &node.data {
        Data::Number(n) => format!("add a unit: {n}s"),
        _ => "write a number and a unit: 500ms, 60s, 5m, 1h30m, 2d".to_owned(),
    };
    report.error(node.span, Rule::BadDuration, message).found(&found).help(help);
    None
}

pub(crate) fn priority(node: &Node, report: &mut Report<'_>) -> Option<i32> {
    whole(node, "priority", -PRIORITY..=PRIORITY, report).and_then(|n| i32::try_from(n).ok())
}

pub(crate) fn labels(node: &Node, report: &mut Report<'_>) -> BTreeMap<String, String> {
    let entries = map(node, "labels", report).unwrap_or_default();
    if entries.len() > LABELS {
        let message = format!("there are {} labels; the limit is {LABELS}", entries.len());
        report.error(node.span, Rule::Limit, message);
    }
    let mut labels = BTreeMap::new();
    for entry in entries {
        if entry.key.is_empty() || entry.key.len() > NAME_BYTES {
            let message = format!("a label's name has 1 to {NAME_BYTES} bytes");
            report.error(entry.key_span, Rule::BadName, message).found(&entry.key);
        }
        let what = format!("the label '{}'", entry.key);
        let Some(value) = text(&entry.value, &what, report) else { continue };
        if value.len() > LABEL_BYTES {
            let message = format!("{what} has {} bytes; the limit is {LABEL_BYTES}", value.len());
            report.error(entry.value.span, Rule::Limit, message);
        }
        if value.contains("${{") {
            report
                .error(entry.value.span, Rule::BadExpression, "expressions are not evaluated in labels")
                .help("write the value itself; a submitter can add labels to a run");
        }
        labels.insert(entry.key.clone(), value.to_owned());
    }
    labels
}
