//! The plan's `permissions`: the most that any step may use.

use crate::Rule;
use crate::fields::{list, text};
use crate::limits::NAME_BYTES;
use crate::report::Report;
use crate::source::Span;
use crate::tree::Node;
use aidt_domain::ToolEntry;
use std::collections::BTreeMap;

/// The capabilities that a plan allows itself, with their places and whether a step uses them.
#[derive(Debug, Default)]
pub(crate) struct Permissions {
    /// `None`: the plan states no ceiling.
    declared: Option<BTreeMap<String, (Span, bool)>>,
}

impl Permissions {
    pub(crate) fn read(node: &Node, report: &mut Report<'_>) -> Self {
        let Some(nodes) = list(node, "permissions", report) else { return Self::default() };
        let mut declared = BTreeMap::new();
        for node in nodes {
            let Some(word) = text(node, "a capability", report) else { continue };
            let valid = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
            if word.is_empty() || word.len() > NAME_BYTES || !word.chars().all(valid) {
                report
                    .error(node.span, Rule::BadName, format!("'{word}' is not a capability"))
                    .found(word)
                    .help("capabilities are words such as repo.read, repo.write, model.chat");
            }
            declared.insert(word.to_owned(), (node.span, false));
        }
        Self { declared: Some(declared) }
    }

    /// Notes that a step uses a tool, and reports it if the plan does not allow it.
    pub(crate) fn check(&mut self, tool: &ToolEntry, at: Span, report: &mut Report<'_>) {
        let Some(declared) = &mut self.declared else { return };
        let capability = &tool.capability;
        if let Some((_, used)) = declared.get_mut(capability) {
            *used = true;
            return;
        }
        let message = format!("{} needs the capability '{capability}', which 'permissions' does not have", tool.name);
        report
            .error(at, Rule::UndeclaredCapability, message)
            .found(capability)
            .help(format!("add {capability} to 'permissions'"));
    }

    /// Adds what the plan says by its other keys.
    pub(crate) fn imply(&mut self, capability: &str) {
        if let Some(declared) = &mut self.declared {
            declared.entry(capability.to_owned()).or_default().1 = true;
        }
    }

    /// The capabilities in order; those that no step uses are warned of.
    pub(crate) fn finish(self, report: &mut Report<'_>) -> Option<Vec<String>> {
        let declared = self.declared?;
        for (capability, (span, used)) in &declared {
            if !used {
                report
                    .warning(*span, Rule::Unused, format!("no step uses the capability '{capability}'"))
                    .found(capability)
                    .help("remove it: a plan should permit no more than it needs");
            }
        }
        Some(declared.into_keys().collect())
    }
}
