//! A server of the test's own, that is restarted under load, and that asks for a password.

use crate::common::Schema;
use aidt_domain::{PartitionId, RunId, Seq};
use aidt_store::conformance::build::{process_id, run_id, run_row, segment};
use aidt_store::conformance::{PARTITIONS, ok};
use aidt_store::{Batch, Kind, NewRun, PartitionRow, Store, StoreError, Turn};
use aidt_store_postgres::{Error, Options, PostgresStore};
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;
use tempfile::TempDir;
use tokio::task::JoinSet;

/// A cluster in a folder of its own, on a port of its own, stopped with this value.
struct Server {
    folder: TempDir,
    binaries: PathBuf,
    port: u16,
    as_root: bool,
}

impl Server {
    fn start() -> Self {
        let binaries = binaries();
        let folder = tempfile::tempdir().expect("a folder");
        let as_root = folder.path().metadata().expect("it is there").uid() == 0;
        let port = std::net::TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a port").port();
        let server = Self { folder, binaries, port, as_root };
        std::fs::write(server.path("password"), "secret\n").expect("it is written");
        if as_root {
            let owned = Command::new("chown").args(["-R", "postgres"]).arg(server.folder.path()).status();
            assert!(owned.expect("chown runs").success());
        }
        let (data, password) = (server.path("data"), server.path("password"));
        let initdb = ["-D", &data, "-U", "aidt", "-A", "scram-sha-256", "--pwfile", &password, "-E", "UTF8"];
        server.run("initdb", &initdb);
        server.control(&["start"]);
        server
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).to_str().expect("a plain path").to_owned()
    }

    fn url(&self, password: &str) -> String {
        format!("postgres://aidt:{password}@127.0.0.1:{}/postgres", self.port)
    }

    fn control(&self, what: &[&str]) {
        let (data, log, folder) = (self.path("data"), self.path("log"), self.path(""));
        let options = format!("-p {} -c listen_addresses=127.0.0.1 -k {folder}", self.port);
        let mut all = vec!["-D", &data, "-l", &log, "-o", &options, "-w"];
        all.extend(what);
        self.run("pg_ctl", &all);
    }

    fn run(&self, program: &str, arguments: &[&str]) {
        let mut command = if self.as_root {
            let mut command = Command::new("setpriv");
            command.args(["--reuid=postgres", "--regid=postgres", "--init-groups", "--"]);
            command.arg(self.binaries.join(program));
            command
        } else {
            Command::new(self.binaries.join(program))
        };
        // Its output goes to files: a server that inherits a pipe would keep it open.
        let output = std::fs::File::create(self.folder.path().join("output")).expect("a file");
        let again = output.try_clone().expect("a file");
        let status = command.args(arguments).current_dir("/").stdout(output).stderr(again).status();
        let said = std::fs::read_to_string(self.folder.path().join("output")).unwrap_or_default();
        assert!(status.expect("it runs").success(), "{program} {arguments:?}: {said}");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.control(&["stop", "-m", "immediate"]);
    }
}

/// Debian keeps them out of the path.
fn binaries() -> PathBuf {
    let mut found: Vec<PathBuf> = std::fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .filter_map(|entry| Some(entry.ok()?.path().join("bin")))
        .filter(|path| path.join("initdb").exists())
        .collect();
    found.sort();
    let in_path = || {
        let output = Command::new("pg_config").arg("--bindir").output().ok()?;
        Some(PathBuf::from(String::from_utf8(output.stdout).ok()?.trim()))
    };
    found.pop().or_else(in_path).expect("this test starts a Postgres of its own: apt-get install postgresql")
}

#[tokio::test]
async fn a_wrong_password_is_refused_as_such() {
    let server = Server::start();
    let options = |url| Options::new(url, "aidt", PARTITIONS);
    let error = PostgresStore::connect(options(server.url("wrong"))).await.expect_err("it must be refused");
    assert!(matches!(error, Error::Denied { .. }), "{error:?}");
    assert!(error.to_string().contains("does not let the user 'aidt' in"), "{error}");
    PostgresStore::connect(options(server.url("secret"))).await.expect("the right one");
}

/// What an owner has been told.
struct Told {
    run: RunId,
    /// The last event that was answered as written, or read back.
    confirmed: u64,
    failures: Vec<Kind>,
}

/// Appends events until told to stop, as an owner does: after any error it takes the partition again and loads.
async fn own(store: Store, partition: PartitionId, stop: Arc<AtomicBool>, turns: Arc<AtomicU32>) -> Told {
    let run = run_id(partition.0, 1);
    let mut told = Told { run, confirmed: 0, failures: Vec::new() };
    while !stop.load(Ordering::Relaxed) {
        let Err(error) = turns_of(&store, partition, &mut told, &stop, &turns).await else { break };
        told.failures.push(error.kind);
        tokio::task::yield_now().await;
    }
    told
}

/// Takes the partition, begins the run or reads how far it came, and goes on with it until an error.
async fn turns_of(
    store: &Store,
    partition: PartitionId,
    told: &mut Told,
    stop: &AtomicBool,
    turns: &AtomicU32,
) -> Result<(), StoreError> {
    let run = told.run;
    let mut row = store.run_log.take(partition, process_id(1), 9).await?;
    let mut last = match store.run_log.load(&[run]).await?.first() {
        Some(stored) => stored.row.last_seq.0,
        None => {
            let new_runs = vec![NewRun { row: run_row(run, 0) }];
            store.run_log.commit(vec![batch(&mut row, Turn { new_runs, ..Turn::default() })]).await?;
            0
        }
    };
    assert!(last >= told.confirmed, "what was answered as written is there");
    told.confirmed = last;
    while !stop.load(Ordering::Relaxed) {
        let (runs, segments) = (vec![run_row(run, last + 1)], vec![segment(run, last + 1, 1, b"payload")]);
        let commit = store.run_log.commit(vec![batch(&mut row, Turn { runs, segments, ..Turn::default() })]).await?;
        assert_eq!(commit.held, [partition]);
        last += 1;
        told.confirmed = last;
        turns.fetch_add(1, Ordering::Relaxed);
    }
    Ok(())
}

fn batch(row: &mut PartitionRow, turn: Turn) -> Batch {
    row.batch_id = row.batch_id.next();
    Batch {
        partition: row.id,
        epoch: row.epoch,
        batch_id: row.batch_id,
        published: row.published,
        out_seq: row.out_seq,
        cursor: row.cursor,
        incarnation: row.incarnation.clone(),
        turn,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_in_the_middle_of_load_loses_nothing() {
    let server = Server::start();
    let schema = Schema::at(server.url("secret"));
    let options = Options { acquire_timeout: Duration::from_secs(1), ..schema.options(PARTITIONS) };
    let store = Store::new(PostgresStore::connect(options).await.expect("it connects"));
    let (stop, turns) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU32::new(0)));
    let mut owners = JoinSet::new();
    for partition in (0..PARTITIONS).map(PartitionId) {
        owners.spawn(own(store.clone(), partition, stop.clone(), turns.clone()));
    }
    for mode in ["fast", "immediate"] {
        let before = turns.load(Ordering::Relaxed);
        crate::common::eventually("turns are committed", async || turns.load(Ordering::Relaxed) > before + 100).await;
        tokio::task::block_in_place(|| server.control(&["restart", "-m", mode]));
    }
    let before = turns.load(Ordering::Relaxed);
    crate::common::eventually("turns are committed again", async || turns.load(Ordering::Relaxed) > before + 100).await;
    stop.store(true, Ordering::Relaxed);
    let mut failed = 0;
    for told in owners.join_all().await {
        failed += told.failures.len();
        let transient = |kind: &Kind| matches!(kind, Kind::Unavailable | Kind::Unknown);
        assert!(told.failures.iter().all(transient), "{:?}", told.failures);
        let history = ok(store.history.segments(told.run, Seq(0), 99_999).await);
        assert!(history.iter().zip(1..).all(|(segment, seq)| segment.first_seq.0 == seq), "no gap");
        assert_eq!(history.len() as u64, told.confirmed, "all that was confirmed, once");
    }
    assert!(failed > 0, "the restarts were noticed");
}
