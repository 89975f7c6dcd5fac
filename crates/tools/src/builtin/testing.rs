//! What the tools' tests share: a context, and a real repository.

use super::workspace_prepare::Prepare;
use crate::{CallOutput, CheckedTool, Sink, Tool, ToolContext, WorkspaceConfig, Workspaces};
use aidt_domain::{Attempt, Clock, DispatchNo, Failure, Project, RunId, StepPath, Timestamp};
use async_trait::async_trait;
use bytes::Bytes;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

/// Counts.
#[derive(Debug, Default)]
pub(crate) struct Counts(AtomicUsize);

impl Counts {
    /// How often progress was reported.
    pub(crate) fn progress(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

#[async_trait]
impl Sink for Counts {
    fn progress(&self, _: Option<f64>, _: &str) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    async fn output(&self, _: Bytes) {}
}

#[derive(Debug)]
struct Noon;

impl Clock for Noon {
    fn now(&self) -> Timestamp {
        Timestamp(1_795_262_400_000)
    }
}

pub(crate) fn context_with_sink() -> (ToolContext, Arc<Counts>) {
    let sink = Arc::new(Counts::default());
    let ctx = ToolContext {
        project: Project::default(),
        run: RunId(uuid::Uuid::from_u128(7)),
        step: StepPath::new("a").unwrap(),
        dispatch: DispatchNo(1),
        attempt: Attempt(1),
        idempotency_key: "key".to_owned(),
        commit: None,
        cancel: CancellationToken::new(),
        sink: Arc::clone(&sink) as Arc<dyn Sink>,
        clock: Arc::new(Noon),
    };
    (ctx, sink)
}

pub(crate) fn context() -> ToolContext {
    context_with_sink().0
}

/// The tool's output, as a worker would send it.
pub(crate) async fn call_with(
    tool: impl Tool + 'static,
    ctx: &ToolContext,
    args: Value,
) -> Result<CallOutput, Failure> {
    CheckedTool::new(Arc::new(tool)).unwrap().call(ctx, args.to_string().as_bytes()).await
}

/// The tool's output, read.
pub(crate) async fn call(tool: impl Tool + 'static, args: Value) -> Result<Value, Failure> {
    call_with(tool, &context(), args).await.map(|o| serde_json::from_slice(&o.output).unwrap())
}

/// Runs git as a person would, with a fixed author and date.
pub(crate) fn git(dir: &Path, args: &[&str]) -> String {
    let date = "2024-05-06T07:08:09Z";
    let output = Command::new("git")
        .current_dir(dir)
        .args(["-c", "user.name=Ann", "-c", "user.email=ann@example.org", "-c", "protocol.file.allow=always"])
        .args(args)
        .env("GIT_AUTHOR_DATE", date)
        .env("GIT_COMMITTER_DATE", date)
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .output()
        .unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "git {args:?}: {stderr}");
    String::from_utf8_lossy(&output.stdout).trim_end_matches('\n').to_owned()
}

/// A person's repository, and the workspace of a run on it.
#[derive(Debug, Clone)]
pub(crate) struct Repo {
    dir: Arc<TempDir>,
    state: PathBuf,
    files: Option<Arc<aidt_artifacts::ObjectArtifacts>>,
    workspaces: Arc<Workspaces>,
    pub(crate) ctx: ToolContext,
}

impl Repo {
    /// Without a commit.
    pub(crate) fn new() -> Self {
        let dir = Arc::new(TempDir::new().unwrap());
        let source = dir.path().join("source");
        std::fs::create_dir(&source).unwrap();
        git(&source, &["init", "-q", "-b", "main"]);
        let state = dir.path().join("state");
        let config = WorkspaceConfig { allowed_roots: vec![source], ..WorkspaceConfig::new(state.clone()) };
        Self { dir, state, files: None, workspaces: Arc::new(Workspaces::new(config)), ctx: context() }
    }

    /// On a worker that leaves its commits for others.
    pub(crate) fn shared() -> Self {
        let files = Arc::new(aidt_artifacts::open("memory:", 1).unwrap());
        let repo = Self::new();
        Self { files: Some(Arc::clone(&files)), ..repo }.on_a_new_disk()
    }

    /// On another worker, which has nothing yet but what was left for it.
    pub(crate) fn on_a_new_disk(&self) -> Self {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let state = self.dir.path().join(format!("disk-{}", NEXT.fetch_add(1, Ordering::Relaxed)));
        Self { state, ..self.clone() }.beside()
    }

    /// On another worker process of the same disk.
    pub(crate) fn beside(&self) -> Self {
        let config = WorkspaceConfig { allowed_roots: vec![self.source()], ..WorkspaceConfig::new(self.state.clone()) };
        Self { workspaces: Arc::new(Workspaces::new(config).shared(self.files())), ..self.clone() }
    }

    /// What workers leave for each other.
    pub(crate) fn files(&self) -> Arc<aidt_artifacts::ObjectArtifacts> {
        self.files.clone().expect("it shares")
    }

    /// The same call on this commit.
    pub(crate) fn at(&self, commit: &str) -> Self {
        let mut other = self.clone();
        other.ctx.commit = Some(commit.to_owned());
        other
    }

    pub(crate) fn source(&self) -> PathBuf {
        self.dir.path().join("source")
    }

    pub(crate) fn state(&self) -> PathBuf {
        self.state.clone()
    }

    pub(crate) fn workspaces(&self) -> Arc<Workspaces> {
        Arc::clone(&self.workspaces)
    }

    /// git in the person's repository.
    pub(crate) fn git(&self, args: &[&str]) -> String {
        git(&self.source(), args)
    }

    /// git in the run's.
    pub(crate) fn bare(&self, args: &[&str]) -> String {
        git(&self.workspaces.repository(self.ctx.run), args)
    }

    /// Writes a file and commits all that there is, as `<path> <content>`.
    pub(crate) fn commit(&self, path: &str, content: &str) {
        let at = self.source().join(path);
        std::fs::create_dir_all(at.parent().unwrap()).unwrap();
        std::fs::write(at, content).unwrap();
        self.git(&["add", "-A"]);
        let subject: String = format!("{path} {content}").chars().take(60).collect();
        self.git(&["commit", "-q", "-m", &subject]);
    }

    pub(crate) fn link(&self, path: &str, target: &str) {
        std::os::unix::fs::symlink(target, self.source().join(path)).unwrap();
        self.git(&["add", "-A"]);
    }

    pub(crate) fn hook(&self, name: &str, script: &str) {
        let path = self.source().join(".git/hooks").join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        self.make_executable(&format!(".git/hooks/{name}"));
    }

    pub(crate) fn make_executable(&self, path: &str) {
        use std::os::unix::fs::PermissionsExt as _;
        std::fs::set_permissions(self.source().join(path), std::fs::Permissions::from_mode(0o755)).unwrap();
    }

    /// Commits what is left to commit, and prepares the run's workspace at HEAD.
    pub(crate) async fn prepared(mut self) -> Self {
        if !self.git(&["status", "--porcelain"]).is_empty() {
            self.git(&["add", "-A"]);
            self.git(&["commit", "-q", "-m", "the rest"]);
        }
        let prepared = call_with(Prepare(self.workspaces()), &self.ctx, json!({"git": "."})).await.unwrap();
        self.ctx.commit = Some(prepared.workspace.unwrap().commit);
        self
    }

    /// The commit that calls work on.
    pub(crate) fn head(&self) -> String {
        self.ctx.commit.clone().unwrap()
    }

    pub(crate) fn with_key(&self, key: &str) -> Self {
        let mut other = self.clone();
        other.ctx.idempotency_key = key.to_owned();
        other
    }

    pub(crate) fn other_run(&self) -> Self {
        static NEXT: AtomicUsize = AtomicUsize::new(100);
        let mut other = self.clone();
        let n = NEXT.fetch_add(1, Ordering::Relaxed) as u128;
        other.ctx.run = RunId(uuid::Uuid::from_u128(n));
        other
    }

    pub(crate) async fn call_whole(&self, tool: impl Tool + 'static, args: Value) -> Result<CallOutput, Failure> {
        call_with(tool, &self.ctx, args).await
    }

    pub(crate) async fn call(&self, tool: impl Tool + 'static, args: Value) -> Result<Value, Failure> {
        self.call_whole(tool, args).await.map(|o| serde_json::from_slice(&o.output).unwrap())
    }
}
