//! The run's git repository: `workspace` becomes a first step that prepares it.

use crate::arguments::Schemas;
use crate::expressions::{Names, template};
use crate::fields::{Fields, text};
use crate::report::Report;
use crate::tree::{Entry, Node};
use crate::{Catalogue, Rule};
use aidt_domain::{Retry, StepKind, StepPath, StepSpec, Timeouts, ToolEntry, WorkspaceSpec};
use serde_json::{Map, Value};

/// The id of the step that prepares the workspace.
pub(crate) const STEP: &str = "@workspace";
/// The tool that it calls.
pub(crate) const TOOL: &str = "workspace.prepare";

/// A plan's workspace, checked.
#[derive(Debug)]
pub(crate) struct Workspace<'c> {
    pub(crate) spec: WorkspaceSpec,
    pub(crate) tool: &'c ToolEntry,
}

pub(crate) fn read<'c>(
    entry: &Entry,
    catalogue: &'c Catalogue,
    names: &Names,
    schemas: &mut Schemas<'c>,
    report: &mut Report<'_>,
) -> Option<Workspace<'c>> {
    let node = &entry.value;
    let fields = Fields::read(node, "workspace", &["git", "ref"], &[], report)?;
    for need in template(node, names, report) {
        report
            .error(need.span, Rule::UnknownReference, "the workspace is prepared before any step runs")
            .help("its expressions may name inputs and run, no steps");
    }
    let git = fields.require("git", "workspace", report).and_then(|node| non_empty(node, "git", report));
    let rev = fields.get("ref").map(|node| non_empty(node, "ref", report));
    let Some(tool) = catalogue.get(TOOL) else {
        report
            .error(
                entry.key_span,
                Rule::UnknownTool,
                format!("the catalogue has no '{TOOL}', which prepares workspaces"),
            )
            .help("the built-in tools include it: use a server that has them");
        return None;
    };
    let rev = match rev {
        Some(rev) => Some(rev?.to_owned()),
        None => None,
    };
    let spec = WorkspaceSpec { git: git?.to_owned(), rev };
    schemas.check(tool, Some(node), entry.key_span, report);
    Some(Workspace { spec, tool })
}

fn non_empty<'t>(node: &'t Node, what: &str, report: &mut Report<'_>) -> Option<&'t str> {
    let found = text(node, what, report)?;
    if found.trim().is_empty() {
        report.error(node.span, Rule::InvalidValue, format!("{what} is empty"));
        return None;
    }
    Some(found)
}

impl Workspace<'_> {
    /// The synthetic first step.
    pub(crate) fn step(&self, priority: i32) -> StepSpec {
        let mut with = Map::from_iter([("git".to_owned(), Value::from(self.spec.git.as_str()))]);
        if let Some(rev) = &self.spec.rev {
            with.insert("ref".to_owned(), rev.as_str().into());
        }
        StepSpec {
            path: StepPath::new(STEP).expect("a literal of the right form"),
            kind: StepKind::Tool(self.tool.clone()),
            needs: Vec::new(),
            when: None,
            always: false,
            with: Value::Object(with),
            retry: Retry::default(),
            timeouts: Timeouts::default(),
            continue_on_error: false,
            priority,
        }
    }
}
