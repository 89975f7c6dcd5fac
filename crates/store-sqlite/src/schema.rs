//! Migrations, by `user_version`.

use crate::error::OpenError;
use rusqlite::{Connection, TransactionBehavior};
use std::path::Path;

/// What brings schema `n` to `n + 1`. Never change one that was released.
const MIGRATIONS: &[&str] = &[include_str!("../migrations/0001.sql"), include_str!("../migrations/0002.sql")];

/// "aidt" in ASCII, in the file's header.
const APPLICATION_ID: i64 = 0x6169_6474;

/// Brings the file to the newest schema, and refuses what is not ours or newer.
pub(crate) fn migrate(connection: &mut Connection, path: &Path) -> Result<(), OpenError> {
    let failed = |source| OpenError::Database { path: path.to_owned(), source };
    let tx = connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(failed)?;
    let found: u32 = tx.pragma_query_value(None, "user_version", |row| row.get(0)).map_err(failed)?;
    let application: i64 = tx.pragma_query_value(None, "application_id", |row| row.get(0)).map_err(failed)?;
    let tables: u32 = tx.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0)).map_err(failed)?;
    if application != APPLICATION_ID && tables > 0 {
        return Err(OpenError::Foreign { path: path.to_owned() });
    }
    let known = u32::try_from(MIGRATIONS.len()).expect("few");
    if found > known {
        return Err(OpenError::Newer { path: path.to_owned(), found, known });
    }
    for migration in &MIGRATIONS[found as usize..] {
        tx.execute_batch(migration).map_err(failed)?;
    }
    if found < known {
        tx.pragma_update(None, "application_id", APPLICATION_ID).map_err(failed)?;
        tx.pragma_update(None, "user_version", known).map_err(failed)?;
    }
    tx.commit().map_err(failed)
}

/// Writes the number of partitions at install, and holds whoever opens it later to it.
pub(crate) fn install(connection: &mut Connection, path: &Path, partitions: u16) -> Result<(), OpenError> {
    let failed = |source| OpenError::Database { path: path.to_owned(), source };
    let tx = connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(failed)?;
    tx.execute("INSERT INTO install (one, partitions) VALUES (1, ?1) ON CONFLICT DO NOTHING", [partitions])
        .map_err(failed)?;
    let installed: u16 = tx.query_row("SELECT partitions FROM install", [], |row| row.get(0)).map_err(failed)?;
    if installed != partitions {
        return Err(OpenError::Partitions { path: path.to_owned(), installed, configured: partitions });
    }
    for id in 0..partitions {
        tx.execute("INSERT INTO partitions (id) VALUES (?1) ON CONFLICT DO NOTHING", [id]).map_err(failed)?;
    }
    tx.commit().map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_schema_is_as_it_was_released() {
        let mut connection = Connection::open_in_memory().unwrap();
        migrate(&mut connection, Path::new("memory")).unwrap();
        let mut statement =
            connection.prepare("SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL ORDER BY type DESC, name").unwrap();
        let all: Vec<String> = statement.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect();
        insta::assert_snapshot!(all.join(";\n\n"));
    }

    #[test]
    fn each_migration_ends_at_its_own_version() {
        let mut connection = Connection::open_in_memory().unwrap();
        migrate(&mut connection, Path::new("memory")).unwrap();
        migrate(&mut connection, Path::new("memory")).unwrap();
        let version: u32 = connection.pragma_query_value(None, "user_version", |row| row.get(0)).unwrap();
        assert_eq!(version as usize, MIGRATIONS.len());
    }
}
