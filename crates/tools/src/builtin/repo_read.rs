//! `repo.read`: the content of one file.

use super::{entry as new_entry, object, read};
use crate::workspace::{Kind, RepoPath, Workspace};
use crate::{Tool, ToolContext, ToolOutput, Workspaces, failure};
use aidt_domain::{Effect, Failure, MAX_INLINE_BYTES, ToolEntry, ToolReads};
use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::{Value, json};
use std::sync::Arc;

#[derive(Debug)]
pub(crate) struct Read(pub(crate) Arc<Workspaces>);

#[derive(Deserialize)]
struct Args {
    path: String,
    max_bytes: Option<usize>,
}

pub(super) fn entry() -> ToolEntry {
    ToolEntry {
        input_schema: object(
            json!({
                "path": {"type": "string", "description": "Relative to the root of the repository."},
                "max_bytes": {"type": "integer", "minimum": 1, "maximum": MAX_INLINE_BYTES,
                    "description": "Cut the content off after this many bytes."},
            }),
            &["path"],
        ),
        output_schema: object(
            json!({
                "path": {"type": "string"},
                "content": {"type": "string"},
                "size": {"type": "integer", "description": "Of the whole file, in bytes."},
                "truncated": {"type": "boolean"},
                "encoding": {"enum": ["utf-8", "base64"]},
            }),
            &["path", "content", "size", "encoding"],
        ),
        reads: ToolReads::Arguments(vec!["path".to_owned()]),
        ..new_entry("repo.read", "repo.read", Effect::Read, "Reads a file of the workspace.")
    }
}

#[async_trait]
impl Tool for Read {
    fn entry(&self) -> ToolEntry {
        entry()
    }

    async fn run(&self, ctx: &ToolContext, args: Value) -> Result<ToolOutput, Failure> {
        let Args { path, max_bytes } = read(args)?;
        let path = RepoPath::parse(&path)?;
        let workspace = self.0.open(ctx).await?;
        let (object, size) = find(&workspace, &path).await?;
        if max_bytes.is_none() && size > MAX_INLINE_BYTES as u64 {
            return Err(failure::too_large(format!(
                "{path} has {size} bytes, a value may have {MAX_INLINE_BYTES}: read a part with max_bytes"
            )));
        }
        let limit = max_bytes.unwrap_or(MAX_INLINE_BYTES);
        let blob = workspace.git("cat-file").args(["blob", &object]).limit(limit).run().await?;
        let (content, encoding) = encode(blob.stdout, blob.truncated);
        let mut output = json!({"path": path.as_str(), "content": content, "size": size, "encoding": encoding});
        if blob.truncated {
            output["truncated"] = json!(true);
        }
        Ok(ToolOutput::of_repo(output))
    }
}

async fn find(workspace: &Workspace<'_>, path: &RepoPath) -> Result<(String, u64), Failure> {
    let entry = workspace.lookup(path).await?;
    let entry =
        entry.ok_or_else(|| failure::not_found(format!("there is no file {path} at {}", workspace.commit())))?;
    match entry.kind {
        Kind::File { .. } => Ok((entry.object, entry.size)),
        Kind::Symlink => {
            let target = workspace.git("cat-file").args(["blob", &entry.object]).limit(4096).run().await?;
            Err(failure::invalid(format!(
                "path {path} is a symbolic link to {:?}, which is not followed: read that path instead",
                target.text()
            )))
        }
        other => Err(failure::invalid(format!("path {path} is a {}, not a file", other.as_str()))),
    }
}

/// Text where it is text. A character that was cut in two at the end is left out.
fn encode(bytes: Vec<u8>, cut: bool) -> (String, &'static str) {
    match String::from_utf8(bytes) {
        Ok(text) => (text, "utf-8"),
        Err(e) if cut && e.utf8_error().error_len().is_none() => {
            let whole = e.utf8_error().valid_up_to();
            let text = String::from_utf8_lossy(&e.as_bytes()[..whole]).into_owned();
            (text, "utf-8")
        }
        Err(e) => (STANDARD.encode(e.as_bytes()), "base64"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::builtin::testing::Repo;
    use aidt_domain::{ErrorCode, Labels};

    async fn read(repo: &Repo, args: Value) -> Result<Value, Failure> {
        repo.call(Read(repo.workspaces()), args).await
    }

    #[tokio::test]
    async fn text_and_bytes() {
        let repo = Repo::new();
        repo.commit("dir/a b.txt", "héllo\n");
        std::fs::write(repo.source().join("bin"), [0xff, 0, 1]).unwrap();
        let repo = repo.prepared().await;
        let output = read(&repo, json!({"path": "./dir/a b.txt"})).await.unwrap();
        assert_eq!(output, json!({"path": "dir/a b.txt", "content": "héllo\n", "size": 7, "encoding": "utf-8"}));
        let output = read(&repo, json!({"path": "bin"})).await.unwrap();
        assert_eq!((&output["content"], &output["encoding"]), (&json!("/wAB"), &json!("base64")));
        let whole = repo.call_whole(Read(repo.workspaces()), json!({"path": "bin"})).await.unwrap();
        assert_eq!(whole.labels, Labels::one("repo"));
    }

    #[tokio::test]
    async fn max_bytes_cuts_between_characters() {
        let repo = Repo::new();
        repo.commit("a", "hé");
        let repo = repo.prepared().await;
        let output = read(&repo, json!({"path": "a", "max_bytes": 2})).await.unwrap();
        assert_eq!(output, json!({"path": "a", "content": "h", "size": 3, "encoding": "utf-8", "truncated": true}));
        let output = read(&repo, json!({"path": "a", "max_bytes": 3})).await.unwrap();
        assert!(output.get("truncated").is_none());
    }

    #[tokio::test]
    async fn too_much_names_max_bytes() {
        let repo = Repo::new();
        repo.commit("big", &"x".repeat(MAX_INLINE_BYTES + 1));
        repo.commit("wide", &"\u{1}".repeat(MAX_INLINE_BYTES / 2));
        let repo = repo.prepared().await;
        for path in ["big", "wide"] {
            let failure = read(&repo, json!({"path": path})).await.unwrap_err();
            assert_eq!(failure.code, ErrorCode::TooLarge);
            assert!(failure.message.contains("max_bytes"), "{failure}");
        }
        assert!(read(&repo, json!({"path": "big", "max_bytes": 1000})).await.is_ok());
    }

    #[tokio::test]
    async fn what_is_no_file_says_what_it_is() {
        let repo = Repo::new();
        repo.commit("dir/a", "x");
        repo.link("link", "dir/a");
        repo.link("dirlink", "dir");
        repo.link("out", "/etc/passwd");
        let repo = repo.prepared().await;
        for (path, says) in [
            ("link", "symbolic link to \"dir/a\""),
            ("out", "symbolic link to \"/etc/passwd\""),
            ("dirlink/a", "dirlink is a symbolic link"),
            ("dir", "is a directory"),
            ("dir/a/b", "dir/a is a file"),
            ("none", "no file none"),
            ("none/x", "no file none/x"),
            ("../x", "'..'"),
            (".git/config", "git's own"),
            ("--help", "no file --help"),
            ("*", "no file *"),
            (":(glob)dir/*", "no file"),
        ] {
            let failure = read(&repo, json!({"path": path})).await.unwrap_err();
            assert!(failure.message.contains(says), "{path}: {failure}");
        }
    }
}
