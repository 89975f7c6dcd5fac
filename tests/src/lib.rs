//! Black-box tests of the binary: what a person, a CI job or a worker in another language meets. Nothing
//! here links the product; it is started, talked to over HTTP, and killed.

#![forbid(unsafe_code)]
#![expect(clippy::disallowed_methods, reason = "tests live outside: in real time, with real processes")]
#![expect(clippy::unwrap_used, reason = "tests")]

mod http;

pub use http::{Reply, request};
use serde_json::Value;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};
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
        let mut command = Command::new(aidt());
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
        let mut all = vec!["serve", "--listen", "127.0.0.1:0"];
        all.extend(args);
        Server::start(self.command(&all))
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

/// A running `aidt serve`. Killed when dropped.
pub struct Server {
    child: Child,
    /// `127.0.0.1:PORT`.
    pub address: String,
    /// From exec to `/ready`.
    pub ready_after: Duration,
}

impl Server {
    fn start(mut command: Command) -> Self {
        let started = Instant::now();
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        // The address is on one of the streams; whichever says it first.
        let (tell, told) = std::sync::mpsc::channel();
        let out = child.stdout.take().unwrap();
        let err = child.stderr.take().unwrap();
        forward(out, tell.clone());
        forward(err, tell);
        let mut said = String::new();
        let address = loop {
            let line = told.recv_timeout(Duration::from_secs(30));
            let line = line.unwrap_or_else(|e| panic!("no address in 30 s ({e}); it said:\n{said}"));
            said.push_str(&line);
            said.push('\n');
            if let Some(rest) = line.split("http://").nth(1) {
                let end = rest.find(|c: char| !(c.is_ascii_digit() || c == '.' || c == ':')).unwrap_or(rest.len());
                break rest[..end].trim_end_matches(['.', ':']).to_owned();
            }
        };
        let mut server = Self { child, address, ready_after: Duration::ZERO };
        eventually("/ready answers 200", Duration::from_secs(30), || server.get("/ready").status == 200);
        server.ready_after = started.elapsed();
        server
    }

    /// `GET`.
    #[must_use]
    pub fn get(&self, path: &str) -> Reply {
        request(&self.address, "GET", path, &[], None)
    }

    /// `POST` of JSON.
    #[must_use]
    pub fn post(&self, path: &str, body: &Value) -> Reply {
        request(&self.address, "POST", path, &[], Some(body))
    }

    /// Submits a plan and answers its run.
    #[must_use]
    pub fn submit(&self, plan: &Value) -> String {
        let reply = self.post("/v1/runs", &serde_json::json!({ "plan": plan }));
        assert_eq!(reply.status, 202, "{}", reply.body);
        reply.json()["id"].as_str().unwrap().to_owned()
    }

    /// The run as the API shows it.
    #[must_use]
    pub fn run(&self, id: &str) -> Value {
        self.get(&format!("/v1/runs/{id}")).json()
    }

    /// Waits until the run is in one of these states.
    pub fn until(&self, id: &str, states: &[&str]) -> Value {
        let mut last = Value::Null;
        eventually(&format!("{id} is {states:?}"), Duration::from_secs(60), || {
            last = self.run(id);
            last["state"].as_str().is_some_and(|s| states.contains(&s))
        });
        last
    }

    /// All events of a run.
    #[must_use]
    pub fn events(&self, id: &str) -> Vec<Value> {
        let mut events = Vec::new();
        loop {
            let after = events.last().map_or(0, |e: &Value| e["seq"].as_u64().unwrap());
            let page = self.get(&format!("/v1/runs/{id}/events?after={after}&limit=100")).json();
            let items = page["items"].as_array().unwrap().clone();
            if items.is_empty() {
                return events;
            }
            events.extend(items);
        }
    }

    /// SIGKILL.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// SIGTERM, and its exit code.
    pub fn terminate(mut self) -> Option<i32> {
        signal(self.child.id(), "TERM");
        self.child.wait().unwrap().code()
    }

    /// The process.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn forward(stream: impl std::io::Read + Send + 'static, tell: std::sync::mpsc::Sender<String>) {
    std::thread::spawn(move || {
        for line in BufReader::new(stream).lines().map_while(Result::ok) {
            // Nobody listens once the server is up; the stream is drained all the same.
            drop(tell.send(line));
        }
    });
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
pub fn eventually(what: &str, within: Duration, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + within;
    while !holds() {
        assert!(Instant::now() < deadline, "not within {within:?}: {what}");
        std::thread::park_timeout(Duration::from_millis(5));
    }
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

/// The Python worker of `docs/examples`, dialling the home's socket. Killed when dropped.
pub struct PythonWorker {
    child: Child,
    count: PathBuf,
}

impl PythonWorker {
    /// Starts it. It connects as soon as somebody serves the home, and again whenever that changes.
    #[must_use]
    pub fn start(home: &Home) -> Self {
        let python = std::env::var("AIDT_PYTHON").unwrap_or_else(|_| "python3".to_owned());
        let count = home.path().parent().unwrap().join("count");
        let log = std::fs::File::create(home.path().parent().unwrap().join("worker.log")).unwrap();
        let child = Command::new(python)
            .arg(repository().join("docs/examples/python-worker/worker.py"))
            .args(["--url", &format!("unix:{}", home.path().join("aidt.sock").display())])
            .arg("--token-file")
            .arg(home.path().join("worker.token"))
            .arg("--count")
            .arg(&count)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        Self { child, count }
    }

    /// The calls that it executed: `tool run step dispatch key`.
    #[must_use]
    pub fn executed(&self) -> Vec<Vec<String>> {
        let text = std::fs::read_to_string(&self.count).unwrap_or_default();
        text.lines().map(|l| l.split_whitespace().map(str::to_owned).collect()).collect()
    }

    /// The process.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for PythonWorker {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Where the Python worker's catalogue entries are.
#[must_use]
pub fn python_tools() -> String {
    repository().join("docs/examples/python-worker/tools").to_string_lossy().into_owned()
}
