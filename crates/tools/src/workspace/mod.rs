//! The git workspace of a run: one bare repository, `<root>/<run id>.git`, on the worker's side.
//!
//! There is no checkout. Tools read objects straight from the repository at the commit that the call
//! names, and a writer builds its commit from objects, so nothing that a repository contains (links,
//! hooks, attributes) is ever followed or run, and steps of one run work side by side.
//!
//! Workers that share no disk share commits through the artifact store (`share`).

mod git;
mod path;
mod prepare;
mod revision;
mod share;
mod source;
mod tree;
mod write;

pub(crate) use git::{GitCommand, GitError};
pub(crate) use path::RepoPath;
pub(crate) use revision::{range, revision};
pub(crate) use tree::{Entry, Kind, parse_entries};

use crate::{ToolContext, failure};
use aidt_artifacts::Files;
use aidt_domain::{Failure, RunId};
use git::Git;
use share::Share;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// Where the run began; kept so that a repeated preparation answers the same.
const START: &str = "refs/aidt/start";

/// Where workspaces stand, and what they may be cloned from.
#[derive(Clone, Debug)]
pub struct WorkspaceConfig {
    /// Holds one bare repository per run. Created when first needed, for its owner only.
    pub root: PathBuf,
    /// Local repositories may be cloned from under these (`AIDT_WORKSPACE_ROOTS`).
    pub allowed_roots: Vec<PathBuf>,
    /// What relative paths start from; the first allowed root when not given.
    pub base: Option<PathBuf>,
    /// The git binary.
    pub git: PathBuf,
    /// The whole environment of git beside our own settings. `PATH` must be in it.
    pub git_env: Vec<(String, String)>,
    /// Whether `ssh://` and `host:path` may be cloned.
    pub allow_ssh: bool,
    /// The longest that one git command may run.
    pub time_limit: Duration,
    /// The longest that a clone may take.
    pub clone_time_limit: Duration,
}

impl WorkspaceConfig {
    /// Workspaces under `root`, cloned over https only.
    #[must_use]
    pub fn new(root: PathBuf) -> Self {
        Self {
            root,
            allowed_roots: Vec::new(),
            base: None,
            git: PathBuf::from("git"),
            git_env: vec![("PATH".to_owned(), "/usr/local/bin:/usr/bin:/bin".to_owned())],
            allow_ssh: false,
            time_limit: Duration::from_secs(60),
            clone_time_limit: Duration::from_mins(10),
        }
    }
}

/// The workspaces of one worker.
#[derive(Debug)]
pub struct Workspaces {
    config: WorkspaceConfig,
    git: Git,
    share: Option<Share>,
}

impl Workspaces {
    /// Touches nothing yet.
    #[must_use]
    pub fn new(config: WorkspaceConfig) -> Self {
        let git = Git { program: config.git.clone(), env: config.git_env.clone(), time_limit: config.time_limit };
        Self { config, git, share: None }
    }

    /// Shares every commit with other workers through these files, which all of them see.
    #[must_use]
    pub fn shared(self, files: Arc<dyn Files>) -> Self {
        Self { share: Some(Share::new(files)), ..self }
    }

    /// The bare repository of a run; it exists once the run's `@workspace` step is done.
    #[must_use]
    pub fn repository(&self, run: RunId) -> PathBuf {
        self.config.root.join(format!("{run}.git"))
    }

    /// The workspace of the call's run, at the call's commit.
    pub(crate) async fn open<'a>(&'a self, ctx: &'a ToolContext) -> Result<Workspace<'a>, Failure> {
        let commit = ctx.commit.as_deref().ok_or_else(|| {
            failure::workspace(
                "no_workspace",
                "the run has no workspace: give the plan one, such as `workspace: { git: . }`",
            )
        })?;
        if !revision::is_commit_id(commit) {
            return Err(failure::invalid(format!("{commit:?} is not a commit id")));
        }
        self.have(ctx, commit).await?;
        let dir = self.repository(ctx.run);
        if !dir.is_dir() {
            return Err(share::elsewhere(ctx.run, commit));
        }
        Ok(Workspace { all: self, dir, commit, cancel: &ctx.cancel })
    }

    /// For work whose time grows with the repository.
    fn patient<'a>(&self, command: GitCommand<'a>) -> GitCommand<'a> {
        command.time_limit(self.config.clone_time_limit)
    }
}

/// One run's repository, at one commit, for one call.
#[derive(Debug)]
pub(crate) struct Workspace<'a> {
    all: &'a Workspaces,
    dir: PathBuf,
    commit: &'a str,
    cancel: &'a CancellationToken,
}

impl Workspace<'_> {
    /// The commit that the call works on.
    pub(crate) fn commit(&self) -> &str {
        self.commit
    }

    /// `git <name>` on this repository.
    pub(crate) fn git(&self, name: &'static str) -> GitCommand<'_> {
        self.all.git.command(&self.dir, name, &[], self.cancel)
    }

    /// The commit at which the run began.
    pub(crate) async fn start(&self) -> Result<String, GitError> {
        resolve(&self.all.git, &self.dir, START, self.cancel).await
    }
}

/// The commit that a checked revision names.
async fn resolve(git: &Git, dir: &Path, revision: &str, cancel: &CancellationToken) -> Result<String, GitError> {
    let peeled = format!("{revision}^{{commit}}");
    let command = git.command(dir, "rev-parse", &[], cancel);
    Ok(command.args(["--verify", "--quiet", "--end-of-options", &peeled]).run().await?.text())
}
