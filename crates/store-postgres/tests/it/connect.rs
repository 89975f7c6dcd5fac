//! Connecting: what is refused, and with which words.

use crate::common::{Schema, number, sql};
use aidt_store::conformance::ok;
use aidt_store::{Kind, RunLog};
use aidt_store_postgres::{Error, Options, PostgresStore};
use tokio::task::JoinSet;

async fn refusal(options: Options) -> Error {
    PostgresStore::connect(options).await.expect_err("it must be refused")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn eight_processes_install_at_once() {
    let schema = Schema::new();
    let mut starts = JoinSet::new();
    for _ in 0..8 {
        starts.spawn(PostgresStore::connect(schema.options(8)));
    }
    for store in starts.join_all().await {
        assert_eq!(store.expect("each of them starts").partitions(), 8);
    }
    let mut shell = schema.shell().await;
    assert_eq!(number(&mut shell, "SELECT count(*) FROM install").await, 1);
    assert_eq!(number(&mut shell, "SELECT version::bigint FROM install").await, 1);
    assert_eq!(number(&mut shell, "SELECT count(*) FROM partitions").await, 8);
}

#[tokio::test]
async fn other_partitions_are_refused_by_number() {
    let schema = Schema::new();
    drop(schema.store().await);
    let error = refusal(schema.options(32)).await;
    assert!(matches!(error, Error::Partitions { installed: 8, configured: 32, .. }), "{error:?}");
    assert!(error.to_string().contains("installed with 8 partitions, configured are 32"), "{error}");
    drop(schema.store().await);
}

#[tokio::test]
async fn a_newer_schema_is_refused() {
    let schema = Schema::new();
    drop(schema.store().await);
    sql(&mut schema.shell().await, "UPDATE install SET version = 99").await;
    let error = refusal(schema.options(8)).await;
    assert!(matches!(error, Error::Newer { found: 99, .. }), "{error:?}");
    assert!(error.to_string().contains("run the newer aidt that wrote it"), "{error}");
}

#[tokio::test]
async fn what_is_not_ours_is_refused() {
    let schema = Schema::new();
    let create = format!("CREATE SCHEMA {0}; CREATE TABLE {0}.theirs (a integer)", schema.name);
    sql(&mut schema.shell().await, &create).await;
    assert!(matches!(refusal(schema.options(8)).await, Error::Foreign { .. }));
    let mut shell = schema.shell().await;
    assert_eq!(number(&mut shell, "SELECT count(*) FROM pg_tables WHERE schemaname = current_schema").await, 1);
}

#[tokio::test]
async fn an_empty_schema_that_was_made_for_us_is_used() {
    let schema = Schema::new();
    sql(&mut schema.shell().await, &format!("CREATE SCHEMA {}", schema.name)).await;
    drop(schema.store().await);
}

#[tokio::test]
async fn schemas_of_one_database_know_nothing_of_each_other() {
    let (one, two) = (Schema::new(), Schema::new());
    let (one, two) = (one.store().await, two.store().await);
    let partition = aidt_domain::PartitionId(3);
    let me = aidt_store::conformance::build::process_id(1);
    assert_eq!(ok(one.take(partition, me, 1).await).epoch.0, 1);
    assert_eq!(ok(one.take(partition, me, 1).await).epoch.0, 2);
    assert_eq!(ok(two.take(partition, me, 1).await).epoch.0, 1);
}

#[tokio::test]
async fn a_database_that_is_not_there_is_named() {
    let schema = Schema::new();
    let (server, _) = schema.url.rsplit_once('/').expect("a database in the URL");
    let error = refusal(Options::new(format!("{server}/no_such_database"), "aidt", 8)).await;
    assert!(matches!(error, Error::NoDatabase { .. }), "{error:?}");
    assert!(error.to_string().contains("'no_such_database'"), "{error}");
}

#[tokio::test]
async fn nobody_there_and_nobody_answering_are_told_apart() {
    let taken = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = taken.local_addr().expect("its address").port();
    let options = |port| Options {
        connect_timeout: std::time::Duration::from_millis(300),
        ..Options::new(format!("postgres://aidt:secret@127.0.0.1:{port}/aidt?sslmode=disable"), "aidt", 8)
    };
    // It accepts, and never says a word.
    let error = refusal(options(port)).await;
    assert!(matches!(error, Error::Silent { .. }), "{error:?}");
    drop(taken);
    let error = refusal(options(port)).await;
    assert!(matches!(error, Error::Unreachable { .. }), "{error:?}");
    assert!(error.to_string().contains(&format!("127.0.0.1:{port}")), "{error}");
    assert!(!format!("{error:?}").contains("secret"));
}

#[tokio::test]
async fn a_row_that_is_gone_is_corrupt() {
    let schema = Schema::new();
    let store = schema.store().await;
    ok(store.partition(aidt_domain::PartitionId(0)).await);
    sql(&mut schema.shell().await, "DELETE FROM partitions WHERE id = 0").await;
    let error = store.partition(aidt_domain::PartitionId(0)).await.expect_err("its row is gone");
    assert_eq!(error.kind, Kind::Corrupt, "{error}");
}
