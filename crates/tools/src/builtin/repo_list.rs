//! `repo.list`: what a directory holds.

use super::{entry as new_entry, object, read};
use crate::text::json_string_len;
use crate::workspace::{Kind, RepoPath, Workspace, parse_entries};
use crate::{Tool, ToolContext, ToolOutput, Workspaces, failure};
use aidt_domain::{Effect, Failure, MAX_INLINE_BYTES, ToolEntry, ToolReads};
use async_trait::async_trait;
use serde::Deserialize;
use serde_json::{Value, json};
use std::sync::Arc;

/// JSON around the path of one entry: keys, quotes, type, a size of up to 20 digits.
const ENTRY_OVERHEAD: usize = 60;

#[derive(Debug)]
pub(super) struct List(pub(super) Arc<Workspaces>);

#[derive(Deserialize)]
struct Args {
    #[serde(default)]
    path: String,
    #[serde(default)]
    recursive: bool,
}

pub(super) fn entry() -> ToolEntry {
    let listed = object(
        json!({
            "path": {"type": "string", "description": "From the root of the repository."},
            "type": {"enum": ["file", "directory", "symlink", "submodule"]},
            "size": {"type": "integer", "description": "Of a file, in bytes; else 0."},
        }),
        &["path", "type", "size"],
    );
    ToolEntry {
        input_schema: object(
            json!({
                "path": {"type": "string", "description": "A directory; the root when not given."},
                "recursive": {"type": "boolean", "default": false},
            }),
            &[],
        ),
        output_schema: object(
            json!({"entries": {"type": "array", "items": listed}, "truncated": {"type": "boolean"}}),
            &["entries", "truncated"],
        ),
        reads: ToolReads::All,
        ..new_entry("repo.list", "repo.read", Effect::Read, "Lists a directory of the workspace.")
    }
}

#[async_trait]
impl Tool for List {
    fn entry(&self) -> ToolEntry {
        entry()
    }

    async fn run(&self, ctx: &ToolContext, args: Value) -> Result<ToolOutput, Failure> {
        let Args { path, recursive } = read(args)?;
        let path = RepoPath::parse_or_root(&path)?;
        let workspace = self.0.open(ctx).await?;
        let (tree, prefix) = match &path {
            None => (workspace.commit().to_owned(), String::new()),
            Some(path) => (directory(&workspace, path).await?, format!("{path}/")),
        };
        let mut git = workspace.git("ls-tree").args(["-z", "-l", "--full-tree"]);
        if recursive {
            git = git.args(["-r", "-t"]);
        }
        let listed = git.arg(tree).limit(4 * MAX_INLINE_BYTES).run().await?;
        let (mut entries, mut used, mut truncated) = (Vec::new(), 64, listed.truncated);
        for entry in parse_entries(&listed.stdout) {
            let path = format!("{prefix}{}", entry.path);
            used += json_string_len(&path) + ENTRY_OVERHEAD;
            if used > MAX_INLINE_BYTES {
                truncated = true;
                break;
            }
            entries.push(json!({"path": path, "type": entry.kind.as_str(), "size": entry.size}));
        }
        Ok(ToolOutput::of_repo(json!({"entries": entries, "truncated": truncated})))
    }
}

async fn directory(workspace: &Workspace<'_>, path: &RepoPath) -> Result<String, Failure> {
    match workspace.lookup(path).await? {
        Some(entry) if entry.kind == Kind::Directory => Ok(entry.object),
        Some(entry) => Err(failure::invalid(format!("path {path} is a {}, not a directory", entry.kind.as_str()))),
        None => Err(failure::not_found(format!("there is no directory {path} at {}", workspace.commit()))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::builtin::testing::Repo;

    fn paths(output: &Value) -> Vec<&str> {
        output["entries"].as_array().unwrap().iter().map(|e| e["path"].as_str().unwrap()).collect()
    }

    #[tokio::test]
    async fn one_level_all_levels_and_a_directory() {
        let repo = Repo::new();
        repo.commit("b/c/d", "12");
        repo.commit("a", "1");
        repo.link("l", "a");
        let repo = repo.prepared().await;
        let list = async |args| repo.call(List(repo.workspaces()), args).await;
        let output = list(json!({})).await.unwrap();
        assert_eq!(
            output["entries"],
            json!([
                {"path": "a", "type": "file", "size": 1},
                {"path": "b", "type": "directory", "size": 0},
                {"path": "l", "type": "symlink", "size": 1},
            ])
        );
        assert_eq!(output["truncated"], false);
        assert_eq!(paths(&list(json!({"recursive": true})).await.unwrap()), ["a", "b", "b/c", "b/c/d", "l"]);
        assert_eq!(paths(&list(json!({"path": "b/", "recursive": true})).await.unwrap()), ["b/c", "b/c/d"]);
        assert_eq!(paths(&list(json!({"path": "."})).await.unwrap()).len(), 3);
        for (path, says) in [("a", "is a file"), ("l", "is a symlink"), ("none", "no directory none")] {
            let failure = list(json!({"path": path})).await.unwrap_err();
            assert!(failure.message.contains(says), "{failure}");
        }
    }

    #[tokio::test]
    async fn a_long_list_is_cut_below_the_limit() {
        let repo = Repo::new();
        for i in 0..2_000 {
            std::fs::write(repo.source().join(format!("{i:0150}")), "").unwrap();
        }
        let repo = repo.prepared().await;
        let output = repo.call(List(repo.workspaces()), json!({})).await.unwrap();
        assert_eq!(output["truncated"], true);
        assert!(output.to_string().len() > MAX_INLINE_BYTES / 2);
    }
}
