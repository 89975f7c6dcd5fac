//! Black-box tests of the binary: what a person, a CI job or a worker in another language meets. Nothing
//! here links the product; it is started, talked to over HTTP, and killed.

#![forbid(unsafe_code)]
#![expect(clippy::disallowed_methods, reason = "tests live outside: in real time, with real processes")]
#![expect(clippy::unwrap_used, reason = "tests")]

#[cfg(feature = "servers")]
mod authority;
#[cfg(feature = "chaos")]
pub mod chaos;
mod dice;
mod http;
mod otlp;
mod python;
mod server;
mod stage;
pub mod suite;
pub mod suite_apart;
pub mod suite_traces;
mod tap;
mod tree;
pub mod verify;

#[cfg(feature = "servers")]
pub use authority::{Authority, Identity};
pub use dice::Dice;
pub use http::{Reply, request, request_within};
pub use otlp::{Collector, SeenSpan};
pub use python::{PythonWorker, python_tools};
use serde_json::Value;
pub use server::Server;
pub use stage::{Running, Stage};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};
pub use tap::Tap;
use tempfile::TempDir;

/// The binary, as `cargo test --workspace` or `cargo build` leaves it beside the tests.
///
/// # Panics
/// When it is not there; the message says how to build it.
#[must_use]
pub fn aidt() -> PathBuf {
    if let Some(path) = std::env::var_os("AIDT_BIN") {
        return path.into();
    }
    let test = std::env::current_exe().unwrap();
    let path = test.parent().and_then(Path::parent).unwrap().join("aidt");
    assert!(path.exists(), "there is no {}: run `cargo build -p aidt` first", path.display());
    path
}

/// The root of the repository.
#[must_use]
pub fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// A home of its own, gone with the value.
pub struct Home {
    dir: TempDir,
}

impl Default for Home {
    fn default() -> Self {
        Self { dir: tempfile::tempdir().unwrap() }
    }
}

impl Home {
    /// The folder.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        self.dir.path().join("home")
    }

    /// A file beside the home, with this text.
    #[must_use]
    pub fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.dir.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    }

    /// A folder beside the home.
    #[must_use]
    pub fn folder(&self, name: &str) -> PathBuf {
        let path = self.dir.path().join(name);
        std::fs::create_dir_all(&path).unwrap();
        path
    }

    /// The command line, to be started by the caller.
    #[must_use]
    pub fn command(&self, args: &[&str]) -> Command {
        self.command_of(&aidt(), args)
    }

    /// The same of another build.
    #[must_use]
    pub fn command_of(&self, program: &Path, args: &[&str]) -> Command {
        let mut command = Command::new(program);
        command.args(args).env("AIDT_HOME", self.path()).env_remove("AIDT_SERVER").stdin(Stdio::null());
        command
    }

    /// Runs a command to its end.
    #[must_use]
    pub fn run(&self, args: &[&str]) -> Output {
        self.command(args).output().unwrap()
    }

    /// Runs a command, checks its exit code, and reads its standard output as JSON.
    #[must_use]
    pub fn json(&self, args: &[&str], code: i32) -> Value {
        let output = self.run(args);
        assert_eq!(output.status.code(), Some(code), "{args:?}: {}", text(&output));
        serde_json::from_slice(&output.stdout).unwrap_or_else(|e| panic!("{e}: {}", text(&output)))
    }

    /// Starts `aidt serve` on a free port and waits until it says where.
    #[must_use]
    pub fn serve(&self, args: &[&str]) -> Server {
        self.serve_with(args, &[])
    }

    /// The same, with these variables set.
    #[must_use]
    pub fn serve_with(&self, args: &[&str], vars: &[(&str, &str)]) -> Server {
        let mut all = vec!["serve", "--listen", "127.0.0.1:0"];
        all.extend(args);
        let mut command = self.command(&all);
        command.envs(vars.iter().copied());
        Server::start(command)
    }
}

/// Both streams, for a failing assertion.
#[must_use]
pub fn text(output: &Output) -> String {
    format!(
        "exit {:?}\n--- stdout\n{}\n--- stderr\n{}",
        output.status.code(),
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

/// Sends a signal by name.
pub fn signal(pid: u32, name: &str) {
    let status = Command::new("kill").arg(format!("-{name}")).arg(pid.to_string()).status().unwrap();
    assert!(status.success());
}

/// Looks until it holds.
///
/// # Panics
/// When it does not within the time.
pub fn eventually(what: &str, within: Duration, holds: impl FnMut() -> bool) {
    assert!(holds_within(within, holds), "not within {within:?}: {what}");
}

/// Looks until it holds; false when it does not within the time.
#[must_use]
pub fn holds_within(time: Duration, mut holds: impl FnMut() -> bool) -> bool {
    let deadline = Instant::now() + time;
    while !holds() {
        if Instant::now() >= deadline {
            return false;
        }
        std::thread::park_timeout(Duration::from_millis(5));
    }
    true
}

/// A git repository with one commit, beside the home.
#[must_use]
pub fn git_repository(home: &Home) -> PathBuf {
    let dir = home.folder("repo");
    git(&dir, &["init", "-q", "-b", "main"]);
    std::fs::write(dir.join("README.md"), "# hello\n").unwrap();
    git(&dir, &["add", "."]);
    git(&dir, &["commit", "-q", "-m", "first"]);
    dir
}

/// Runs git with a fixed identity.
pub fn git(dir: &Path, args: &[&str]) -> String {
    let output = Command::new("git")
        .current_dir(dir)
        .args(["-c", "user.name=t", "-c", "user.email=t@example.com"])
        .args(args)
        .output()
        .unwrap();
    assert!(output.status.success(), "git {args:?}: {}", text(&output));
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}
