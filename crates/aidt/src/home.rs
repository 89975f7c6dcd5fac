//! The home of an embedded aidt: whoever holds its lock embeds, the others are its clients.

use crate::error::cannot;
use aidt_cli::HostError;
use aidt_domain::{Digest, ErrorCode};
use std::fs::{File, OpenOptions, TryLockError};
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

/// The longest path that a unix socket may have on Linux, with the closing NUL: 108.
const SOCKET_PATH_MAX: usize = 107;

/// A home, held or not.
#[derive(Clone, Debug)]
pub(crate) struct Home {
    dir: PathBuf,
}

/// The lock of a home: released when dropped, or when the process ends.
#[derive(Debug)]
pub(crate) struct HomeLock(#[expect(dead_code, reason = "holding it is the point")] File);

impl Home {
    /// The home at `dir`, made if it is not there, for its owner only.
    pub(crate) fn at(dir: &Path) -> Result<Self, HostError> {
        make(dir)?;
        let dir = dir
            .canonicalize()
            .map_err(|e| cannot(ErrorCode::Unavailable, format!("cannot use {} as home", dir.display()), e))?;
        Ok(Self { dir })
    }

    /// Takes the lock, unless another process has it.
    pub(crate) fn try_lock(&self) -> Result<Option<HomeLock>, HostError> {
        let path = self.dir.join("lock");
        let failed = |e: std::io::Error| cannot(ErrorCode::Unavailable, format!("cannot lock {}", path.display()), e);
        let file =
            OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(&path).map_err(failed)?;
        match file.try_lock() {
            Ok(()) => Ok(Some(HomeLock(file))),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(failed(error)),
        }
    }

    /// Where the API of whoever embeds is served. A home whose path is too long for a socket has it in the
    /// temporary folder, under a name made of the home's path.
    pub(crate) fn socket(&self) -> Result<PathBuf, HostError> {
        let path = self.dir.join("aidt.sock");
        if path.as_os_str().len() <= SOCKET_PATH_MAX {
            return Ok(path);
        }
        let name = Digest::of(self.dir.as_os_str().as_encoded_bytes()).to_string();
        let dir = std::env::temp_dir().join(format!("aidt-{}", &name["sha256:".len()..][..16]));
        make(&dir)?;
        Ok(dir.join("aidt.sock"))
    }

    /// The token that admits workers, for its owner only. `fresh` is used when there is none yet.
    pub(crate) fn worker_token(&self, fresh: impl FnOnce() -> String) -> Result<String, HostError> {
        secret(&self.token_file(), fresh)
    }

    /// What seals the routes of calls: a later life of this home reads what an earlier one wrote, and no
    /// worker can write one itself.
    pub(crate) fn route_secret(&self, fresh: impl FnOnce() -> String) -> Result<String, HostError> {
        secret(&self.dir.join("route.key"), fresh)
    }

    /// Where that token is.
    pub(crate) fn token_file(&self) -> PathBuf {
        self.dir.join("worker.token")
    }

    /// The folder itself.
    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }
}

/// A word in a file for its owner only, made when it is not there.
fn secret(path: &Path, fresh: impl FnOnce() -> String) -> Result<String, HostError> {
    if let Ok(word) = std::fs::read_to_string(path)
        && !word.trim().is_empty()
    {
        return Ok(word.trim().to_owned());
    }
    let word = fresh();
    let failed = |e: std::io::Error| cannot(ErrorCode::Unavailable, format!("cannot write {}", path.display()), e);
    let mut file = OpenOptions::new().create(true).write(true).truncate(true).mode(0o600).open(path).map_err(failed)?;
    writeln!(file, "{word}").and_then(|()| file.sync_all()).map_err(failed)?;
    Ok(word)
}

fn make(dir: &Path) -> Result<(), HostError> {
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(dir)
        .map_err(|e| cannot(ErrorCode::Unavailable, format!("cannot make the folder {}", dir.display()), e))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_process_embeds_and_the_token_stays() {
        let dir = std::env::temp_dir().join(format!("aidt-home-{}", std::process::id()));
        let home = Home::at(&dir).unwrap();
        let lock = home.try_lock().unwrap();
        assert!(lock.is_some());
        assert!(home.try_lock().unwrap().is_none());
        drop(lock);
        assert!(home.try_lock().unwrap().is_some());
        assert_eq!(home.worker_token(|| "one".into()).unwrap(), "one");
        assert_eq!(home.worker_token(|| "two".into()).unwrap(), "one");
        std::fs::remove_dir_all(&dir).unwrap();
    }

    #[test]
    fn a_long_home_has_its_socket_elsewhere() {
        let dir = std::env::temp_dir().join("x".repeat(120)).join(std::process::id().to_string());
        let home = Home::at(&dir).unwrap();
        let socket = home.socket().unwrap();
        assert!(socket.as_os_str().len() <= SOCKET_PATH_MAX, "{}", socket.display());
        assert_eq!(socket, home.socket().unwrap());
        std::fs::remove_dir_all(dir.parent().unwrap()).unwrap();
    }
}
