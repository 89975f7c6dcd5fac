//! The tools that aidt ships: one file each.

mod debug_echo;
mod debug_fail;
mod debug_sleep;
mod git_diff;
mod git_log;
mod repo_list;
mod repo_read;
mod repo_write;
#[cfg(test)]
pub(crate) mod testing;
mod workspace_prepare;

#[cfg(test)]
pub(crate) use {repo_read::Read as RepoRead, repo_write::Write as RepoWrite, workspace_prepare::Prepare};

use crate::{Tool, Workspaces, failure};
use aidt_domain::{Effect, Failure, Pool, ToolEntry, ToolReads};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use std::sync::Arc;

/// Every built-in tool, in the order of their names.
#[must_use]
pub fn builtin(workspaces: &Arc<Workspaces>) -> Vec<Arc<dyn Tool>> {
    let at = || Arc::clone(workspaces);
    vec![
        Arc::new(debug_echo::Echo),
        Arc::new(debug_fail::Fail),
        Arc::new(debug_sleep::Sleep),
        Arc::new(git_diff::Diff(at())),
        Arc::new(git_log::Log(at())),
        Arc::new(repo_list::List(at())),
        Arc::new(repo_read::Read(at())),
        Arc::new(repo_write::Write(at())),
        Arc::new(workspace_prepare::Prepare(at())),
    ]
}

/// The catalogue entries of the built-in tools, in the order of their names.
#[must_use]
pub fn catalogue() -> Vec<ToolEntry> {
    vec![
        debug_echo::entry(),
        debug_fail::entry(),
        debug_sleep::entry(),
        git_diff::entry(),
        git_log::entry(),
        repo_list::entry(),
        repo_read::entry(),
        repo_write::entry(),
        workspace_prepare::entry(),
    ]
}

/// An entry of the pool `default` that needs no sandbox and leaves the workspace alone.
fn entry(name: &str, capability: &str, effect: Effect, description: &str) -> ToolEntry {
    ToolEntry {
        name: name.to_owned(),
        pool: Pool::new("default").expect("a literal of the right form"),
        capability: capability.to_owned(),
        effect,
        description: description.to_owned(),
        input_schema: json!(true),
        output_schema: json!(true),
        reads: ToolReads::None,
        writes: ToolReads::None,
        min_sandbox: "none".to_owned(),
    }
}

/// The schema of an object with these properties and no others.
fn object(properties: Value, required: &[&str]) -> Value {
    json!({"type": "object", "properties": properties, "required": required, "additionalProperties": false})
}

/// Checked arguments as a tool's own type.
fn read<T: DeserializeOwned>(args: Value) -> Result<T, Failure> {
    serde_json::from_value(args).map_err(|e| failure::invalid(e.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{CheckedTool, WorkspaceConfig};

    #[test]
    fn the_catalogue_and_the_tools_agree_and_every_schema_compiles() {
        let workspaces = Arc::new(Workspaces::new(WorkspaceConfig::new("state".into())));
        let served: Vec<_> =
            builtin(&workspaces).into_iter().map(|tool| CheckedTool::new(tool).unwrap().entry().clone()).collect();
        assert_eq!(served, catalogue());
        assert!(served.is_sorted_by_key(|e| e.name.clone()));
        for entry in served {
            assert!(!entry.description.is_empty(), "{} says nothing about itself", entry.name);
        }
    }
}
