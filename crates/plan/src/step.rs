//! One step of a document.

use crate::arguments::Schemas;
use crate::capability::Permissions;
use crate::diagnostic::nearest;
use crate::expressions::{Names, Need, condition, template, unknown_step};
use crate::fields::{Fields, NAME_FORM, boolean, is_name, list, map, text};
use crate::limits::VALUE_BYTES;
use crate::report::Report;
use crate::source::Span;
use crate::tree::Node;
use crate::{Catalogue, Rule, settings, workspace};
use aidt_domain::{Retry, StepIx, StepKind, StepPath, StepSpec, Timeouts, ToolEntry, canonical_json};
use serde_json::{Map, Value};

const KEYS: [&str; 9] = ["id", "tool", "with", "needs", "if", "retry", "timeout", "continue_on_error", "priority"];
/// Keys of later versions.
const LATER: [&str; 14] = [
    "agent",
    "approval",
    "budget",
    "chat",
    "concurrency",
    "env",
    "for_each",
    "idempotency_key",
    "max_parallel",
    "on_deny",
    "output_schema",
    "plan",
    "secrets",
    "wait",
];
/// Those of them that say what a step does.
const LATER_KINDS: [&str; 5] = ["agent", "approval", "chat", "plan", "wait"];

/// What is needed to read a step.
pub(crate) struct Context<'a, 'c> {
    pub(crate) catalogue: &'c Catalogue,
    pub(crate) names: &'a Names,
    pub(crate) permissions: &'a mut Permissions,
    pub(crate) schemas: &'a mut Schemas<'c>,
    /// The plan says where the steps work.
    pub(crate) has_workspace: bool,
    /// The plan's.
    pub(crate) priority: i32,
}

/// A step, read; its needs are positions in the document.
#[derive(Debug)]
pub(crate) struct Draft<'c> {
    pub(crate) id: String,
    pub(crate) needs: Vec<Need>,
    tool: Option<&'c ToolEntry>,
    when: Option<String>,
    always: bool,
    with: Value,
    retry: Retry,
    timeouts: Timeouts,
    continue_on_error: bool,
    priority: i32,
}

/// The id of a step, if it has a good one.
pub(crate) fn id<'t>(node: &'t Node, report: &mut Report<'_>) -> Option<(&'t str, Span)> {
    let entries = map(node, "a step", report)?;
    let Some(entry) = entries.iter().find(|e| e.key == "id") else {
        report
            .error(node.span, Rule::MissingKey, "a step needs the key 'id'")
            .help("add 'id: …': a name by which other steps refer to it");
        return None;
    };
    let id = text(&entry.value, "id", report)?;
    if is_name(id) {
        return Some((id, entry.value.span));
    }
    let help = match id.starts_with('@') {
        true => "ids that begin with @ are for steps that aidt adds",
        false => NAME_FORM,
    };
    report.error(entry.value.span, Rule::BadName, format!("'{id}' cannot be the id of a step")).found(id).help(help);
    None
}

pub(crate) fn read<'c>(
    node: &Node,
    id: Option<&str>,
    cx: &mut Context<'_, 'c>,
    report: &mut Report<'_>,
) -> Option<Draft<'c>> {
    node.entries()?;
    let what = id.map_or_else(|| "a step".to_owned(), |id| format!("the step '{id}'"));
    let fields = Fields::read(node, &what, &KEYS, &LATER, report)?;
    let tool = tool(&fields, &what, cx, report);
    let with = fields.get("with");
    let mut needs = with.map_or_else(Vec::new, |with| template(with, cx.names, report));
    let with_fits = with.is_none_or(|with| map(with, "with", report).is_some());
    if let Some((tool, at)) = tool.filter(|_| with_fits) {
        cx.schemas.check(tool, with, at, report);
    }
    if let Some(node) = fields.get("needs") {
        needs.extend(written_needs(node, cx.names, report));
    }
    let condition = fields.get("if").and_then(|node| condition(node, cx.names, report));
    let (when, always) = match condition {
        Some((source, always, named)) => {
            needs.extend(named);
            (Some(source), always)
        }
        None => (None, false),
    };
    let with = with.map_or_else(|| Value::Object(Map::new()), Node::to_json);
    check_size(&with, &fields, report);
    Some(Draft {
        id: id.unwrap_or_default().to_owned(),
        needs,
        tool: tool.map(|(tool, _)| tool),
        when,
        always,
        with,
        retry: fields.get("retry").map(|node| settings::retry(node, report)).unwrap_or_default(),
        timeouts: fields.get("timeout").map(|node| settings::timeouts(node, report)).unwrap_or_default(),
        continue_on_error: fields
            .get("continue_on_error")
            .and_then(|node| boolean(node, "continue_on_error", report))
            .unwrap_or(false),
        priority: fields.get("priority").and_then(|node| settings::priority(node, report)).unwrap_or(cx.priority),
    })
}

fn check_size(with: &Value, fields: &Fields<'_>, report: &mut Report<'_>) {
    let size = canonical_json(with).len();
    if size > VALUE_BYTES
        && let Some(entry) = fields.entry("with")
    {
        let message = format!("the arguments take {size} bytes; the limit is {VALUE_BYTES}");
        report.error(entry.key_span, Rule::Limit, message);
    }
}

/// The step's tool, known, permitted, and with the workspace that it works on.
fn tool<'c>(
    fields: &Fields<'_>,
    what: &str,
    cx: &mut Context<'_, 'c>,
    report: &mut Report<'_>,
) -> Option<(&'c ToolEntry, Span)> {
    if fields.get("tool").is_none() && LATER_KINDS.iter().any(|kind| fields.get(kind).is_some()) {
        return None;
    }
    let node = fields.require("tool", what, report)?;
    let name = text(node, "tool", report)?;
    let Some(tool) = cx.catalogue.get(name) else {
        let near = if report.is_full() { None } else { nearest(name, cx.catalogue.iter().map(|t| t.name.as_str())) };
        report
            .error(node.span, Rule::UnknownTool, format!("there is no tool '{name}' in the catalogue"))
            .found(name)
            .nearest(near)
            .help("`aidt tools ls` lists the tools; --tools DIR adds entries to the catalogue");
        return None;
    };
    if name == workspace::TOOL {
        report
            .error(node.span, Rule::InvalidValue, format!("{name} is not for steps to call"))
            .found(name)
            .help("write 'workspace: { git: … }' at the top of the plan");
        return None;
    }
    cx.permissions.check(tool, node.span, report);
    if tool.uses_workspace() && !cx.has_workspace {
        report
            .error(
                node.span,
                Rule::WorkspaceMissing,
                format!("{name} works on a git repository, and the plan names none"),
            )
            .help("add 'workspace: { git: PATH-OR-URL }' to the plan");
    }
    Some((tool, node.span))
}

/// `needs: a` or `needs: [a, b]`.
fn written_needs(node: &Node, names: &Names, report: &mut Report<'_>) -> Vec<Need> {
    let single = std::slice::from_ref(node);
    let nodes = if node.text().is_some() { single } else { list(node, "needs", report).unwrap_or_default() };
    let mut needs = Vec::with_capacity(nodes.len());
    for node in nodes {
        let Some(id) = text(node, "an element of needs", report) else { continue };
        match names.steps.get(id) {
            Some(step) => needs.push(Need { step: *step, span: node.span }),
            None => unknown_step(id, node.span, names, report),
        }
    }
    needs
}

impl Draft<'_> {
    /// The step as it is executed. `before`: steps that stand in front of the document's; with one,
    /// tools that use the workspace need it.
    pub(crate) fn into_spec(self, before: usize) -> Option<StepSpec> {
        let tool = self.tool?.clone();
        let ix = |step: usize| StepIx(u32::try_from(step).unwrap_or(u32::MAX));
        let mut needs: Vec<StepIx> = self.needs.iter().map(|need| ix(need.step + before)).collect();
        if before > 0 && tool.uses_workspace() {
            needs.push(StepIx(0));
        }
        needs.sort_unstable();
        needs.dedup();
        Some(StepSpec {
            path: StepPath::new(&self.id).ok()?,
            kind: StepKind::Tool(tool),
            needs,
            when: self.when,
            always: self.always,
            with: self.with,
            retry: self.retry,
            timeouts: self.timeouts,
            continue_on_error: self.continue_on_error,
            priority: self.priority,
        })
    }
}
