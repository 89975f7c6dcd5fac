//! What the database can do when a plain client asks for nothing but rows: what a stack is compared with.

use crate::error::Error;
use crate::options::Options;
use sqlx::{AssertSqlSafe, ConnectOptions as _, PgConnection};
use std::time::Duration;
use tokio::time::Instant;
use uuid::Uuid;

/// Rows of a batch.
const BATCH: u32 = 256;
const BODY: [u8; 190] = [b'x'; 190];

/// A table's, with a key of 24 bytes and 190 bytes beside it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Limits {
    /// Transactions of one row each, one after the other on one connection.
    pub commits_per_s: f64,
    /// Rows committed in a second, 256 in a statement by UNNEST, on one connection.
    pub rows_per_s: f64,
}

impl Limits {
    /// Measures each for as long as `spent`, in a schema of its own that is dropped afterwards. Not cancel safe:
    /// then the schema stays.
    ///
    /// # Errors
    /// When the options are not sound, or the database fails.
    pub async fn measure(options: &Options, spent: Duration) -> Result<Self, Error> {
        let session = options.session()?;
        let at = format!("{}:{}", session.get_host(), session.get_port());
        let refused = |source| Error::Database { doing: "measure its limits", at: at.clone(), source };
        let mut connection = session.connect().await.map_err(refused)?;
        let schema = &options.schema;
        let create = format!(
            "DROP SCHEMA IF EXISTS \"{schema}\" CASCADE; CREATE SCHEMA \"{schema}\"; \
             CREATE TABLE raw (run uuid, ix bigint, body bytea, PRIMARY KEY (run, ix))"
        );
        run(&mut connection, create).await.map_err(refused)?;
        let measured = async {
            let commits_per_s = rate(&mut connection, 1, spent).await?;
            Ok(Self { commits_per_s, rows_per_s: rate(&mut connection, BATCH, spent).await? })
        };
        let measured = measured.await.map_err(refused);
        run(&mut connection, format!("DROP SCHEMA \"{schema}\" CASCADE")).await.map_err(refused)?;
        measured
    }
}

/// Rows committed in a second, so many in each statement.
async fn rate(connection: &mut PgConnection, rows: u32, spent: Duration) -> Result<f64, sqlx::Error> {
    let insert = "INSERT INTO raw SELECT $1, * FROM unnest($2::bigint[], $3::bytea[])";
    let (begin, mut done) = (Instant::now(), 0_u32);
    while begin.elapsed() < spent {
        let (ixs, bodies): (Vec<i64>, Vec<&[u8]>) = (0..i64::from(rows)).map(|ix| (ix, &BODY[..])).unzip();
        let run = Uuid::from_u128((u128::from(rows) << 64) | u128::from(done));
        sqlx::query(insert).bind(run).bind(ixs).bind(bodies).execute(&mut *connection).await?;
        done += 1;
    }
    Ok(f64::from(done) * f64::from(rows) / begin.elapsed().as_secs_f64())
}

pub(crate) async fn run(connection: &mut PgConnection, sql: String) -> Result<(), sqlx::Error> {
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(connection).await.map(drop)
}
