//! `git.log`: the commits of a range.

use super::{entry as new_entry, object, read};
use crate::text::{fit, json_string_len};
use crate::workspace::{GitError, RepoPath, range};
use crate::{Tool, ToolContext, ToolOutput, Workspaces, failure};
use aidt_domain::{Effect, Failure, MAX_INLINE_BYTES, ToolEntry, ToolReads};
use async_trait::async_trait;
use serde::Deserialize;
use serde_json::{Value, json};
use std::sync::Arc;

const DEFAULT_MAX: usize = 100;
const MAX: usize = 1_000;
const FIELDS: usize = 6;
/// The longest body of one commit, in bytes of JSON.
const MAX_BODY: usize = 8 * 1024;
/// JSON around the fields of one commit.
const COMMIT_OVERHEAD: usize = 80;

#[derive(Debug)]
pub(super) struct Log(pub(super) Arc<Workspaces>);

#[derive(Deserialize)]
struct Args {
    range: Option<String>,
    max: Option<usize>,
    path: Option<String>,
}

pub(super) fn entry() -> ToolEntry {
    let text = json!({"type": "string"});
    let commit = object(
        json!({"id": text, "author": text, "email": text, "subject": text,
            "date": {"type": "string", "description": "When it was written, RFC 3339."},
            "body": {"type": "string", "description": "The rest of the message, at most 8 KiB."}}),
        &["id", "author", "email", "date", "subject", "body"],
    );
    ToolEntry {
        input_schema: object(
            json!({
                "range": {"type": "string",
                    "description": "As `v1.0..HEAD`, `HEAD~20..HEAD` or `main`; the whole history when not given. HEAD is the run's own."},
                "max": {"type": "integer", "minimum": 1, "maximum": MAX, "default": DEFAULT_MAX},
                "path": {"type": "string", "description": "Only commits that touch this."},
            }),
            &[],
        ),
        output_schema: object(
            json!({
                "commits": {"type": "array", "items": commit, "description": "The newest first."},
                "truncated": {"type": "boolean", "description": "There were more."},
            }),
            &["commits", "truncated"],
        ),
        reads: ToolReads::All,
        ..new_entry("git.log", "repo.read", Effect::Read, "Lists the commits of a range.")
    }
}

#[async_trait]
impl Tool for Log {
    fn entry(&self) -> ToolEntry {
        entry()
    }

    async fn run(&self, ctx: &ToolContext, args: Value) -> Result<ToolOutput, Failure> {
        let Args { range: named, max, path } = read(args)?;
        let workspace = self.0.open(ctx).await?;
        let path = path.as_deref().map(RepoPath::parse_or_root).transpose()?.flatten();
        let named = named.unwrap_or_else(|| "HEAD".to_owned());
        let range = range(&named, workspace.commit())?;
        let max = max.unwrap_or(DEFAULT_MAX);
        let git = workspace
            .git("log")
            .args(["-z", "--no-show-signature", "--no-mailmap", "--no-ext-diff", "--no-textconv", "--no-color"])
            .arg("--format=tformat:%H%x00%an%x00%ae%x00%aI%x00%s%x00%b")
            .arg(format!("--max-count={}", max + 1))
            .args(["--end-of-options", &range, "--"])
            .args(path.iter().map(RepoPath::as_str))
            .limit(16 * MAX_INLINE_BYTES);
        let printed = git.run().await.map_err(|e| no_such_range(e, &named))?;
        let (commits, truncated) = commits(&printed.stdout, max);
        let truncated = truncated || printed.truncated;
        Ok(ToolOutput::of_repo(json!({"commits": commits, "truncated": truncated})))
    }
}

fn no_such_range(error: GitError, named: &str) -> Failure {
    match error {
        GitError::Exit { .. } => failure::not_found(format!(
            "the range {named} names no commits here: check the names; the history may be shorter, too"
        )),
        other => other.into(),
    }
}

/// Reads NUL-separated fields. A commit that was cut off is left out.
fn commits(stdout: &[u8], max: usize) -> (Vec<Value>, bool) {
    let fields: Vec<&[u8]> = stdout.split(|b| *b == 0).collect();
    let (mut commits, mut used) = (Vec::new(), 64);
    // What stands behind the last NUL is nothing, or was cut off.
    for fields in fields[..fields.len() - 1].chunks_exact(FIELDS) {
        let text = |i: usize| String::from_utf8_lossy(fields[i]);
        let (subject, body) = (text(4), text(5));
        let (subject, body) = (fit(&subject, MAX_BODY), fit(body.trim_end(), MAX_BODY));
        let (author, email) = (text(1), text(2));
        let commit = json!({
            "id": text(0), "author": fit(&author, 1024), "email": fit(&email, 1024), "date": text(3),
            "subject": subject, "body": body,
        });
        used += commit
            .as_object()
            .into_iter()
            .flatten()
            .filter_map(|(_, v)| v.as_str())
            .map(json_string_len)
            .sum::<usize>()
            + COMMIT_OVERHEAD;
        if commits.len() == max || used > MAX_INLINE_BYTES {
            return (commits, true);
        }
        commits.push(commit);
    }
    (commits, false)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::builtin::testing::Repo;

    fn subjects(output: &Value) -> Vec<&str> {
        output["commits"].as_array().unwrap().iter().map(|c| c["subject"].as_str().unwrap()).collect()
    }

    #[tokio::test]
    async fn ranges_paths_and_limits() {
        let repo = Repo::new();
        for (path, text) in [("a", "1"), ("b", "2"), ("a", "3")] {
            repo.commit(path, text);
        }
        repo.git(&["tag", "v1", "HEAD~1"]);
        let repo = repo.prepared().await;
        let log = async |args| repo.call(Log(repo.workspaces()), args).await;
        assert_eq!(subjects(&log(json!({})).await.unwrap()), ["a 3", "b 2", "a 1"]);
        assert_eq!(subjects(&log(json!({"range": "v1..HEAD"})).await.unwrap()), ["a 3"]);
        assert_eq!(subjects(&log(json!({"range": "HEAD~1"})).await.unwrap()), ["b 2", "a 1"]);
        assert_eq!(subjects(&log(json!({"path": "b"})).await.unwrap()), ["b 2"]);
        assert_eq!(subjects(&log(json!({"range": "HEAD..v1"})).await.unwrap()), Vec::<&str>::new());
        let cut = log(json!({"max": 2})).await.unwrap();
        assert_eq!((subjects(&cut), &cut["truncated"]), (vec!["a 3", "b 2"], &json!(true)));
        let failure = log(json!({"range": "HEAD~20..HEAD"})).await.unwrap_err();
        assert!(failure.message.contains("HEAD~20..HEAD names no commits"), "{failure}");
        assert!(log(json!({"range": "--output=x"})).await.is_err());
    }

    #[tokio::test]
    async fn every_field_of_a_commit() {
        let repo = Repo::new();
        repo.commit("a", "1");
        repo.git(&["commit", "-q", "--amend", "-m", "Subject \"q\"\n\nBody\nmore\n"]);
        let repo = repo.prepared().await;
        let output = repo.call(Log(repo.workspaces()), json!({})).await.unwrap();
        assert_eq!(
            output["commits"],
            json!([{
                "id": repo.head(), "author": "Ann", "email": "ann@example.org", "date": "2024-05-06T07:08:09+00:00",
                "subject": "Subject \"q\"", "body": "Body\nmore",
            }])
        );
        assert_eq!(output["truncated"], false);
    }

    #[test]
    fn much_text_is_cut_below_the_limit() {
        let one = format!("{}\0A\0e\02024\0s\0{}\0", "1".repeat(40), "\u{1}".repeat(50_000));
        let (found, truncated) = commits(one.repeat(100).as_bytes(), 1000);
        assert!(truncated && !found.is_empty());
        assert!(json!({"commits": found, "truncated": true}).to_string().len() <= MAX_INLINE_BYTES);
    }
}
