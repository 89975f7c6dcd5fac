//! Migrations, under a lock of the database's, so that any number of processes may start at once.

use crate::error::Error;
use aidt_domain::Digest;
use sqlx::{AssertSqlSafe, Connection, PgConnection, Row};

/// What brings version `n` to `n + 1`. Never change one that was released.
const MIGRATIONS: &[&str] = &[include_str!("../migrations/0001.sql")];

/// The oldest server, as it numbers itself.
const OLDEST: i32 = 15_00_00;

/// Brings the schema to the newest version, and refuses what is not ours, is newer, or has other partitions.
pub(crate) async fn install(
    mut connection: PgConnection,
    at: &str,
    schema: &str,
    partitions: u16,
) -> Result<(), Error> {
    check_server(&mut connection, at).await?;
    // Others may hold the lock for as long as their migration takes.
    run(&mut connection, at, "set a time limit", "SET statement_timeout = 0".to_owned()).await?;
    run(&mut connection, at, "begin", "BEGIN".to_owned()).await?;
    let Digest(digest) = Digest::of(format!("aidt schema {schema}").as_bytes());
    let lock = i64::from_be_bytes(digest[..8].try_into().expect("8 of 32 bytes"));
    run(&mut connection, at, "lock the schema", format!("SELECT pg_advisory_xact_lock({lock})")).await?;
    migrate(&mut connection, at, schema).await?;
    settle_partitions(&mut connection, at, schema, partitions).await?;
    run(&mut connection, at, "commit the schema", "COMMIT".to_owned()).await?;
    // What could not be said goodbye to is closed all the same.
    let _ = connection.close().await;
    Ok(())
}

async fn check_server(connection: &mut PgConnection, at: &str) -> Result<(), Error> {
    let sql = "SELECT current_setting('server_version_num')::int, current_setting('server_version'), \
               current_setting('fsync'), current_setting('synchronous_commit')";
    let row = sqlx::query(sql).fetch_one(connection).await.map_err(refused(at, "ask for the server's settings"))?;
    let found: String = row.get(1);
    if row.get::<i32, _>(0) < OLDEST {
        return Err(Error::TooOld { at: at.to_owned(), found });
    }
    let (fsync, commit): (String, String) = (row.get(2), row.get(3));
    if fsync == "off" || commit == "off" {
        tracing::warn!(at, fsync, synchronous_commit = commit, "the server may lose what it has answered as committed");
    }
    Ok(())
}

async fn migrate(connection: &mut PgConnection, at: &str, schema: &str) -> Result<(), Error> {
    let (found, foreign) = version(connection, at, schema).await?;
    let known = u32::try_from(MIGRATIONS.len()).expect("few");
    if foreign {
        return Err(Error::Foreign { schema: schema.to_owned() });
    }
    if found > known {
        return Err(Error::Newer { schema: schema.to_owned(), found, known });
    }
    if found == known {
        return Ok(());
    }
    if found == 0 {
        let there = "SELECT 1 FROM pg_namespace WHERE nspname = $1";
        let there = sqlx::query(there).bind(schema).fetch_optional(&mut *connection).await;
        if there.map_err(refused(at, "look for the schema"))?.is_none() {
            run(connection, at, "create the schema", format!("CREATE SCHEMA \"{schema}\"")).await?;
        }
        let install = "CREATE TABLE install (one boolean PRIMARY KEY CHECK (one), version integer NOT NULL, \
                       partitions integer)";
        run(connection, at, "create the first table", install.to_owned()).await?;
        run(connection, at, "write the version", "INSERT INTO install VALUES (true, 0)".to_owned()).await?;
    }
    for migration in &MIGRATIONS[found as usize..] {
        run(connection, at, "migrate the schema", (*migration).to_owned()).await?;
    }
    run(connection, at, "write the version", format!("UPDATE install SET version = {known}")).await?;
    tracing::info!(schema, from = found, to = known, "migrated the schema");
    Ok(())
}

/// The schema's version, 0 when there is none; and whether it holds what is not ours.
async fn version(connection: &mut PgConnection, at: &str, schema: &str) -> Result<(u32, bool), Error> {
    let sql = "SELECT count(*) FILTER (WHERE c.relname = 'install'), count(*) FROM pg_class c \
               JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = $1 AND c.relkind IN ('r', 'p')";
    let row = sqlx::query(sql).bind(schema).fetch_one(&mut *connection).await;
    let row = row.map_err(refused(at, "look at the schema's tables"))?;
    let (install, tables): (i64, i64) = (row.get(0), row.get(1));
    if install == 0 {
        return Ok((0, tables > 0));
    }
    let row = sqlx::query("SELECT version FROM install").fetch_optional(connection).await;
    let row = row.map_err(refused(at, "read the schema's version"))?;
    let version = row.map(|row| row.get::<i32, _>(0)).and_then(|version| u32::try_from(version).ok());
    Ok((version.unwrap_or(0), version.is_none()))
}

/// Writes the number of partitions at install, and holds whoever comes later to it.
async fn settle_partitions(
    connection: &mut PgConnection,
    at: &str,
    schema: &str,
    partitions: u16,
) -> Result<(), Error> {
    let sql = "UPDATE install SET partitions = coalesce(partitions, $1) RETURNING partitions";
    let row = sqlx::query(sql).bind(i32::from(partitions)).fetch_one(&mut *connection).await;
    let installed = row.map_err(refused(at, "settle the number of partitions"))?.get::<i32, _>(0).cast_unsigned();
    if installed != u32::from(partitions) {
        return Err(Error::Partitions { schema: schema.to_owned(), installed, configured: partitions });
    }
    let rows =
        format!("INSERT INTO partitions (id) SELECT generate_series(0, {partitions} - 1) ON CONFLICT (id) DO NOTHING");
    run(connection, at, "write the partitions", rows).await
}

/// Runs one or several statements without arguments. None of them holds anything but a checked name or a number.
async fn run(connection: &mut PgConnection, at: &str, doing: &'static str, sql: String) -> Result<(), Error> {
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(connection).await.map(drop).map_err(refused(at, doing))
}

fn refused(at: &str, doing: &'static str) -> impl FnOnce(sqlx::Error) -> Error {
    move |source| Error::Database { doing, at: at.to_owned(), source }
}
