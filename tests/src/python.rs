//! The worker in another language.

use crate::{Home, repository};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// The Python worker of `docs/examples`. Killed when dropped.
pub struct PythonWorker {
    child: Child,
    count: PathBuf,
}

impl PythonWorker {
    /// Starts it. It connects as soon as somebody serves the home, and again whenever that changes.
    #[must_use]
    pub fn start(home: &Home) -> Self {
        let url = format!("unix:{}", home.path().join("aidt.sock").display());
        Self::dial(home, "worker", &url, &home.path().join("worker.token"))
    }

    /// Starts one that dials a step consumer. All workers of a home count in one file.
    #[must_use]
    pub fn dial(home: &Home, name: &str, url: &str, token: &Path) -> Self {
        let python = std::env::var("AIDT_PYTHON").unwrap_or_else(|_| "python3".to_owned());
        let count = home.path().parent().unwrap().join("count");
        let log = std::fs::File::create(home.path().parent().unwrap().join(format!("{name}.log"))).unwrap();
        let child = Command::new(python)
            .arg(repository().join("docs/examples/python-worker/worker.py"))
            .args(["--url", url])
            .arg("--token-file")
            .arg(token)
            .arg("--count")
            .arg(&count)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        Self { child, count }
    }

    /// The calls that all workers of its home executed: `tool run step dispatch key`.
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
