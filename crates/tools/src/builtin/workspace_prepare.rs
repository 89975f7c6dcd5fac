//! `workspace.prepare`: clones the run's repository. Called by the synthetic first step `@workspace`.

use super::{entry as new_entry, object, read};
use crate::{Tool, ToolContext, ToolOutput, Workspaces};
use aidt_domain::{Effect, Failure, ToolEntry, WorkspaceChange};
use async_trait::async_trait;
use serde::Deserialize;
use serde_json::{Value, json};
use std::sync::Arc;

#[derive(Debug)]
pub(crate) struct Prepare(pub(crate) Arc<Workspaces>);

#[derive(Deserialize)]
struct Args {
    git: String,
    #[serde(rename = "ref")]
    rev: Option<String>,
}

pub(super) fn entry() -> ToolEntry {
    ToolEntry {
        input_schema: object(
            json!({
                "git": {"type": "string", "minLength": 1,
                    "description": "A path under an allowed root, or a URL. Only what is committed is cloned."},
                "ref": {"type": ["string", "null"],
                    "description": "The branch, tag or commit to start at; HEAD when not given."},
            }),
            &["git"],
        ),
        output_schema: object(json!({"commit": {"type": "string"}}), &["commit"]),
        ..new_entry("workspace.prepare", "repo.clone", Effect::Idempotent, "Clones the run's repository.")
    }
}

#[async_trait]
impl Tool for Prepare {
    fn entry(&self) -> ToolEntry {
        entry()
    }

    async fn run(&self, ctx: &ToolContext, args: Value) -> Result<ToolOutput, Failure> {
        let Args { git, rev } = read(args)?;
        let commit = self.0.prepare(ctx, &git, rev.as_deref()).await?;
        let change = WorkspaceChange { base: String::new(), commit: commit.clone(), paths: Vec::new() };
        Ok(ToolOutput { workspace: Some(change), ..ToolOutput::of_repo(json!({"commit": commit})) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::builtin::testing::{Repo, call_with, git};

    async fn prepare(repo: &Repo, args: Value) -> Result<String, Failure> {
        let output = call_with(Prepare(repo.workspaces()), &repo.ctx, args).await?;
        let change = output.workspace.expect("prepare moves the head");
        assert_eq!(change.base, "");
        Ok(change.commit)
    }

    fn fresh() -> Repo {
        let repo = Repo::new();
        repo.commit("a.txt", "one");
        repo.commit("a.txt", "two");
        repo
    }

    #[tokio::test]
    async fn starts_at_head_or_at_what_ref_names() {
        let repo = fresh();
        let (head, first) = (repo.git(&["rev-parse", "HEAD"]), repo.git(&["rev-parse", "HEAD~1"]));
        repo.git(&["tag", "v1", "HEAD~1"]);
        assert_eq!(prepare(&repo, json!({"git": "."})).await.unwrap(), head);
        for rev in ["v1", "HEAD~1", first.as_str()] {
            let other = repo.other_run();
            assert_eq!(prepare(&other, json!({"git": ".", "ref": rev})).await.unwrap(), first, "{rev}");
        }
        let failure = prepare(&repo.other_run(), json!({"git": ".", "ref": "none"})).await.unwrap_err();
        assert!(failure.message.contains("no revision none"), "{failure}");
    }

    #[tokio::test]
    async fn is_the_same_when_repeated_though_the_source_moved_on() {
        let repo = fresh();
        let first = prepare(&repo, json!({"git": "."})).await.unwrap();
        repo.commit("a.txt", "three");
        assert_eq!(prepare(&repo, json!({"git": "."})).await.unwrap(), first);
        let left = std::fs::read_dir(repo.state()).unwrap().count();
        assert_eq!(left, 1, "no temporary directory stays");
    }

    #[tokio::test]
    async fn two_at_once_agree() {
        let repo = fresh();
        let args = || json!({"git": "."});
        let (a, b) = tokio::join!(prepare(&repo, args()), prepare(&repo, args()));
        assert_eq!(a.unwrap(), b.unwrap());
    }

    #[tokio::test]
    async fn uncommitted_changes_stay_out_and_shallow_and_detached_sources_work() {
        let repo = fresh();
        std::fs::write(repo.source().join("a.txt"), "dirty").unwrap();
        repo.git(&["checkout", "-q", "--detach", "HEAD"]);
        let shallow = repo.source().join("shallow");
        git(&repo.source(), &["clone", "-q", "--depth=1", &format!("file://{}", repo.source().display()), "shallow"]);
        assert!(shallow.join(".git/shallow").exists());
        let commit = prepare(&repo, json!({"git": "shallow"})).await.unwrap();
        assert_eq!(commit, repo.git(&["rev-parse", "HEAD"]));
    }

    #[tokio::test]
    async fn a_repository_without_commits_says_so() {
        let failure = prepare(&Repo::new(), json!({"git": "."})).await.unwrap_err();
        assert!(failure.message.contains("no commit yet"), "{failure}");
    }

    #[tokio::test]
    async fn hooks_of_the_source_never_run() {
        let repo = fresh();
        let mark = repo.source().join("ran");
        for hook in ["post-checkout", "reference-transaction", "post-update", "pre-auto-gc"] {
            repo.hook(hook, &format!("touch {}", mark.display()));
        }
        prepare(&repo, json!({"git": "."})).await.unwrap();
        assert!(!mark.exists());
    }

    #[tokio::test]
    async fn cancelled_it_leaves_nothing() {
        let repo = fresh();
        repo.ctx.cancel.cancel();
        let failure = prepare(&repo, json!({"git": "."})).await.unwrap_err();
        assert_eq!(failure.code, aidt_domain::ErrorCode::Cancelled);
        assert_eq!(std::fs::read_dir(repo.state()).unwrap().count(), 0);
    }
}
