//! Opening: what is refused, and with which words.

use aidt_store::conformance::{ManualClock, ok};
use aidt_store_sqlite::{OpenError, Options, SqliteStore};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;

fn options(partitions: u16) -> Options {
    Options::new(partitions, Arc::new(ManualClock::default()))
}

fn refusal(path: &Path, partitions: u16) -> OpenError {
    SqliteStore::open(path, options(partitions)).expect_err("it must be refused")
}

fn shell(path: &Path, sql: &str) {
    rusqlite::Connection::open(path).and_then(|connection| connection.execute_batch(sql)).expect("plain SQL");
}

#[test]
fn the_folder_is_made_for_its_user_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a/b/aidt.db");
    drop(SqliteStore::open(&path, options(8)).unwrap());
    let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&folder.path().join("a")), 0o700);
    assert_eq!(mode(path.parent().unwrap()), 0o700);
    assert_eq!(mode(&path), 0o600);
}

#[test]
fn other_partitions_are_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("aidt.db");
    drop(SqliteStore::open(&path, options(8)).unwrap());
    let error = refusal(&path, 32);
    assert!(matches!(error, OpenError::Partitions { installed: 8, configured: 32, .. }), "{error:?}");
    drop(SqliteStore::open(&path, options(8)).unwrap());
}

#[test]
fn a_newer_schema_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("aidt.db");
    drop(SqliteStore::open(&path, options(8)).unwrap());
    shell(&path, "PRAGMA user_version = 99");
    let error = refusal(&path, 8);
    assert!(matches!(error, OpenError::Newer { found: 99, .. }), "{error:?}");
    assert!(error.to_string().contains("run the newer aidt that wrote it"), "{error}");
}

#[test]
fn what_is_not_ours_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let other = folder.path().join("other.db");
    shell(&other, "CREATE TABLE theirs (a)");
    assert!(matches!(refusal(&other, 8), OpenError::Foreign { .. }));
    let text = folder.path().join("notes.txt");
    std::fs::write(&text, "not a database at all, but long enough to have a header\n".repeat(40)).unwrap();
    assert!(matches!(refusal(&text, 8), OpenError::Database { .. }));
    assert!(matches!(refusal(&text.join("aidt.db"), 8), OpenError::Create { .. }));
}

#[tokio::test]
async fn what_is_damaged_says_so() {
    use aidt_store::{Kind, RunLog};
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("aidt.db");
    let store = SqliteStore::open(&path, options(8)).unwrap();
    ok(store.partition(aidt_domain::PartitionId(0)).await);
    shell(&path, "DELETE FROM partitions WHERE id = 0");
    let error = store.partition(aidt_domain::PartitionId(0)).await.expect_err("its row is gone");
    assert_eq!(error.kind, Kind::Corrupt, "{error}");
}
