//! `repo.write`: one file, one commit on top of the call's.

use super::{entry as new_entry, object, read};
use crate::workspace::RepoPath;
use crate::{Tool, ToolContext, ToolOutput, Workspaces, failure};
use aidt_domain::{Effect, Failure, ToolEntry, ToolReads, WorkspaceChange};
use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::{Value, json};
use std::sync::Arc;

#[derive(Debug)]
pub(crate) struct Write(pub(crate) Arc<Workspaces>);

#[derive(Deserialize)]
struct Args {
    path: String,
    content: String,
    encoding: Option<String>,
}

pub(super) fn entry() -> ToolEntry {
    ToolEntry {
        input_schema: object(
            json!({
                "path": {"type": "string", "description": "Relative to the root of the repository."},
                "content": {"type": "string"},
                "encoding": {"enum": ["utf-8", "base64"], "default": "utf-8"},
            }),
            &["path", "content"],
        ),
        output_schema: object(
            json!({
                "path": {"type": "string"},
                "bytes": {"type": "integer"},
                "commit": {"type": "string", "description": "The commit made; the call's own if nothing changed."},
            }),
            &["path", "bytes", "commit"],
        ),
        writes: ToolReads::Arguments(vec!["path".to_owned()]),
        ..new_entry("repo.write", "repo.write", Effect::Idempotent, "Writes a file of the workspace and commits it.")
    }
}

#[async_trait]
impl Tool for Write {
    fn entry(&self) -> ToolEntry {
        entry()
    }

    async fn run(&self, ctx: &ToolContext, args: Value) -> Result<ToolOutput, Failure> {
        let Args { path, content, encoding } = read(args)?;
        let path = RepoPath::parse(&path)?;
        let content = match encoding.as_deref() {
            Some("base64") => {
                STANDARD.decode(content).map_err(|e| failure::invalid(format!("the content is not base64: {e}")))?
            }
            _ => content.into_bytes(),
        };
        let workspace = self.0.open(ctx).await?;
        let base = workspace.commit().to_owned();
        let commit = workspace.write(ctx, &path, &content).await?;
        let paths = if commit == base { Vec::new() } else { vec![path.to_string()] };
        let output = json!({"path": path.as_str(), "bytes": content.len(), "commit": commit});
        Ok(ToolOutput { workspace: Some(WorkspaceChange { base, commit, paths }), ..ToolOutput::new(output) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::builtin::testing::Repo;

    async fn ready() -> Repo {
        let repo = Repo::new();
        repo.commit("a", "one");
        repo.commit("dir/b", "two");
        repo.link("link", "a");
        repo.link("dirlink", "dir");
        std::fs::write(repo.source().join("tool.sh"), "#!/bin/sh\n").unwrap();
        repo.make_executable("tool.sh");
        repo.prepared().await
    }

    async fn write(repo: &Repo, args: Value) -> Result<WorkspaceChange, Failure> {
        let whole = repo.call_whole(Write(repo.workspaces()), args).await?;
        let output: Value = serde_json::from_slice(&whole.output).unwrap();
        let change = whole.workspace.unwrap();
        assert_eq!(output["commit"], json!(change.commit));
        Ok(change)
    }

    #[tokio::test]
    async fn commits_on_top_of_the_calls_commit_and_nothing_else() {
        let repo = ready().await;
        let base = repo.head();
        for (path, content) in [("a", "changed"), ("new/deep/file", "x\ny"), ("sp \"ace é", ""), ("-x", "dash")] {
            let change = write(&repo, json!({"path": path, "content": content})).await.unwrap();
            assert_eq!((change.base.as_str(), change.paths.as_slice()), (base.as_str(), [path.to_owned()].as_slice()));
            assert_eq!(repo.bare(&["show", &format!("{}:{path}", change.commit)]), content);
            assert_eq!(repo.bare(&["rev-parse", &format!("{}^", change.commit)]), base);
            assert_eq!(
                repo.bare(&["-c", "core.quotePath=false", "diff", "--name-only", "-z", &base, &change.commit]),
                format!("{path}\0")
            );
        }
        assert_eq!(repo.bare(&["fsck", "--strict", "--connectivity-only"]), "");
    }

    #[tokio::test]
    async fn the_same_call_makes_the_same_commit_and_it_is_not_garbage() {
        let repo = ready().await;
        let args = || json!({"path": "a", "content": "aGk=", "encoding": "base64"});
        let first = write(&repo, args()).await.unwrap();
        let again = write(&repo, args()).await.unwrap();
        assert_eq!(first, again);
        assert_eq!(repo.bare(&["show", &format!("{}:a", first.commit)]), "hi");
        repo.bare(&["gc", "--quiet", "--prune=now"]);
        assert_eq!(repo.bare(&["cat-file", "-t", &first.commit]), "commit");
        assert_ne!(write(&repo, json!({"path": "a", "content": "ho"})).await.unwrap().commit, first.commit);
        assert_ne!(write(&repo.with_key("other"), args()).await.unwrap().commit, first.commit);
    }

    #[tokio::test]
    async fn unchanged_content_makes_no_commit() {
        let repo = ready().await;
        let change = write(&repo, json!({"path": "a", "content": "one"})).await.unwrap();
        assert_eq!((change.commit, change.paths), (repo.head(), Vec::new()));
        let change = write(&repo, json!({"path": "a", "content": "two"})).await.unwrap();
        assert_ne!(change.commit, repo.head());
    }

    #[tokio::test]
    async fn an_executable_stays_one() {
        let repo = ready().await;
        let change = write(&repo, json!({"path": "tool.sh", "content": "exit"})).await.unwrap();
        assert!(repo.bare(&["ls-tree", &change.commit, "tool.sh"]).starts_with("100755"));
    }

    #[tokio::test]
    async fn links_directories_and_ways_out_are_refused() {
        let repo = ready().await;
        for (path, says) in [
            ("link", "is a symlink"),
            ("dirlink/b", "dirlink is a symbolic link"),
            ("dir", "is a directory"),
            ("a/b", "a is a file"),
            ("../a", "'..'"),
            ("/etc/passwd", "absolute"),
            (".git/hooks/post-commit", "git's own"),
            ("dir/.GIT/config", "git's own"),
        ] {
            let failure = write(&repo, json!({"path": path, "content": "x"})).await.unwrap_err();
            assert!(failure.message.contains(says), "{path}: {failure}");
            assert_eq!(failure.effect, aidt_domain::EffectHint::None);
        }
        let bad = json!({"path": "a", "content": "§", "encoding": "base64"});
        assert!(write(&repo, bad).await.unwrap_err().message.contains("base64"));
    }

    #[tokio::test]
    async fn many_at_once_share_the_repository() {
        let repo = ready().await;
        let keyed: Vec<_> = (0..6).map(|i| repo.with_key(&format!("k{i}"))).collect();
        let one = |i: usize| write(&keyed[i], json!({"path": format!("p{i}"), "content": "x"}));
        let (a, b, c, d, e, f) = tokio::join!(one(0), one(1), one(2), one(3), one(4), one(5));
        for change in [a, b, c, d, e, f] {
            assert_eq!(change.unwrap().base, repo.head());
        }
    }

    #[tokio::test]
    async fn without_a_workspace_it_says_how_to_get_one() {
        let mut repo = ready().await;
        repo.ctx.commit = None;
        let failure = write(&repo, json!({"path": "a", "content": ""})).await.unwrap_err();
        assert!(failure.message.contains("workspace: { git: . }"), "{failure}");
    }
}
