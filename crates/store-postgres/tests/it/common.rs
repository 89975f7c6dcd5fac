//! A schema of its own for each test, on the server that the environment names.

use aidt_store_postgres::{Options, PostgresStore};
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, SystemTime};

/// The server's URL.
#[expect(clippy::disallowed_methods, reason = "a test has no settings but the environment")]
pub(crate) fn url() -> String {
    std::env::var("AIDT_TEST_POSTGRES_URL").unwrap_or_else(|_| {
        panic!(
            "AIDT_TEST_POSTGRES_URL is not set: run the tests by `cargo xtask test`, or start the servers with \
             `cargo xtask services up` and export what it prints"
        )
    })
}

/// A schema that nobody else has, dropped with this value.
#[derive(Debug)]
pub(crate) struct Schema {
    pub(crate) url: String,
    pub(crate) name: String,
}

impl Schema {
    pub(crate) fn new() -> Self {
        Self::at(url())
    }

    #[expect(clippy::disallowed_methods, reason = "a name that no earlier run of the tests has used")]
    pub(crate) fn at(url: String) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("after 1970").as_nanos();
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        Self { url, name: format!("test_{}_{now}_{count}", std::process::id()) }
    }

    pub(crate) fn options(&self, partitions: u16) -> Options {
        Options { connections: 4, ..Options::new(&self.url, &self.name, partitions) }
    }

    pub(crate) async fn store(&self) -> Arc<PostgresStore> {
        let options = self.options(aidt_store::conformance::PARTITIONS);
        PostgresStore::connect(options).await.unwrap_or_else(|error| panic!("{error}: {error:?}"))
    }

    /// A connection of the test's own, in the schema.
    pub(crate) async fn shell(&self) -> PgConnection {
        let mut connection = PgConnection::connect(&self.url).await.expect("the server answers");
        sql(&mut connection, &format!("SET search_path = {}", self.name)).await;
        connection
    }
}

impl Drop for Schema {
    fn drop(&mut self) {
        let (url, name) = (self.url.clone(), self.name.clone());
        let drop_it = move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(async {
                // A server that is gone took its schemas along.
                let Ok(mut connection) = PgConnection::connect(&url).await else { return };
                sql(&mut connection, "SET client_min_messages = warning").await;
                sql(&mut connection, &format!("DROP SCHEMA IF EXISTS {name} CASCADE")).await;
            });
        };
        std::thread::spawn(drop_it).join().expect("the schema is dropped");
    }
}

/// Runs plain SQL.
pub(crate) async fn sql(connection: &mut PgConnection, text: &str) {
    let text = AssertSqlSafe(text.to_owned());
    sqlx::raw_sql(text).execute(connection).await.unwrap_or_else(|error| panic!("{error}"));
}

/// One number.
pub(crate) async fn number(connection: &mut PgConnection, text: &str) -> i64 {
    let text = AssertSqlSafe(text.to_owned());
    sqlx::query_scalar(text).fetch_one(connection).await.unwrap_or_else(|error| panic!("{error}"))
}

/// Waits until it is so.
pub(crate) async fn eventually(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(30);
    while !is_so().await {
        assert!(tokio::time::Instant::now() < deadline, "not in 30 s: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
