//! What is remembered of a server between commands: `state.json` in its folder, behind a lock.

use crate::process::Process;
use crate::{Error, Result};
use serde::{Deserialize, Serialize};
use std::fs::{self, File};
use std::path::{Path, PathBuf};

/// What runs the servers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Engine {
    /// Processes of this machine's own packages.
    Native,
    /// Containers, by `docker compose`.
    Compose,
}

/// Where a server is and as what it runs.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct State {
    /// Chosen at the first start, kept for later ones; the first is the one for clients.
    pub(crate) ports: Vec<u16>,
    /// Chosen with the ports: the data is there.
    pub(crate) engine: Option<Engine>,
    /// The server, unless it was stopped. It may have crashed since.
    pub(crate) process: Option<Process>,
    /// Erlang's port mapper, which outlives RabbitMQ.
    pub(crate) port_mapper: Option<Process>,
}

impl State {
    fn path(folder: &Path) -> PathBuf {
        folder.join("state.json")
    }

    pub(crate) fn load(folder: &Path) -> Result<Self> {
        let path = Self::path(folder);
        match fs::read(&path) {
            Ok(text) => serde_json::from_slice(&text).map_err(|source| Error::Damaged { path, source }),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(Error::file("read", &path)(error)),
        }
    }

    /// Written beside and renamed, so that a reader never sees half of it.
    pub(crate) fn save(&self, folder: &Path) -> Result<()> {
        let path = Self::path(folder);
        let fresh = folder.join("state.json.new");
        let text = serde_json::to_vec_pretty(self).expect("numbers and names are JSON");
        fs::write(&fresh, text).map_err(Error::file("write", &fresh))?;
        fs::rename(&fresh, &path).map_err(Error::file("write", &path))
    }

    /// When it was last written: when a server that runs was started.
    pub(crate) fn written(folder: &Path) -> Option<std::time::SystemTime> {
        fs::metadata(Self::path(folder)).and_then(|m| m.modified()).ok()
    }
}

/// Makes the folder and waits until nobody else changes what is in it. Held until the file is dropped.
pub(crate) fn lock(folder: &Path) -> Result<File> {
    fs::create_dir_all(folder).map_err(Error::file("create", folder))?;
    let path = folder.join("lock");
    let file = File::create(&path).map_err(Error::file("create", &path))?;
    file.lock().map_err(Error::file("lock", &path))?;
    Ok(file)
}
