//! What SQLite's errors mean to a caller.

use aidt_store::{Kind, StoreError};
use rusqlite::ErrorCode;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Why a store could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The folder or the file.
    #[error("cannot create {path}; check that the folder exists and may be written")]
    Create {
        /// Where.
        path: PathBuf,
        /// The cause.
        source: std::io::Error,
    },
    /// The database refused.
    #[error("cannot open the database {path}")]
    Database {
        /// Where.
        path: PathBuf,
        /// The cause.
        source: rusqlite::Error,
    },
    /// Another program's file.
    #[error("{path} is a database, but not one of aidt's; give another path")]
    Foreign {
        /// Where.
        path: PathBuf,
    },
    /// Written by a newer build.
    #[error("the database {path} has schema {found}, this build knows up to {known}; run the newer aidt that wrote it")]
    Newer {
        /// Where.
        path: PathBuf,
        /// Its schema.
        found: u32,
        /// The newest that is known here.
        known: u32,
    },
    /// The number of partitions is fixed at install.
    #[error(
        "the database {path} was installed with {installed} partitions, configured are {configured}; \
         configure {installed}, or install anew"
    )]
    Partitions {
        /// Where.
        path: PathBuf,
        /// What it has.
        installed: u16,
        /// What was asked for.
        configured: u16,
    },
    /// A thread could not be started.
    #[error("cannot start the store's thread")]
    Thread(#[source] std::io::Error),
}

/// SQLite's error, with the file that it speaks of.
#[derive(Debug, thiserror::Error)]
#[error("{what}: {}", path.display())]
struct Cause {
    what: &'static str,
    path: PathBuf,
    source: Arc<rusqlite::Error>,
}

/// An error of SQLite's and what it left behind; several operations may share one.
#[derive(Clone, Debug)]
pub(crate) struct Broken {
    kind: Kind,
    what: &'static str,
    source: Arc<rusqlite::Error>,
}

impl Broken {
    /// An error before COMMIT: everything was, or will be, rolled back.
    pub(crate) fn before_commit(error: rusqlite::Error) -> Self {
        let (kind, what) = meaning(&error);
        Self { kind, what, source: Arc::new(error) }
    }

    /// An error from COMMIT itself: the transaction may stand in the log, or not. A full disk took no commit
    /// frame, and a busy database was never written.
    pub(crate) fn at_commit(error: rusqlite::Error) -> Self {
        let known = matches!(code(&error), Some(ErrorCode::DiskFull | ErrorCode::DatabaseBusy));
        let broken = Self::before_commit(error);
        if known { broken } else { Self { kind: Kind::Unknown, ..broken } }
    }

    /// The error of a port.
    pub(crate) fn of(&self, operation: &'static str, path: &Path) -> StoreError {
        let cause = Cause { what: self.what, path: path.to_owned(), source: self.source.clone() };
        StoreError::new(operation, self.kind, cause)
    }
}

/// What failed inside an operation, before it has the operation's name.
#[derive(Debug)]
pub(crate) enum Failed {
    /// SQLite.
    Sqlite(Broken),
    /// The request, or what is stored.
    Said(Kind, String),
    /// A check of the ports' crate.
    Refused(StoreError),
}

impl From<rusqlite::Error> for Failed {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(Broken::before_commit(error))
    }
}

impl From<StoreError> for Failed {
    fn from(error: StoreError) -> Self {
        Self::Refused(error)
    }
}

impl Failed {
    /// There is no such thing.
    pub(crate) fn not_found(what: impl std::fmt::Display) -> Self {
        Self::Said(Kind::NotFound, format!("there is no {what}"))
    }

    /// What is stored cannot be read.
    pub(crate) fn corrupt(what: impl std::fmt::Display) -> Self {
        Self::Said(Kind::Corrupt, what.to_string())
    }

    /// The error of a port.
    pub(crate) fn of(self, operation: &'static str, path: &Path) -> StoreError {
        match self {
            Self::Said(kind, message) => StoreError::new(operation, kind, message),
            Self::Sqlite(broken) => broken.of(operation, path),
            Self::Refused(error) => error,
        }
    }
}

fn code(error: &rusqlite::Error) -> Option<ErrorCode> {
    error.sqlite_error_code()
}

/// Before COMMIT everything is rolled back, so whatever passes by itself is `Unavailable`.
fn meaning(error: &rusqlite::Error) -> (Kind, &'static str) {
    use rusqlite::Error;
    match (code(error), error) {
        (Some(ErrorCode::DiskFull), _) => (Kind::Unavailable, "disk full"),
        (Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked), _) => {
            (Kind::Unavailable, "another program holds the database")
        }
        (Some(ErrorCode::ReadOnly | ErrorCode::PermissionDenied | ErrorCode::CannotOpen), _) => {
            (Kind::Unavailable, "the database may not be written")
        }
        (
            Some(
                ErrorCode::SystemIoFailure
                | ErrorCode::OutOfMemory
                | ErrorCode::OperationInterrupted
                | ErrorCode::OperationAborted
                | ErrorCode::FileLockingProtocolFailed
                | ErrorCode::SchemaChanged,
            ),
            _,
        ) => (Kind::Unavailable, "input or output failed"),
        (Some(ErrorCode::ConstraintViolation), _) => (Kind::Conflict, "a row is there already"),
        (Some(ErrorCode::TooBig), _) => (Kind::Invalid, "a value is larger than the database takes"),
        (Some(_), _) => (Kind::Corrupt, "the database is damaged or was changed by another program"),
        (
            None,
            Error::FromSqlConversionFailure(..)
            | Error::InvalidColumnType(..)
            | Error::IntegralValueOutOfRange(..)
            | Error::Utf8Error(..)
            | Error::QueryReturnedNoRows,
        ) => (Kind::Corrupt, "a stored row does not make sense"),
        (None, _) => (Kind::Invalid, "the statement could not be made"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rusqlite::ffi;

    fn sqlite(code: i32) -> rusqlite::Error {
        rusqlite::Error::SqliteFailure(ffi::Error::new(code), None)
    }

    #[test]
    fn each_error_says_what_it_left_behind() {
        let path = Path::new("some.db");
        for (code, before, at_commit) in [
            (ffi::SQLITE_FULL, Kind::Unavailable, Kind::Unavailable),
            (ffi::SQLITE_BUSY, Kind::Unavailable, Kind::Unavailable),
            (ffi::SQLITE_IOERR, Kind::Unavailable, Kind::Unknown),
            (ffi::SQLITE_IOERR_FSYNC, Kind::Unavailable, Kind::Unknown),
            (ffi::SQLITE_NOMEM, Kind::Unavailable, Kind::Unknown),
            (ffi::SQLITE_CORRUPT, Kind::Corrupt, Kind::Unknown),
            (ffi::SQLITE_NOTADB, Kind::Corrupt, Kind::Unknown),
            (ffi::SQLITE_CONSTRAINT_UNIQUE, Kind::Conflict, Kind::Unknown),
            (ffi::SQLITE_TOOBIG, Kind::Invalid, Kind::Unknown),
        ] {
            assert_eq!(Broken::before_commit(sqlite(code)).of("put", path).kind, before, "{code}");
            assert_eq!(Broken::at_commit(sqlite(code)).of("put", path).kind, at_commit, "{code} at commit");
        }
    }

    #[test]
    fn a_full_disk_is_named_with_its_path() {
        let error = Broken::at_commit(sqlite(ffi::SQLITE_FULL)).of("commit", Path::new("/data/aidt.db"));
        let cause = std::error::Error::source(&error).expect("a cause");
        assert_eq!(cause.to_string(), "disk full: /data/aidt.db");
        assert!(cause.source().is_some(), "SQLite's own words stay");
    }
}
