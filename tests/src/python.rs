//! The worker in another language.

use crate::{Home, repository};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

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
