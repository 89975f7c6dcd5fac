//! Making the repository of a run: into a temporary directory, then renamed into place. So a preparation
//! that was killed half-way leaves nothing behind that looks whole, and a repeated one answers the same.

use super::source::Source;
use super::{GitError, START, Workspaces, resolve, revision};
use crate::{ToolContext, failure};
use aidt_domain::Failure;
use std::fs;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;
use std::time::{Duration, UNIX_EPOCH};

/// The source's HEAD, as fetched.
const SOURCE_HEAD: &str = "refs/aidt/source-head";

/// Half-made repositories older than this belong to nobody.
const ABANDONED: Duration = Duration::from_hours(24);

/// Lets a local source belong to another user: naming it as an allowed root is the operator's permission.
/// Read by a shell, hence the quotes.
const UPLOAD_PACK: &str = "--upload-pack=git -c 'safe.directory=*' upload-pack";

impl Workspaces {
    /// The repository of the call's run, cloned from `source` unless it is there already. Returns the
    /// commit that `rev` (`HEAD` when not given) names there. Only committed state is cloned.
    pub(crate) async fn prepare(&self, ctx: &ToolContext, source: &str, rev: Option<&str>) -> Result<String, Failure> {
        let source_name = source;
        let source = Source::parse(source, &self.config)?;
        let rev = revision(rev.unwrap_or("HEAD"), SOURCE_HEAD)?;
        let target = self.repository(ctx.run);
        if target.is_dir() {
            return Ok(resolve(&self.git, &target, START, &ctx.cancel).await?);
        }
        self.sweep(ctx);
        let new = self.temporary(ctx)?;
        ctx.sink.progress(None, &format!("cloning {source_name}"));
        let commit = self.clone_into(new.path(), ctx, &source, source_name, &rev).await?;
        // Before it is in its place: what is there was left for others, too.
        self.leave(ctx, new.path(), &commit, &["--all"]).await?;
        match fs::rename(new.path(), &target) {
            Ok(()) => Ok(commit),
            // Another dispatch of the same step was faster: its answer counts.
            Err(_) if target.is_dir() => Ok(resolve(&self.git, &target, START, &ctx.cancel).await?),
            Err(e) => Err(failure::internal(format!("cannot move the workspace to {}: {e}", target.display()))),
        }
    }

    pub(super) fn temporary(&self, ctx: &ToolContext) -> Result<tempfile::TempDir, Failure> {
        let root = &self.config.root;
        let made =
            fs::DirBuilder::new().recursive(true).mode(0o700).create(root).and_then(|()| {
                tempfile::Builder::new().prefix(&format!("{}.", ctx.run)).suffix(".tmp").tempdir_in(root)
            });
        made.map_err(|e| failure::internal(format!("cannot make a workspace under {}: {e}", root.display())))
    }

    /// Removes what killed calls left. Once a run: it looks through the whole folder, which holds every run that there
    /// was, and lets nobody else go on meanwhile.
    fn sweep(&self, ctx: &ToolContext) {
        let now = UNIX_EPOCH + ctx.clock.now().since(aidt_domain::Timestamp(0));
        let entries = fs::read_dir(&self.config.root).into_iter().flatten().flatten();
        for entry in entries.filter(|e| e.path().extension().is_some_and(|x| x == "tmp")) {
            let age = entry.metadata().and_then(|m| m.modified()).ok().and_then(|at| now.duration_since(at).ok());
            if age.is_some_and(|age| age > ABANDONED)
                && let Err(error) = fs::remove_dir_all(entry.path())
            {
                tracing::warn!(%error, path = %entry.path().display(), "an abandoned workspace stays");
            }
        }
    }

    async fn clone_into(
        &self,
        dir: &Path,
        ctx: &ToolContext,
        source: &Source,
        source_name: &str,
        rev: &str,
    ) -> Result<String, Failure> {
        let git = |name| self.git.command(dir, name, &[], &ctx.cancel);
        git("init").args(["--quiet", "--bare", "--template="]).run().await?;
        self.fetch(dir, ctx, source, &refspecs(source)).await.map_err(|e| refused(e, source, source_name))?;
        let commit = match resolve(&self.git, dir, rev, &ctx.cancel).await {
            // A commit that no branch or tag leads to can still be asked for by its whole id.
            Err(GitError::Exit { .. }) if revision::is_commit_id(rev) => {
                let _ = self.fetch(dir, ctx, source, &[rev]).await;
                resolve(&self.git, dir, rev, &ctx.cancel).await
            }
            other => other,
        };
        let commit = commit.map_err(|e| match e {
            GitError::Exit { .. } => failure::workspace(
                "no_such_revision",
                format!("{source_name} has no revision {}", rev.replace(SOURCE_HEAD, "HEAD")),
            ),
            other => other.into(),
        })?;
        git("update-ref").args([START, &commit]).run().await?;
        Ok(commit)
    }

    async fn fetch(&self, dir: &Path, ctx: &ToolContext, source: &Source, refspecs: &[&str]) -> Result<(), GitError> {
        let allow = match source {
            Source::Local(_) => "protocol.file.allow=always".to_owned(),
            Source::Remote { transport, .. } => format!("protocol.{transport}.allow=always"),
        };
        let config = [allow.as_str()];
        let command = self.git.command(dir, "fetch", &config, &ctx.cancel);
        let command = command.args(["--quiet", "--no-tags", "--no-recurse-submodules", "--update-shallow"]);
        let command = match source {
            Source::Local(path) => command.args([UPLOAD_PACK, "--"]).arg(path),
            Source::Remote { url, .. } => command.args(["--", url]),
        };
        self.patient(command.args(refspecs)).run().await.map(|_| ())
    }
}

/// Branches and tags come along, so that a range such as `v1.0..HEAD` means what it means at the source.
fn refspecs(source: &Source) -> Vec<&'static str> {
    let mut all = vec!["+HEAD:refs/aidt/source-head", "+refs/heads/*:refs/heads/*", "+refs/tags/*:refs/tags/*"];
    if matches!(source, Source::Local(_)) {
        all.push("+refs/remotes/*:refs/remotes/*");
    }
    all
}

fn refused(error: GitError, source: &Source, source_name: &str) -> Failure {
    let GitError::Exit { stderr, .. } = error else {
        return error.into();
    };
    if stderr.contains("find remote ref HEAD") {
        return failure::workspace("no_commit", format!("{source_name} has no commit yet: make one, then run again"));
    }
    Failure {
        retryable: matches!(source, Source::Remote { .. }),
        ..failure::workspace("clone_failed", format!("{source_name} cannot be cloned: {stderr}"))
    }
}
