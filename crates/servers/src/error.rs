//! What can go wrong with a server.

use crate::Kind;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;

/// The result of whatever is done to a server.
pub type Result<T> = std::result::Result<T, Error>;

/// Why a server cannot be started, stopped or asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file or folder cannot be read or written.
    #[error("cannot {action} {}", path.display())]
    File {
        /// What was tried, as in "write".
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// Packages are missing and cannot be installed from here.
    #[error("missing packages, and only root can install them: run `apt-get install {packages}` as root")]
    Missing {
        /// Names of Debian packages, separated by spaces.
        packages: String,
    },
    /// A program is missing, too old, or a user that it must run as is.
    #[error("{0}")]
    Unfit(String),
    /// A program cannot be started at all.
    #[error("cannot start {program}")]
    Spawn {
        /// Its name.
        program: String,
        /// The system's reason.
        source: std::io::Error,
    },
    /// A program that should end well did not.
    #[error("{program} failed ({status}): {output}")]
    Failed {
        /// Its name.
        program: String,
        /// How it ended.
        status: ExitStatus,
        /// The end of what it printed.
        output: String,
    },
    /// The server ended while it was waited for.
    #[error("{kind} ended while it started; the end of {}:\n{tail}", log.display())]
    Ended {
        /// The server.
        kind: Kind,
        /// Its log.
        log: PathBuf,
        /// The last lines of the log.
        tail: String,
    },
    /// The server runs but did not answer in time.
    #[error("{kind} did not answer within {seconds} s ({why}); the end of {}:\n{tail}", log.display())]
    Silent {
        /// The server.
        kind: Kind,
        /// How long it was waited for.
        seconds: u64,
        /// What the last question got.
        why: String,
        /// Its log.
        log: PathBuf,
        /// The last lines of the log.
        tail: String,
    },
    /// The server's process could not be ended.
    #[error("{kind} (pid {pid}) did not end within {seconds} s, not even by SIGKILL")]
    Unending {
        /// The server.
        kind: Kind,
        /// Its process.
        pid: i32,
        /// How long it was waited for.
        seconds: u64,
    },
    /// A remembered port is held by somebody else.
    #[error(
        "port {port} of {kind} is taken by another process: end that, or let `cargo xtask services up` choose anew"
    )]
    PortTaken {
        /// The server.
        kind: Kind,
        /// The port.
        port: u16,
    },
    /// Every port that may be chosen is taken.
    #[error("no free ports on 127.0.0.1 between {first} and {last}")]
    NoPorts {
        /// The lowest that was tried.
        first: u16,
        /// The highest that was tried.
        last: u16,
    },
    /// Something was asked of a server that does not run.
    #[error("{kind} does not run: start it with `cargo xtask services up`")]
    Down {
        /// The server.
        kind: Kind,
    },
    /// A name that is not a server's.
    #[error("there is no server {0:?}: postgres, redis, rabbitmq or kafka")]
    Unknown(String),
    /// The record of a server cannot be understood.
    #[error("{} is damaged: remove it", path.display())]
    Damaged {
        /// The record.
        path: PathBuf,
        /// What is wrong in it.
        source: serde_json::Error,
    },
}

impl Error {
    /// For `map_err`: a failed action on a file.
    pub(crate) fn file(action: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::File { action, path, source }
    }
}
