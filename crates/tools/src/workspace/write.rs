//! Making a commit on top of the call's: from objects, through `git fast-import`, without a checkout.
//!
//! The same call on the same commit makes the same commit id: message, author and date are functions of
//! the call. Each commit has a ref of its own, so nothing takes it for garbage.

use super::{Entry, Kind, RepoPath, Workspace};
use crate::{ToolContext, failure};
use aidt_domain::{Digest, Failure, RunId};

const WHO: &str = "aidt <aidt@localhost>";

impl Workspace<'_> {
    /// Puts `content` at `path` and returns the commit: the call's own when nothing changed.
    pub(crate) async fn write(&self, ctx: &ToolContext, path: &RepoPath, content: &[u8]) -> Result<String, Failure> {
        let before = self.lookup(path).await?;
        let executable = match before.as_ref().map(|e| e.kind) {
            None => false,
            Some(Kind::File { executable }) => executable,
            Some(other) => {
                return Err(failure::invalid(format!("path {path} is a {}, not a file", other.as_str())));
            }
        };
        if let Some(entry) = before
            && self.holds(&entry, content).await?
        {
            return Ok(self.commit().to_owned());
        }
        let date = self.date(ctx.run).await?;
        let mode = if executable { "100755" } else { "100644" };
        let name = self.reference(ctx, path, content);
        let stream = self.import_stream(ctx, &name, date, mode, path, content);
        let made = self.git("fast-import").args(["--quiet", "--date-format=raw"]).stdin(stream).run().await?;
        let commit = made.text();
        if !super::revision::is_commit_id(&commit) {
            return Err(failure::internal(format!("git fast-import answered {commit:?}, not a commit id")));
        }
        self.all.leave(ctx, &self.dir, &commit, &[&name, &format!("^{}", self.commit())]).await?;
        Ok(commit)
    }

    async fn holds(&self, entry: &Entry, content: &[u8]) -> Result<bool, Failure> {
        if entry.size != content.len() as u64 {
            return Ok(false);
        }
        let blob = self.git("cat-file").args(["blob", &entry.object]).limit(content.len()).run().await?;
        Ok(!blob.truncated && blob.stdout == content)
    }

    /// Seconds since the epoch: when the run was created (its id says so), else the date of the commit
    /// that is built upon. Never a clock: a repeated call must make the same commit.
    async fn date(&self, run: RunId) -> Result<u64, Failure> {
        if let Some(created) = created_s(run) {
            return Ok(created);
        }
        let shown =
            self.git("log").args(["-1", "--no-show-signature", "--format=%ct", self.commit(), "--"]).run().await?;
        Ok(shown.text().parse().unwrap_or(0))
    }

    /// The ref of the commit that this call makes.
    fn reference(&self, ctx: &ToolContext, path: &RepoPath, content: &[u8]) -> String {
        // A digest, as the key comes over the wire and a ref name may not hold everything.
        let call = [ctx.idempotency_key.as_bytes(), path.as_str().as_bytes(), content].join(&b'\0');
        let call = Digest::of(&call).to_string().replace("sha256:", "");
        format!("refs/aidt/commits/{call}/{}", self.commit())
    }

    fn import_stream(
        &self,
        ctx: &ToolContext,
        name: &str,
        date: u64,
        mode: &str,
        path: &RepoPath,
        content: &[u8],
    ) -> Vec<u8> {
        let base = self.commit();
        let message = format!(
            "repo.write: {path}\n\nAidt-Run: {}\nAidt-Step: {}\nAidt-Key: {}\n",
            ctx.run, ctx.step, ctx.idempotency_key
        );
        let mut stream = format!(
            "feature done\ncommit {name}\nmark :1\nauthor {WHO} {date} +0000\n\
             committer {WHO} {date} +0000\ndata {}\n{message}\nfrom {base}\nM {mode} inline {}\ndata {}\n",
            message.len(),
            quoted(path),
            content.len(),
        )
        .into_bytes();
        stream.extend_from_slice(content);
        stream.extend_from_slice(b"\nget-mark :1\ndone\n");
        stream
    }
}

/// A path as fast-import reads it. Control characters and backslashes never get here.
fn quoted(path: &RepoPath) -> String {
    format!("\"{}\"", path.as_str().replace('"', "\\\""))
}

/// The time in a UUIDv7.
fn created_s(run: RunId) -> Option<u64> {
    let bytes = run.0.as_bytes();
    let ms = bytes[..6].iter().fold(0, |ms, b| (ms << 8) | u64::from(*b));
    (bytes[6] >> 4 == 7).then_some(ms / 1000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_is_read_from_a_run_id() {
        let run: RunId = "run_01938d3b1c007000800000000000000a".parse().unwrap();
        assert_eq!(created_s(run), Some(0x0193_8d3b_1c00 / 1000));
        assert_eq!(created_s("run_00000000000000000000000000000007".parse().unwrap()), None);
    }
}
