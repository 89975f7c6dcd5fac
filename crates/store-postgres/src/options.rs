//! How a store is connected.

use crate::error::Error;
use aidt_domain::Clock;
use sqlx::ConnectOptions;
use sqlx::postgres::PgConnectOptions;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

/// Statements that a connection keeps prepared; more than there are texts in use.
const STATEMENTS: usize = 256;

/// How a store is connected.
#[derive(Clone)]
pub struct Options {
    /// `postgres://user:password@host:port/database`; what it leaves out comes from the `PG…` variables.
    pub url: String,
    /// PEM certificates that may vouch for the server, beside those that browsers know. Looked at only where the
    /// URL says `sslmode=verify-ca` or `sslmode=verify-full`.
    pub ca: Option<String>,
    /// The schema: several stacks share a database under different ones. `a-z`, `0-9` and `_`, not a digit first,
    /// at most 63; not `pg_…`.
    pub schema: String,
    /// Number of partitions: fixed by whoever installs the schema, and the same ever after.
    pub partitions: u16,
    /// At most so many connections for everything but heartbeats. They are opened when they are needed; all
    /// processes' together must be within the server's `max_connections`. (Between them and the server may stand no
    /// pooler that shares sessions: prepared statements and settings belong to the session.)
    pub connections: usize,
    /// At most so many for heartbeats, so that nothing else can keep a life from being told.
    pub heartbeat_connections: usize,
    /// How long opening a connection may take.
    pub connect_timeout: Duration,
    /// How long an operation waits for a connection to be free.
    pub acquire_timeout: Duration,
    /// How long a statement may take, by the server's clock and, a second later, by ours.
    pub statement_timeout: Duration,
    /// `None`: the database's clock, which all processes share. A test hands in its own.
    pub clock: Option<Arc<dyn Clock>>,
}

impl Options {
    /// The usual ones: 8 connections and 2 for heartbeats, 3 s to open one, 5 s to wait for one, 10 s a statement.
    #[must_use]
    pub fn new(url: impl Into<String>, schema: impl Into<String>, partitions: u16) -> Self {
        Self {
            url: url.into(),
            ca: None,
            schema: schema.into(),
            partitions,
            connections: 8,
            heartbeat_connections: 2,
            connect_timeout: Duration::from_secs(3),
            acquire_timeout: Duration::from_secs(5),
            statement_timeout: Duration::from_secs(10),
            clock: None,
        }
    }

    /// What each connection is opened with.
    pub(crate) fn session(&self) -> Result<PgConnectOptions, Error> {
        let options = PgConnectOptions::from_str(&self.url).map_err(|source| Error::Url { source })?;
        let options = match &self.ca {
            Some(ca) => options.ssl_root_cert_from_pem(ca.clone().into_bytes()),
            None => options,
        };
        if !is_identifier(&self.schema) {
            return Err(Error::Schema { schema: self.schema.clone() });
        }
        let statement_timeout = format!("{}ms", self.statement_timeout.as_millis().max(1));
        let settings = [
            ("search_path", self.schema.as_str()),
            ("statement_timeout", &statement_timeout),
            ("idle_in_transaction_session_timeout", &statement_timeout),
            // A statement sees what was committed before it, row locks wait and look again.
            ("default_transaction_isolation", "read committed"),
            // Every statement is led by its own few keys, whatever the planner believes of tables that grow from
            // nothing to millions of rows between two of its looks at them: no plan that reads all of a table, of
            // an index or of a join's side. And none is planned twice.
            ("plan_cache_mode", "force_generic_plan"),
            ("enable_seqscan", "off"),
            ("enable_bitmapscan", "off"),
            ("enable_hashjoin", "off"),
            ("enable_mergejoin", "off"),
            ("enable_material", "off"),
            ("random_page_cost", "0.1"),
            ("cpu_tuple_cost", "1"),
            ("cpu_index_tuple_cost", "1"),
            ("jit", "off"),
        ];
        Ok(options
            .application_name("aidt")
            .statement_cache_capacity(STATEMENTS)
            .options(settings)
            .disable_statement_logging())
    }
}

impl fmt::Debug for Options {
    /// Without the URL, which may hold a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("schema", &self.schema)
            .field("partitions", &self.partitions)
            .field("connections", &self.connections)
            .finish_non_exhaustive()
    }
}

fn is_identifier(name: &str) -> bool {
    let letter = |c: char| c.is_ascii_lowercase() || c == '_';
    name.len() <= 63
        && name.starts_with(letter)
        && name.chars().all(|c| letter(c) || c.is_ascii_digit())
        && !name.starts_with("pg_")
        && name != "information_schema"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_schema_is_a_plain_identifier() {
        for good in ["aidt", "_", "team_1", "user", &"x".repeat(63)] {
            assert!(Options::new("postgres://localhost/x", good, 1).session().is_ok(), "{good}");
        }
        for bad in ["", "1a", "A", "a-b", "a b", "a\"b", "pg_x", "information_schema", "é", &"x".repeat(64)] {
            let refused = Options::new("postgres://localhost/x", bad, 1).session();
            assert!(matches!(refused, Err(Error::Schema { .. })), "{bad}");
        }
    }

    #[test]
    fn a_password_is_not_shown() {
        let options = Options::new("postgres://u:secret@localhost/x", "aidt", 1);
        assert!(!format!("{options:?}").contains("secret"));
        let refused = Options::new("postgres://u:secret@localhost:port/x", "aidt", 1).session().unwrap_err();
        assert!(!format!("{refused:?} {refused}").contains("secret"), "{refused:?}");
    }
}
