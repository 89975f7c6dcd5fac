//! Connections that break, hang or are all in use.

use crate::common::{Schema, eventually, number, sql};
use aidt_domain::{BatchId, PartitionId};
use aidt_store::conformance::build::{Owner, process_id, process_row, run_id, submission};
use aidt_store::conformance::{PARTITIONS, ok, refused};
use aidt_store::{Inbox, Kind, Processes, RunLog, Store, Turn};
use aidt_store_postgres::{Options, PostgresStore};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// What the way between a store and its server does.
#[derive(Clone, Copy, PartialEq)]
enum Way {
    Open,
    /// Answers get lost; connections stay.
    Deaf,
    /// Connections are cut.
    Cut,
}

/// A way between a store and its server.
struct Proxy {
    url: String,
    way: watch::Sender<Way>,
    _tasks: JoinSet<()>,
}

impl Proxy {
    async fn start(url: &str) -> Self {
        let (before, after) = url.split_once('@').map_or_else(
            || url.split_once("//").map(|(scheme, rest)| (format!("{scheme}//"), rest)).expect("a URL"),
            |(user, rest)| (format!("{user}@"), rest),
        );
        let (host, path) = after.split_once('/').expect("a database in the URL");
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("its address").port();
        let (way, watched) = watch::channel(Way::Open);
        let mut tasks = JoinSet::new();
        let host = if host.contains(':') { host.to_owned() } else { format!("{host}:5432") };
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                let server = TcpStream::connect(&host).await.expect("the server answers");
                connections.spawn(pass(client, server, watched.clone()));
            }
        });
        Self { url: format!("{before}127.0.0.1:{port}/{path}"), way, _tasks: tasks }
    }

    fn set(&self, way: Way) {
        self.way.send_replace(way);
    }
}

async fn pass(client: TcpStream, server: TcpStream, mut way: watch::Receiver<Way>) {
    let ((mut from_client, mut to_client), (mut from_server, mut to_server)) =
        (client.into_split(), server.into_split());
    let deaf = way.clone();
    let answers = async move {
        let mut bytes = vec![0; 1 << 16];
        while let Ok(count @ 1..) = from_server.read(&mut bytes).await {
            if *deaf.borrow() == Way::Open && to_client.write_all(&bytes[..count]).await.is_err() {
                break;
            }
        }
    };
    let asked = async move { tokio::io::copy(&mut from_client, &mut to_server).await.map(drop).unwrap_or_default() };
    tokio::select! {
        biased;
        _ = way.wait_for(|way| *way == Way::Cut) => {}
        () = answers => {}
        () = asked => {}
    }
}

async fn behind(proxy: &Proxy, schema: &Schema) -> Arc<PostgresStore> {
    let options =
        Options { url: proxy.url.clone(), statement_timeout: Duration::from_millis(400), ..schema.options(PARTITIONS) };
    PostgresStore::connect(options).await.unwrap_or_else(|error| panic!("{error}: {error:?}"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_whose_answer_is_lost_is_unknown_and_can_be_settled() {
    let schema = Schema::new();
    let proxy = Proxy::start(&schema.url).await;
    let store = behind(&proxy, &schema).await;
    let ports = Store::new(store.clone());
    let mut owner = Owner::take(&ports, 0).await;
    // Prepares the statement: what is lost below is the answer to its execution.
    owner.commit(Turn::default()).await;
    let mut shell = schema.shell().await;

    proxy.set(Way::Deaf);
    let batch = owner.batch(Turn::default());
    let other = store.clone();
    let committing = JoinSet::from_iter([async move { other.commit(vec![batch]).await }]);
    let there = "SELECT batch_id FROM partitions WHERE id = 0";
    eventually("it is committed", async || number(&mut shell, there).await == 2).await;
    proxy.set(Way::Cut);
    refused(only(committing).await, Kind::Unknown);

    proxy.set(Way::Open);
    assert_eq!(ok(store.partition(PartitionId(0)).await).batch_id, BatchId(2), "read back: it happened");
    owner.begin(run_id(0, 2)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_falls_silent_is_given_up() {
    let schema = Schema::new();
    let proxy = Proxy::start(&schema.url).await;
    let store = behind(&proxy, &schema).await;
    ok(store.now().await);
    proxy.set(Way::Deaf);
    refused(store.now().await, Kind::Unavailable);
    proxy.set(Way::Open);
    ok(store.now().await);
    proxy.set(Way::Deaf);
    refused(store.submit(submission(1, run_id(0, 1))).await, Kind::Unknown);
    proxy.set(Way::Open);
    ok(store.submit(submission(1, run_id(0, 1))).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backend_that_is_ended_in_a_commit_has_written_nothing() {
    let schema = Schema::new();
    let store = schema.store().await;
    let ports = Store::new(store.clone());
    let mut owner = Owner::take(&ports, 0).await;
    let (mut holder, mut shell) = (schema.shell().await, schema.shell().await);
    let me = number(&mut holder, "SELECT pg_backend_pid()::bigint").await;
    sql(&mut holder, "BEGIN; SELECT FROM partitions WHERE id = 0 FOR UPDATE").await;
    let batch = owner.batch(Turn::default());
    let other = store.clone();
    let committing = JoinSet::from_iter([async move { other.commit(vec![batch]).await }]);
    let waits = format!("SELECT count(*) FROM pg_stat_activity WHERE pg_blocking_pids(pid) @> ARRAY[{me}::integer]");
    eventually("the commit waits", async || number(&mut shell, &waits).await == 1).await;
    let end = format!(
        "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity \
         WHERE pg_blocking_pids(pid) @> ARRAY[{me}::integer]"
    );
    assert_eq!(number(&mut shell, &end).await, 1);
    refused(only(committing).await, Kind::Unavailable);
    sql(&mut holder, "ROLLBACK").await;
    assert_eq!(ok(store.partition(PartitionId(0)).await).batch_id, BatchId(0));
    owner.commit(Turn::default()).await;
}

/// What the only task answers.
async fn only<T: 'static>(mut tasks: JoinSet<T>) -> T {
    tasks.join_next().await.expect("one task").expect("no panic")
}

/// Every connection that was idle dies with the server's end of it; the next operations find new ones.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_that_died_idle_fail_at_most_one_operation() {
    let schema = Schema::new();
    let proxy = Proxy::start(&schema.url).await;
    let store = behind(&proxy, &schema).await;
    let mut readers = JoinSet::new();
    for _ in 0..16 {
        let store = store.clone();
        readers.spawn(async move { ok(store.now().await) });
    }
    readers.join_all().await;
    assert!(store.counters().connections > 2, "several are idle");
    proxy.set(Way::Cut);
    eventually("the cut arrived", async || store.now().await.is_err()).await;
    proxy.set(Way::Open);
    for _ in 0..8 {
        ok(store.now().await);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_life_is_told_while_everything_else_waits() {
    let schema = Schema::new();
    let options = Options {
        connections: 1,
        heartbeat_connections: 1,
        acquire_timeout: Duration::from_millis(100),
        ..schema.options(PARTITIONS)
    };
    let store = PostgresStore::connect(options).await.expect("it connects");
    ok(store.register(process_row(1)).await);
    let (mut holder, mut shell) = (schema.shell().await, schema.shell().await);
    let me = number(&mut holder, "SELECT pg_backend_pid()::bigint").await;
    sql(&mut holder, "BEGIN; SELECT FROM partitions WHERE id = 0 FOR UPDATE").await;
    let other = store.clone();
    let taking = JoinSet::from_iter([async move { other.take(PartitionId(0), process_id(1), 9).await }]);
    let waits = format!("SELECT count(*) FROM pg_stat_activity WHERE pg_blocking_pids(pid) @> ARRAY[{me}::integer]");
    eventually("the only connection waits", async || number(&mut shell, &waits).await == 1).await;
    refused(store.now().await, Kind::Unavailable);
    assert!(!ok(store.heartbeat(process_id(1)).await).lost);
    sql(&mut holder, "ROLLBACK").await;
    ok(only(taking).await);
    ok(store.now().await);
}

/// Two runtimes share a store, and one of them ends; and a blocked one holds up nobody.
#[test]
fn a_connection_stays_with_its_runtime() {
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let schema = Schema::new();
    let (first, second) = (runtime(), runtime());
    let options = Options { connections: 2, ..schema.options(PARTITIONS) };
    let store = first.block_on(PostgresStore::connect(options)).expect("it connects");
    first.block_on(async { ok(store.now().await) });
    // The first runtime does not run while the second asks.
    second.block_on(async { ok(store.now().await) });
    first.block_on(async { ok(store.now().await) });
    drop(first);
    for _ in 0..3 {
        let third = runtime();
        third.block_on(async { ok(store.now().await) });
        second.block_on(async { ok(store.now().await) });
    }
}
