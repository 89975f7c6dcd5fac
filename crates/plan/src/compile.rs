//! From a document to the snapshot that a run executes.

use crate::arguments::Schemas;
use crate::capability::Permissions;
use crate::expressions::Names;
use crate::fields::{Fields, list, text};
use crate::limits::{DOCUMENT_BYTES, NAME_BYTES, STEPS};
use crate::report::Report;
use crate::step::{Context, Draft};
use crate::tree::Node;
use crate::workspace::Workspace;
use crate::{
    Catalogue, Diagnostic, Rule, Source, graph, inputs, json, outputs, settings, source, step, workspace, yaml,
};
use aidt_domain::{FORMAT, InputSpec, Snapshot};
use std::collections::BTreeMap;

const KEYS: [&str; 8] = ["name", "inputs", "permissions", "workspace", "steps", "outputs", "labels", "priority"];
/// Keys of later versions.
const LATER: [&str; 9] = [
    "agents",
    "budget",
    "concurrency",
    "env",
    "idempotency_key",
    "max_parallel",
    "on_deny",
    "output_schema",
    "secrets",
];
/// Cycles shown; a plan with more is a knot anyway.
const CYCLES: usize = 10;
/// Steps of a cycle that are named.
const CYCLE_NAMES: usize = 12;

/// A plan that can be run.
#[derive(Clone, Debug, PartialEq)]
pub struct Compiled {
    /// What a run executes.
    pub snapshot: Snapshot,
    /// What does not keep it from being run.
    pub warnings: Vec<Diagnostic>,
}

/// Compiles a document. The same document against the same catalogue gives the same snapshot.
///
/// # Errors
/// Everything that is wrong with it, in the order of the text (the first 100, and how many more).
pub fn compile(source: &Source, catalogue: &Catalogue) -> Result<Compiled, Vec<Diagnostic>> {
    if source.text.len() > DOCUMENT_BYTES {
        return Err(vec![source::too_large(&source.name, source.text.len())]);
    }
    let mut report = Report::new(source);
    let snapshot = match parse(source, &mut report) {
        Some(root) => document(&root, source, catalogue, &mut report),
        None => None,
    };
    let warnings = report.finish()?;
    let snapshot = snapshot.expect("without errors there is a snapshot");
    Ok(Compiled { snapshot, warnings })
}

/// The tree of a document, as JSON when it is, else as YAML.
pub(crate) fn parse(source: &Source, report: &mut Report<'_>) -> Option<Node> {
    if json::looks_like(&source.text) {
        match json::parse(source, report) {
            Ok(root) => return Some(root),
            Err(e) if source.name.ends_with(".json") || e.rule == Rule::Limit => {
                report.error(e.span, e.rule, e.message);
                return None;
            }
            Err(_) => {}
        }
    }
    let root = yaml::parse(source, report);
    if root.is_none() && !report.has_errors() {
        report
            .error(source::Span::default(), Rule::Syntax, "the document is empty")
            .help("a plan needs at least 'steps'");
    }
    root
}

fn document(root: &Node, source: &Source, catalogue: &Catalogue, report: &mut Report<'_>) -> Option<Snapshot> {
    let fields = Fields::read(root, "a plan", &KEYS, &LATER, report)?;
    let inputs = fields.get("inputs").map(|node| inputs::read(node, report)).unwrap_or_default();
    let name = name(&fields, source, report);
    let mut permissions = fields.get("permissions").map(|node| Permissions::read(node, report)).unwrap_or_default();
    let labels = fields.get("labels").map(|node| settings::labels(node, report)).unwrap_or_default();
    let priority = fields.get("priority").and_then(|node| settings::priority(node, report)).unwrap_or(0);

    let nodes = steps(&fields, report);
    let (names, ids) = names(nodes, &inputs, report);
    let mut schemas = Schemas::default();
    let workspace =
        fields.entry("workspace").and_then(|entry| workspace::read(entry, catalogue, &names, &mut schemas, report));
    if let Some(workspace) = &workspace {
        permissions.imply(&workspace.tool.capability);
    }
    let mut cx = Context {
        catalogue,
        names: &names,
        permissions: &mut permissions,
        schemas: &mut schemas,
        has_workspace: fields.get("workspace").is_some(),
        priority,
    };
    let drafts: Vec<_> = nodes.iter().zip(ids).map(|(node, id)| step::read(node, id, &mut cx, report)).collect();
    report_cycles(&drafts, report);
    let outputs = fields.get("outputs").map(|node| outputs::read(node, &names, report)).unwrap_or_default();
    let permissions = permissions.finish(report);
    if report.has_errors() {
        return None;
    }
    let steps = assemble(drafts, workspace.as_ref(), priority)?;
    warn_of_idle_workspace(&fields, &steps, report);
    Some(Snapshot {
        format: FORMAT,
        name,
        inputs,
        permissions,
        workspace: workspace.map(|workspace| workspace.spec),
        steps,
        outputs,
        labels,
        priority,
    })
}

fn assemble(
    drafts: Vec<Option<Draft<'_>>>,
    workspace: Option<&Workspace<'_>>,
    priority: i32,
) -> Option<Vec<aidt_domain::StepSpec>> {
    let first = workspace.map(|workspace| workspace.step(priority));
    let before = usize::from(first.is_some());
    let mut steps: Vec<_> = first.into_iter().collect();
    for draft in drafts {
        steps.push(draft?.into_spec(before)?);
    }
    Some(steps)
}

fn warn_of_idle_workspace(fields: &Fields<'_>, steps: &[aidt_domain::StepSpec], report: &mut Report<'_>) {
    let uses = |step: &aidt_domain::StepSpec| step.kind.tool().is_some_and(|tool| tool.uses_workspace());
    if let Some(entry) = fields.entry("workspace")
        && !steps.iter().skip(1).any(uses)
    {
        report
            .warning(entry.key_span, Rule::Unused, "no step uses the workspace")
            .help("remove 'workspace': the repository would be cloned for nothing");
    }
}

/// The plan's name: as written, or else its file's.
fn name(fields: &Fields<'_>, source: &Source, report: &mut Report<'_>) -> String {
    let Some(node) = fields.get("name") else { return stem(&source.name) };
    let name = text(node, "name", report).unwrap_or_default();
    let forbidden = |c: char| c.is_control() || c == '@';
    if node.text().is_some() && (name.trim().is_empty() || name.len() > NAME_BYTES || name.contains(forbidden)) {
        report
            .error(node.span, Rule::BadName, "this cannot be the name of a plan")
            .found(name)
            .help(format!("a name has 1 to {NAME_BYTES} bytes, and no @ or line breaks"));
    }
    name.to_owned()
}

fn stem(file: &str) -> String {
    let base = file.rsplit(['/', '\\']).next().unwrap_or_default();
    let stem = base.rsplit_once('.').map_or(base, |(stem, _)| stem);
    let name: String = stem.chars().filter(|c| !c.is_control() && *c != '@').take(NAME_BYTES / 4).collect();
    if name.trim().is_empty() { "plan".to_owned() } else { name }
}

fn steps<'t>(fields: &Fields<'t>, report: &mut Report<'_>) -> &'t [Node] {
    let Some(node) = fields.require("steps", "a plan", report) else { return &[] };
    let nodes = list(node, "steps", report).unwrap_or_default();
    if nodes.is_empty() && node.list().is_some() {
        report.error(node.span, Rule::InvalidValue, "the plan has no steps").help("add a step: '- { id: …, tool: … }'");
    }
    if nodes.len() > STEPS {
        let message = format!("the plan has {} steps; the limit is {STEPS}", nodes.len());
        report.error(node.span, Rule::Limit, message);
    }
    nodes
}

/// What expressions may name, and each step's id if it has a good one.
fn names<'t>(
    nodes: &'t [Node],
    inputs: &BTreeMap<String, InputSpec>,
    report: &mut Report<'_>,
) -> (Names, Vec<Option<&'t str>>) {
    let mut steps = BTreeMap::new();
    let mut ids = Vec::with_capacity(nodes.len());
    for (i, node) in nodes.iter().enumerate() {
        let found = step::id(node, report);
        ids.push(found.map(|(id, _)| id));
        let Some((id, span)) = found else { continue };
        if steps.contains_key(id) {
            report
                .error(span, Rule::DuplicateId, format!("there is another step '{id}' above"))
                .found(id)
                .help("give each step an id of its own");
        } else {
            steps.insert(id.to_owned(), i);
        }
    }
    (Names { inputs: inputs.keys().cloned().collect(), steps }, ids)
}

fn report_cycles(drafts: &[Option<Draft<'_>>], report: &mut Report<'_>) {
    let needs: Vec<Vec<usize>> =
        drafts.iter().map(|draft| draft.iter().flat_map(|d| d.needs.iter().map(|need| need.step)).collect()).collect();
    for cycle in graph::cycles(&needs).into_iter().take(CYCLES) {
        let id = |step: &usize| drafts[*step].as_ref().map_or("?", |draft| draft.id.as_str());
        let mut path: Vec<&str> = cycle.iter().take(CYCLE_NAMES).map(id).collect();
        if cycle.len() > CYCLE_NAMES {
            path.push("…");
        }
        path.push(id(&cycle[0]));
        let path = path.join(" -> ");
        let next = cycle.get(1).unwrap_or(&cycle[0]);
        let need = drafts[cycle[0]].as_ref().and_then(|draft| draft.needs.iter().find(|need| need.step == *next));
        let span = need.map(|need| need.span).unwrap_or_default();
        report
            .error(span, Rule::Cycle, format!("these steps need one another: {path}"))
            .found(&path)
            .help("remove one of the needs, or one of the references that imply them");
    }
}
