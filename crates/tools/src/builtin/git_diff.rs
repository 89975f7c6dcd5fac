//! `git.diff`: what changed between two commits.

use super::{entry as new_entry, object, read};
use crate::text::{fit, json_string_len};
use crate::workspace::{GitError, RepoPath, Workspace, revision};
use crate::{Tool, ToolContext, ToolOutput, Workspaces, failure};
use aidt_domain::{Effect, Failure, ToolEntry, ToolReads};
use async_trait::async_trait;
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Of the patch, in bytes of JSON.
const DEFAULT_PATCH: usize = 128 * 1024;
const MAX_PATCH: usize = 192 * 1024;
/// Of the list of files, in bytes of JSON.
const MAX_FILES: usize = 60 * 1024;
/// JSON around the paths of one file.
const FILE_OVERHEAD: usize = 100;

/// Nothing that the repository says about how to show a file is heeded.
const PLAIN: [&str; 4] = ["--no-ext-diff", "--no-textconv", "--no-color", "--find-renames"];

#[derive(Debug)]
pub(super) struct Diff(pub(super) Arc<Workspaces>);

#[derive(Deserialize)]
struct Args {
    from: Option<String>,
    to: Option<String>,
    path: Option<String>,
    max_bytes: Option<usize>,
}

pub(super) fn entry() -> ToolEntry {
    let count = json!({"type": "integer", "description": "Lines; not given for what is not text."});
    let file = object(
        json!({
            "path": {"type": "string"},
            "from": {"type": "string", "description": "What a renamed or copied file was called."},
            "status": {"enum": ["added", "copied", "deleted", "modified", "renamed", "type_changed"]},
            "additions": count,
            "deletions": count,
        }),
        &["path", "status"],
    );
    ToolEntry {
        input_schema: object(
            json!({
                "from": {"type": "string", "description": "The older; where the run began, when not given."},
                "to": {"type": "string", "description": "The newer; HEAD when not given. HEAD is the run's own."},
                "path": {"type": "string", "description": "Only what is at or under this."},
                "max_bytes": {"type": "integer", "minimum": 1, "maximum": MAX_PATCH, "default": DEFAULT_PATCH,
                    "description": "Cut the patch off after this many bytes (as JSON)."},
            }),
            &[],
        ),
        output_schema: object(
            json!({
                "diff": {"type": "string", "description": "A unified diff."},
                "files": {"type": "array", "items": file},
                "truncated": {"type": "boolean", "description": "The diff or the list was cut off."},
            }),
            &["diff", "files", "truncated"],
        ),
        reads: ToolReads::All,
        ..new_entry("git.diff", "repo.read", Effect::Read, "Shows what changed between two commits.")
    }
}

#[async_trait]
impl Tool for Diff {
    fn entry(&self) -> ToolEntry {
        entry()
    }

    async fn run(&self, ctx: &ToolContext, args: Value) -> Result<ToolOutput, Failure> {
        let Args { from, to, path, max_bytes } = read(args)?;
        let workspace = self.0.open(ctx).await?;
        let path = path.as_deref().map(RepoPath::parse_or_root).transpose()?.flatten();
        let from = match from {
            Some(from) => revision(&from, workspace.commit())?,
            None => workspace.start().await?,
        };
        let to = revision(to.as_deref().unwrap_or("HEAD"), workspace.commit())?;
        let limit = max_bytes.unwrap_or(DEFAULT_PATCH);
        let (files, files_cut) = files(&workspace, &from, &to, path.as_ref()).await?;
        let (diff, diff_cut) = patch(&workspace, &from, &to, path.as_ref(), limit).await?;
        Ok(ToolOutput::of_repo(json!({"diff": diff, "files": files, "truncated": files_cut || diff_cut})))
    }
}

fn no_such_revision(error: GitError) -> Failure {
    match error {
        GitError::Exit { stderr, .. } => failure::not_found(format!("there is no diff between these: {stderr}")),
        other => other.into(),
    }
}

async fn patch(
    workspace: &Workspace<'_>,
    from: &str,
    to: &str,
    path: Option<&RepoPath>,
    limit: usize,
) -> Result<(String, bool), Failure> {
    let git = workspace.git("diff").args(PLAIN).arg("--patch").args(["--end-of-options", from, to, "--"]);
    let git = git.args(path.map(RepoPath::as_str)).limit(limit);
    let printed = git.run().await.map_err(no_such_revision)?;
    let text = String::from_utf8_lossy(&printed.stdout);
    let fitting = fit(&text, limit);
    let cut = printed.truncated || fitting.len() < text.len();
    // Whole lines, unless one line is all there is.
    let end = if cut { fitting.rfind('\n').map_or(fitting.len(), |at| at + 1) } else { fitting.len() };
    Ok((fitting[..end].to_owned(), cut))
}

async fn files(
    workspace: &Workspace<'_>,
    from: &str,
    to: &str,
    path: Option<&RepoPath>,
) -> Result<(Vec<Value>, bool), Failure> {
    let git = workspace.git("diff").args(PLAIN).args(["--raw", "--numstat", "-z", "--end-of-options", from, to, "--"]);
    let printed = git.args(path.map(RepoPath::as_str)).limit(4 * 1024 * 1024).run().await.map_err(no_such_revision)?;
    let all = parse(&printed.stdout);
    let (mut files, mut used) = (Vec::new(), 0);
    let count = all.len();
    for file in all {
        used +=
            file.as_object().into_iter().flatten().filter_map(|(_, v)| v.as_str()).map(json_string_len).sum::<usize>()
                + FILE_OVERHEAD;
        if used > MAX_FILES {
            break;
        }
        files.push(file);
    }
    let cut = printed.truncated || files.len() < count;
    Ok((files, cut))
}

/// Reads `--raw --numstat -z`: first `:modes objects status NUL path NUL [path NUL]` for each file, then
/// `added TAB deleted TAB path NUL`, where a rename has an empty path and then `NUL path NUL path NUL`.
fn parse(stdout: &[u8]) -> Vec<Value> {
    let mut fields = stdout.split(|b| *b == 0).map(|f| String::from_utf8_lossy(f).into_owned());
    let (mut files, mut at) = (Vec::<Value>::new(), BTreeMap::<String, usize>::new());
    while let Some(field) = fields.next() {
        if field.starts_with(':') {
            let Some((file, path)) = raw(&field, &mut fields) else {
                break;
            };
            at.insert(path, files.len());
            files.push(file);
        } else if let [added, deleted, path] = field.splitn(3, '\t').collect::<Vec<_>>()[..] {
            let path = if path.is_empty() { fields.nth(1).unwrap_or_default() } else { path.to_owned() };
            let Some(file) = at.get(&path).and_then(|i| files.get_mut(*i)) else {
                continue;
            };
            for (key, count) in [("additions", added), ("deletions", deleted)] {
                if let Ok(count) = count.parse::<u64>() {
                    file[key] = json!(count);
                }
            }
        }
    }
    files
}

fn raw(meta: &str, fields: &mut impl Iterator<Item = String>) -> Option<(Value, String)> {
    let letter = meta.rsplit(' ').next()?.chars().next()?;
    let status = match letter {
        'A' => "added",
        'C' => "copied",
        'D' => "deleted",
        'R' => "renamed",
        'T' => "type_changed",
        _ => "modified",
    };
    let first = fields.next()?;
    if !matches!(letter, 'C' | 'R') {
        return Some((json!({"path": first, "status": status}), first));
    }
    let path = fields.next()?;
    Some((json!({"path": path, "from": first, "status": status}), path))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::builtin::repo_write::Write;
    use crate::builtin::testing::Repo;

    #[tokio::test]
    async fn files_and_patch_between_two_commits() {
        let repo = Repo::new();
        repo.commit("old", "a line that stays the same\nand one more of them\n");
        repo.commit("gone", "x\n");
        repo.git(&["mv", "old", "new name"]);
        repo.git(&["rm", "-q", "gone"]);
        std::fs::write(repo.source().join("bin"), [0, 1, 2]).unwrap();
        repo.commit("added", "1\n2\n");
        let repo = repo.prepared().await;
        let diff = async |args| repo.call(Diff(repo.workspaces()), args).await;
        let output = diff(json!({"from": "HEAD~1"})).await.unwrap();
        assert_eq!(
            output["files"],
            json!([
                {"path": "added", "status": "added", "additions": 2, "deletions": 0},
                {"path": "bin", "status": "added"},
                {"path": "gone", "status": "deleted", "additions": 0, "deletions": 1},
                {"path": "new name", "from": "old", "status": "renamed", "additions": 0, "deletions": 0},
            ])
        );
        assert!(output["diff"].as_str().unwrap().contains("+1\n+2\n"));
        assert_eq!(output["truncated"], false);
        let output = diff(json!({"from": "HEAD~1", "path": "added"})).await.unwrap();
        assert_eq!(output["files"].as_array().unwrap().len(), 1);
        let output = diff(json!({"from": "HEAD~1", "max_bytes": 60})).await.unwrap();
        assert_eq!(output["truncated"], true);
        let text = output["diff"].as_str().unwrap();
        assert!(text.len() <= 60 && text.ends_with('\n'), "{text:?}");
        assert!(diff(json!({"from": "HEAD~9"})).await.is_err());
        assert!(diff(json!({"to": "-R"})).await.is_err());
    }

    #[tokio::test]
    async fn without_arguments_it_shows_what_the_run_changed() {
        let repo = Repo::new();
        repo.commit("a", "1\n");
        let mut repo = repo.prepared().await;
        assert_eq!(repo.call(Diff(repo.workspaces()), json!({})).await.unwrap()["diff"], "");
        let wrote = repo.call(Write(repo.workspaces()), json!({"path": "a", "content": "2\n"})).await.unwrap();
        repo.ctx.commit = wrote["commit"].as_str().map(str::to_owned);
        let output = repo.call(Diff(repo.workspaces()), json!({})).await.unwrap();
        assert!(output["diff"].as_str().unwrap().ends_with("-1\n+2\n"));
    }

    #[tokio::test]
    async fn attributes_of_the_repository_run_nothing() {
        let repo = Repo::new();
        repo.commit(".gitattributes", "* diff=evil filter=evil\n");
        repo.commit("a", "1\n");
        let mark = repo.source().join("ran");
        let run = format!("touch {}", mark.display());
        repo.git(&["config", "diff.evil.textconv", &run]);
        repo.git(&["config", "diff.evil.command", &run]);
        let repo = repo.prepared().await;
        repo.bare(&["config", "diff.evil.textconv", &run]);
        repo.bare(&["config", "diff.evil.command", &run]);
        let output = repo.call(Diff(repo.workspaces()), json!({"from": "HEAD~1"})).await.unwrap();
        assert!(output["diff"].as_str().unwrap().contains("+1"));
        assert!(!mark.exists());
    }
}
