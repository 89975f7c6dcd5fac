//! The `git` binary: the one place that starts a process.
//!
//! What a repository contains must not run anything or reach anything. So: an empty environment, no system
//! or user configuration, no hooks, no filters, no text conversion, no external diff, no file-system
//! monitor, no background maintenance, no prompt, no transport that is not named, paths taken literally.
//! Every invocation works on a bare repository given by `--git-dir`, has a time limit, a limit on its
//! output, and dies with the call.

use crate::failure;
use aidt_domain::{EffectHint, ErrorCode, Failure};
use bytes::Bytes;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, ChildStdin, Command};
use tokio_util::sync::CancellationToken;

const STDERR_LIMIT: usize = 16 * 1024;

/// Set on each invocation; nothing of the caller's environment is.
const ENVIRONMENT: &[(&str, &str)] = &[
    ("GIT_ATTR_NOSYSTEM", "1"),
    ("GIT_CONFIG_GLOBAL", "/dev/null"),
    ("GIT_CONFIG_NOSYSTEM", "1"),
    ("GIT_NO_LAZY_FETCH", "1"),
    ("GIT_TERMINAL_PROMPT", "0"),
    ("LC_ALL", "C"),
];

/// Overrides whatever a repository's own configuration says.
const CONFIGURATION: &[&str] = &[
    "core.attributesFile=/dev/null",
    "core.excludesFile=/dev/null",
    "core.fsmonitor=false",
    "core.fsync=committed,loose-object,reference",
    "core.hooksPath=/dev/null",
    "core.pager=cat",
    "core.quotePath=false",
    "core.sshCommand=ssh -o BatchMode=yes",
    "credential.helper=",
    "gc.auto=0",
    "i18n.logOutputEncoding=UTF-8",
    "init.defaultBranch=main",
    "log.showSignature=false",
    "maintenance.auto=false",
    "protocol.allow=never",
    "submodule.recurse=false",
];

/// How to start git.
#[derive(Clone, Debug)]
pub(super) struct Git {
    pub(super) program: PathBuf,
    /// Beside [`ENVIRONMENT`]: `PATH`, a proxy, an ssh agent.
    pub(super) env: Vec<(String, String)>,
    pub(super) time_limit: Duration,
}

/// Why an invocation gave no result.
#[derive(Debug, thiserror::Error)]
pub(crate) enum GitError {
    #[error("cannot run {program}: install git, or set the path to it")]
    Start { program: String, source: std::io::Error },
    #[error("talking to git failed")]
    Io(#[from] std::io::Error),
    #[error("git {command} ran longer than {} s and was killed", limit.as_secs())]
    TimedOut { command: String, limit: Duration },
    #[error("git {command} was cancelled")]
    Cancelled { command: String },
    #[error("git {command} failed: {}", if stderr.is_empty() { "it gave no reason" } else { stderr })]
    Exit { command: String, stderr: String },
}

impl From<GitError> for Failure {
    fn from(error: GitError) -> Self {
        use std::error::Error as _;
        let message = match error.source() {
            Some(source) => format!("{error}: {source}"),
            None => error.to_string(),
        };
        let (reason, retryable) = match &error {
            GitError::Cancelled { .. } => {
                return Self { effect: EffectHint::Maybe, ..failure::cancelled() };
            }
            GitError::Start { .. } => ("git_missing", false),
            GitError::Io(_) => ("git_io", true),
            GitError::TimedOut { .. } => ("git_timeout", true),
            GitError::Exit { .. } => ("git_failed", false),
        };
        Self { reason: Some(reason.to_owned()), retryable, ..Self::transient(ErrorCode::ToolFailed, message) }
    }
}

/// What git printed.
#[derive(Debug)]
pub(crate) struct GitOutput {
    pub(crate) stdout: Vec<u8>,
    /// There was more; git was killed.
    pub(crate) truncated: bool,
}

impl GitOutput {
    /// As text, with U+FFFD for what is not UTF-8, without the final newline.
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).trim_end_matches('\n').to_owned()
    }
}

/// One invocation, being put together.
#[derive(Debug)]
pub(crate) struct GitCommand<'a> {
    git: &'a Git,
    cancel: &'a CancellationToken,
    /// The subcommand, for messages.
    name: &'static str,
    command: Command,
    stdin: Option<Bytes>,
    limit: usize,
    time_limit: Duration,
}

impl Git {
    /// `git --git-dir <dir> <name>`, with `config` (`key=value`) on top of the fixed one.
    pub(super) fn command<'a>(
        &'a self,
        dir: &Path,
        name: &'static str,
        config: &[&str],
        cancel: &'a CancellationToken,
    ) -> GitCommand<'a> {
        let mut command = Command::new(&self.program);
        command.env_clear().envs(self.env.iter().map(|(k, v)| (k, v))).envs(ENVIRONMENT.iter().copied());
        for setting in CONFIGURATION.iter().chain(config) {
            command.arg("-c").arg(setting);
        }
        let mut git_dir = OsString::from("--git-dir=");
        git_dir.push(dir);
        command.arg(git_dir);
        command.args(["--no-pager", "--no-optional-locks", "--no-replace-objects", "--literal-pathspecs", name]);
        command.current_dir(dir).kill_on_drop(true).stdout(Stdio::piped()).stderr(Stdio::piped());
        GitCommand { git: self, cancel, name, command, stdin: None, limit: 1024 * 1024, time_limit: self.time_limit }
    }
}

impl GitCommand<'_> {
    /// One argument. What comes from a caller goes behind `--`, or has been checked not to begin with `-`.
    pub(crate) fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.command.arg(arg);
        self
    }

    /// Several.
    pub(crate) fn args<S: AsRef<OsStr>>(mut self, args: impl IntoIterator<Item = S>) -> Self {
        self.command.args(args);
        self
    }

    /// What git reads.
    pub(crate) fn stdin(mut self, bytes: impl Into<Bytes>) -> Self {
        self.stdin = Some(bytes.into());
        self
    }

    /// Kill git when it printed more than this many bytes (1 MiB when not said).
    pub(crate) fn limit(mut self, bytes: usize) -> Self {
        self.limit = bytes;
        self
    }

    /// Kill git when it runs longer than this.
    pub(super) fn time_limit(mut self, time_limit: Duration) -> Self {
        self.time_limit = time_limit;
        self
    }

    /// Runs it. Cancel safe: dropped, it kills git.
    pub(crate) async fn run(mut self) -> Result<GitOutput, GitError> {
        let name = self.name;
        let (limit, time_limit, cancel) = (self.limit, self.time_limit, self.cancel);
        self.command.stdin(if self.stdin.is_some() { Stdio::piped() } else { Stdio::null() });
        let mut child = self
            .command
            .spawn()
            .map_err(|source| GitError::Start { program: self.git.program.display().to_string(), source })?;
        let ended = tokio::select! {
            biased;
            () = cancel.cancelled() => Err(GitError::Cancelled { command: name.to_owned() }),
            () = tokio::time::sleep(time_limit) => {
                Err(GitError::TimedOut { command: name.to_owned(), limit: time_limit })
            }
            ended = converse(&mut child, self.stdin, limit, name) => ended,
        };
        if ended.is_err() {
            // Already gone is fine; waiting for it leaves no zombie.
            let _ = child.kill().await;
        }
        ended
    }
}

/// Feeds git and reads what it says until it ends or says too much.
async fn converse(child: &mut Child, stdin: Option<Bytes>, limit: usize, name: &str) -> Result<GitOutput, GitError> {
    let (input, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let (fed, (stdout, truncated), (stderr, _)) = tokio::try_join!(
        feed(input, stdin),
        async {
            let (bytes, more) = read_up_to(stdout, limit).await?;
            if more {
                child.start_kill()?;
            }
            Ok((bytes, more))
        },
        async {
            let (bytes, _) = read_all_keep(stderr, STDERR_LIMIT).await?;
            Ok::<_, std::io::Error>((bytes, false))
        },
    )?;
    let () = fed;
    let status = child.wait().await?;
    if !truncated && !status.success() {
        let stderr = String::from_utf8_lossy(&stderr).trim().to_owned();
        return Err(GitError::Exit { command: name.to_owned(), stderr });
    }
    Ok(GitOutput { stdout, truncated })
}

async fn feed(input: Option<ChildStdin>, bytes: Option<Bytes>) -> std::io::Result<()> {
    let (Some(mut input), Some(bytes)) = (input, bytes) else {
        return Ok(());
    };
    match input.write_all(&bytes).await {
        // Git ended before it read all: its exit status says why.
        Err(e) if e.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        other => other,
    }
}

/// At most `limit` bytes, and whether there was more.
async fn read_up_to<R: AsyncRead + Unpin>(from: Option<R>, limit: usize) -> std::io::Result<(Vec<u8>, bool)> {
    let mut bytes = Vec::new();
    if let Some(from) = from {
        from.take(limit as u64 + 1).read_to_end(&mut bytes).await?;
    }
    let more = bytes.len() > limit;
    bytes.truncate(limit);
    Ok((bytes, more))
}

/// The first `limit` bytes; reads on to the end, so that the writer never blocks.
async fn read_all_keep<R: AsyncRead + Unpin>(from: Option<R>, limit: usize) -> std::io::Result<(Vec<u8>, bool)> {
    let Some(mut from) = from else {
        return Ok((Vec::new(), false));
    };
    let mut kept = Vec::new();
    (&mut from).take(limit as u64).read_to_end(&mut kept).await?;
    let more = tokio::io::copy(&mut from, &mut tokio::io::sink()).await? > 0;
    Ok((kept, more))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn git(program: &str) -> Git {
        Git {
            program: program.into(),
            env: vec![("PATH".to_owned(), "/usr/local/bin:/usr/bin:/bin".to_owned())],
            time_limit: Duration::from_secs(30),
        }
    }

    #[tokio::test]
    async fn a_missing_binary_says_what_to_do() {
        let (git, cancel) = (git("no-such-git"), CancellationToken::new());
        let error = git.command(Path::new("/"), "version", &[], &cancel).run().await.unwrap_err();
        assert!(error.to_string().contains("install git"), "{error}");
        assert_eq!(Failure::from(error).reason.as_deref(), Some("git_missing"));
    }

    #[tokio::test]
    async fn a_cancelled_call_kills_git() {
        let (git, cancel) = (git("git"), CancellationToken::new());
        cancel.cancel();
        // It would read its standard input for ever.
        let error = git.command(Path::new("/"), "hash-object", &[], &cancel).arg("--stdin").run().await;
        assert!(matches!(error, Err(GitError::Cancelled { .. })), "{error:?}");
    }

    #[tokio::test]
    async fn output_above_the_limit_is_cut_and_git_killed() {
        let (git, cancel) = (git("git"), CancellationToken::new());
        let output = git.command(Path::new("/"), "help", &[], &cancel).arg("-a").limit(10).run().await.unwrap();
        assert!(output.truncated);
        assert_eq!(output.stdout.len(), 10);
    }

    #[tokio::test]
    async fn nothing_of_the_callers_environment_is_seen() {
        let (git, cancel) = (git("git"), CancellationToken::new());
        let output = git.command(Path::new("/"), "config", &[], &cancel).args(["--list", "--show-scope"]);
        let text = output.run().await.unwrap().text();
        assert!(text.lines().all(|l| l.starts_with("command\t")), "{text}");
    }
}
