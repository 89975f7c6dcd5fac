//! How a server is, as seen from outside.

use crate::server::MARK;
use crate::state::{Engine, State};
use crate::{Kind, Result, Server, native, probe};
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::time::SystemTime;

/// Whether a server serves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Condition {
    /// It runs and answers.
    Up,
    /// It runs and does not answer: this is what the question got.
    Silent(String),
    /// It does not run.
    Down,
}

/// What can be told of a server from outside.
#[derive(Clone, Debug)]
pub struct Status {
    /// The server.
    pub kind: Kind,
    /// Whether it serves.
    pub condition: Condition,
    /// What runs it; `None` before the first start.
    pub engine: Option<Engine>,
    /// As it says itself, where it answers.
    pub version: Option<String>,
    /// What its variable says; `None` before the first start.
    pub url: Option<String>,
    /// Its process; `None` in a container.
    pub pid: Option<i32>,
    /// When it was started, while it runs.
    pub since: Option<SystemTime>,
    /// What its data takes on disk; 0 in a container.
    pub bytes: u64,
}

impl Server {
    /// How it is; asks it.
    ///
    /// # Errors
    /// If its state cannot be read.
    pub fn status(&self) -> Result<Status> {
        let state = State::load(&self.folder)?;
        let process = state.process.filter(|process| process.is_alive());
        let runs = process.is_some() || state.engine == Some(Engine::Compose);
        let answer = runs.then(|| self.ask(&state));
        let (condition, version) = match answer {
            None => (Condition::Down, None),
            Some(Ok(version)) => (Condition::Up, version.or_else(|| self.kind.version())),
            Some(Err(_)) if process.is_none() => (Condition::Down, None),
            Some(Err(why)) => (Condition::Silent(why), None),
        };
        let since = State::written(&self.folder).filter(|_| condition != Condition::Down);
        Ok(Status {
            kind: self.kind,
            condition,
            engine: state.engine,
            version,
            url: state.ports.first().map(|port| self.kind.url(*port)),
            pid: process.map(|process| process.pid),
            since,
            bytes: size(&self.folder.join("data")),
        })
    }

    /// Its version if it serves, else why not.
    pub(crate) fn ask(&self, state: &State) -> std::result::Result<Option<String>, String> {
        if state.engine == Some(Engine::Native)
            && let Some(line) = native::ready_line(self.kind)
        {
            let text = fs::read(self.log()).unwrap_or_default();
            let text = String::from_utf8_lossy(&text);
            if !text.rsplit(MARK).next().is_some_and(|run| run.contains(line)) {
                return Err(format!("its log does not say {line:?} yet"));
            }
        }
        probe::ask(self.kind, state.ports[0]).map_err(|error| error.to_string())
    }
}

/// What a folder takes on disk, in bytes. Files that vanish meanwhile count nothing.
fn size(folder: &Path) -> u64 {
    let Ok(entries) = fs::read_dir(folder) else { return 0 };
    entries
        .flatten()
        .map(|entry| match entry.metadata() {
            Ok(m) if m.is_dir() => size(&entry.path()),
            Ok(m) => m.blocks() * 512,
            Err(_) => 0,
        })
        .sum()
}
