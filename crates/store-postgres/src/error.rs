//! What the database's errors mean to a caller.

use aidt_store::{Kind, StoreError};
use sqlx::postgres::{PgDatabaseError, PgSeverity};
use std::sync::Arc;
use std::time::Duration;

/// Why a store could not be connected.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The URL.
    #[error("the database's URL is not of the form postgres://user:password@host:port/database")]
    Url {
        /// The cause.
        source: sqlx::Error,
    },
    /// The schema's name.
    #[error("'{schema}' cannot name a schema: a-z, 0-9 and _, no digit first, at most 63, and not pg_…")]
    Schema {
        /// What was given.
        schema: String,
    },
    /// Nobody answers there.
    #[error("no database answers at {at}; check host and port, and that the server runs and accepts connections")]
    Unreachable {
        /// Host and port.
        at: String,
        /// The cause.
        source: sqlx::Error,
    },
    /// Nobody answered in time.
    #[error("the database at {at} did not answer within {waited:?}; check host, port and the network between")]
    Silent {
        /// Host and port.
        at: String,
        /// How long was waited.
        waited: Duration,
    },
    /// The server does not let this user in.
    #[error("the database at {at} does not let the user '{user}' in; check name, password and pg_hba.conf")]
    Denied {
        /// Host and port.
        at: String,
        /// As whom.
        user: String,
        /// The cause.
        source: sqlx::Error,
    },
    /// The database is not there.
    #[error("the server at {at} has no database '{database}'; create it, or name another in the URL")]
    NoDatabase {
        /// Host and port.
        at: String,
        /// Which.
        database: String,
        /// The cause.
        source: sqlx::Error,
    },
    /// An old server.
    #[error("the server at {at} is Postgres {found}; aidt needs 15 or newer")]
    TooOld {
        /// Host and port.
        at: String,
        /// Its version.
        found: String,
    },
    /// Somebody else's schema.
    #[error("the schema {schema} holds tables that are not aidt's; configure another schema")]
    Foreign {
        /// Which.
        schema: String,
    },
    /// Written by a newer build.
    #[error(
        "the schema {schema} is of version {found}, this build knows up to {known}; run the newer aidt that wrote it"
    )]
    Newer {
        /// Which.
        schema: String,
        /// Its version.
        found: u32,
        /// The newest that is known here.
        known: u32,
    },
    /// The number of partitions is fixed at install.
    #[error(
        "the schema {schema} was installed with {installed} partitions, configured are {configured}; \
         configure {installed}, or install anew in another schema"
    )]
    Partitions {
        /// Which.
        schema: String,
        /// What it has.
        installed: u32,
        /// What was asked for.
        configured: u16,
    },
    /// The database refused something else.
    #[error("cannot {doing} in the database at {at}")]
    Database {
        /// What was tried.
        doing: &'static str,
        /// Host and port.
        at: String,
        /// The cause.
        source: sqlx::Error,
    },
}

/// The database's error, with where it is.
#[derive(Debug, thiserror::Error)]
#[error("{what}: {at}")]
struct Cause {
    what: &'static str,
    at: Arc<str>,
    source: sqlx::Error,
}

/// What a failed statement can have left behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Effect {
    /// Nothing: it only looks.
    Reads,
    /// It may have been committed when its answer was lost.
    Writes,
}

/// A failed statement: what it means, and whether its connection is of no more use.
pub(crate) struct Meaning {
    pub(crate) kind: Kind,
    pub(crate) what: &'static str,
    pub(crate) connection_lost: bool,
}

impl Meaning {
    /// A statement is a transaction of its own: an error that the server reports rolled it back. (It reports
    /// none after its commit; a crash or an immediate stop in between just cuts the connection.)
    pub(crate) fn of(error: &sqlx::Error, effect: Effect) -> Self {
        let known = |kind, what| Self { kind, what, connection_lost: false };
        match error {
            sqlx::Error::Database(reported) => {
                let fatal = reported
                    .try_downcast_ref::<PgDatabaseError>()
                    .is_some_and(|error| matches!(error.severity(), PgSeverity::Fatal | PgSeverity::Panic));
                let code = reported.code().unwrap_or_default();
                let (kind, what) = of_code(&code);
                // A server that may only be read was demoted: the next connection finds the one in charge.
                Self { kind, what, connection_lost: fatal || code == "25006" }
            }
            sqlx::Error::Encode(_) | sqlx::Error::InvalidArgument(_) => {
                known(Kind::Invalid, "a value is larger than the database takes")
            }
            sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_) | sqlx::Error::ColumnIndexOutOfBounds { .. } => {
                known(Kind::Corrupt, "a stored row does not make sense")
            }
            _ => Self {
                kind: if effect == Effect::Reads { Kind::Unavailable } else { Kind::Unknown },
                what: "the connection to the database was lost",
                connection_lost: true,
            },
        }
    }
}

/// By SQLSTATE, as the manual's appendix A lists them; `AD…` are the reasons of our own `refuse`.
fn of_code(code: &str) -> (Kind, &'static str) {
    match code {
        CONFLICT | LOST_RACE => (Kind::Conflict, "what is stored has changed"),
        INVALID => (Kind::Invalid, "the request is not valid"),
        NOT_FOUND => (Kind::NotFound, "what it needs is not there"),
        "40001" | "40P01" | "55P03" => (Kind::Unavailable, "another transaction was in the way"),
        "57014" => (Kind::Unavailable, "the statement took too long"),
        "53100" => (Kind::Unavailable, "the database's disk is full"),
        "25006" => (Kind::Unavailable, "the database may only be read; is this a standby?"),
        "23505" => (Kind::Conflict, "a row is there already"),
        _ => match code.get(..2).unwrap_or_default() {
            "08" | "53" | "57" | "58" | "28" | "3D" => (Kind::Unavailable, "the database is not available"),
            "22" | "23" | "54" => (Kind::Invalid, "the database does not take such a value"),
            _ => (Kind::Corrupt, "the database is damaged or was changed by another program"),
        },
    }
}

/// `refuse`: a run does not stand where the turn believes it to.
pub(crate) const CONFLICT: &str = "AD001";
/// `refuse`: it can never be written.
pub(crate) const INVALID: &str = "AD002";
/// `refuse`: what it belongs to is not there.
pub(crate) const NOT_FOUND: &str = "AD003";
/// `refuse`: somebody was first between two looks; look again.
pub(crate) const LOST_RACE: &str = "AD004";

/// The error of a port.
pub(crate) fn failed(operation: &'static str, meaning: &Meaning, at: &Arc<str>, source: sqlx::Error) -> StoreError {
    StoreError::new(operation, meaning.kind, Cause { what: meaning.what, at: at.clone(), source })
}

/// What is wrong with a row that was read, or a request, before it has the operation's name.
#[derive(Debug)]
pub(crate) enum Failed {
    /// A cell.
    Cell(sqlx::Error),
    /// The request, or what is stored.
    Said(Kind, String),
}

impl From<sqlx::Error> for Failed {
    fn from(error: sqlx::Error) -> Self {
        Self::Cell(error)
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
    pub(crate) fn of(self, operation: &'static str) -> StoreError {
        match self {
            Self::Said(kind, message) => StoreError::new(operation, kind, message),
            Self::Cell(error) => StoreError::new(operation, Kind::Corrupt, error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_state_of_the_server_says_what_it_left_behind() {
        for (code, kind) in [
            ("40001", Kind::Unavailable),
            ("40P01", Kind::Unavailable),
            ("57P01", Kind::Unavailable),
            ("57P03", Kind::Unavailable),
            ("53300", Kind::Unavailable),
            ("53100", Kind::Unavailable),
            ("08006", Kind::Unavailable),
            ("25006", Kind::Unavailable),
            ("23505", Kind::Conflict),
            ("23514", Kind::Invalid),
            ("22021", Kind::Invalid),
            ("54000", Kind::Invalid),
            ("42P01", Kind::Corrupt),
            ("XX001", Kind::Corrupt),
            ("", Kind::Corrupt),
            (CONFLICT, Kind::Conflict),
            (INVALID, Kind::Invalid),
            (NOT_FOUND, Kind::NotFound),
        ] {
            assert_eq!(of_code(code).0, kind, "{code}");
        }
    }

    #[test]
    fn a_lost_connection_is_ambiguous_only_for_what_writes() {
        let lost = || sqlx::Error::Io(std::io::ErrorKind::ConnectionReset.into());
        assert_eq!(Meaning::of(&lost(), Effect::Reads).kind, Kind::Unavailable);
        let written = Meaning::of(&lost(), Effect::Writes);
        assert!(written.kind == Kind::Unknown && written.connection_lost);
    }
}
