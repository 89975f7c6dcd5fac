//! Killed in the middle of writing: everything that was answered as committed is there.
//!
//! The test starts itself again as a child (`AIDT_STORE_CRASH_DIR` names the folder), which prints a line
//! after each answer; the parent kills it with SIGKILL at an instant of its own and reads the store.

use aidt_domain::{PartitionId, Project, Seq, StepState};
use aidt_store::conformance::build::{Owner, run_id, run_row, segment, step_row, submission};
use aidt_store::conformance::{ManualClock, PARTITIONS, ok};
use aidt_store::{NewRun, Store, Turn};
use aidt_store_sqlite::{Options, SqliteStore};
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

const FOLDER: &str = "AIDT_STORE_CRASH_DIR";
const KILLS: u64 = 8;

fn open(folder: &Path) -> Store {
    let options = Options { checkpoint_pages: 128, ..Options::new(PARTITIONS, Arc::new(ManualClock::default())) };
    Store::new(SqliteStore::open(folder.join("aidt.db"), options).expect("the store opens after a kill"))
}

/// Tells the parent, at once.
fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}").and_then(|()| out.flush()).expect("the parent reads");
}

/// Writes until it is killed: an owner's turns, and submissions beside them.
async fn child(folder: &Path) {
    let store = open(folder);
    let mut owner = Owner::take(&store, 0).await;
    let life = owner.row.epoch.0;
    let runs: Vec<_> = (0..10).map(|n| run_id(0, life * 100 + n)).collect();
    let new_runs = runs.iter().map(|run| NewRun { row: run_row(*run, 0) }).collect();
    owner.commit(Turn { new_runs, ..Turn::default() }).await;
    let submitting = async {
        for n in 0.. {
            ok(store.inbox.submit(submission(life * 1_000_000 + n, run_id(1, n))).await);
            say(&format!("command {life} {n}"));
        }
    };
    let committing = async {
        for seq in 1.. {
            let turn = Turn {
                runs: runs.iter().map(|run| run_row(*run, seq)).collect(),
                steps: runs.iter().map(|run| (*run, step_row(0, StepState::Dispatched, seq as u32))).collect(),
                segments: runs.iter().map(|run| segment(*run, seq, 1, &[b'x'; 300])).collect(),
                ..Turn::default()
            };
            owner.commit(turn).await;
            say(&format!("turn {life} {seq}"));
            tokio::task::yield_now().await;
        }
    };
    tokio::join!(submitting, committing);
}

/// The last number said of each kind and life.
fn run_and_kill(folder: &Path, lines: u64) -> BTreeMap<(String, u64), u64> {
    let me = std::env::current_exe().expect("the test's own program");
    let mut child = Command::new(me)
        .args(["--exact", "answered_means_there_after_a_kill", "--nocapture"])
        .env(FOLDER, folder)
        .stdout(Stdio::piped())
        .spawn()
        .expect("the child starts");
    let mut said = BTreeMap::new();
    let mut heard = |line: std::io::Result<String>| {
        let line = line.expect("text");
        let words: Vec<&str> = line.split(' ').collect();
        if let [kind @ ("turn" | "command"), life, n] = words[..]
            && let (Ok(life), Ok(n)) = (life.parse(), n.parse())
        {
            said.insert((kind.to_owned(), life), n);
        }
    };
    let mut output = BufReader::new(child.stdout.take().expect("piped")).lines();
    output.by_ref().take(usize::try_from(lines).expect("few")).for_each(&mut heard);
    child.kill().expect("SIGKILL");
    output.for_each(&mut heard);
    child.wait().expect("it has ended");
    said
}

#[tokio::test]
async fn answered_means_there_after_a_kill() {
    #[expect(clippy::disallowed_methods, reason = "how the test tells its own child that it is one")]
    let folder = std::env::var_os(FOLDER);
    if let Some(folder) = folder {
        return child(Path::new(&folder)).await;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let mut said = BTreeMap::new();
    for kill in 0..KILLS {
        said.extend(run_and_kill(folder.path(), 20 + kill * 37));
        check(&open(folder.path()), &said).await;
    }
    assert_eq!(said.len() as u64, 2 * KILLS, "each life said something of both kinds: {said:?}");
}

async fn check(store: &Store, said: &BTreeMap<(String, u64), u64>) {
    for ((kind, life), n) in said {
        if kind == "command" {
            let ids: Vec<_> = (0..=*n).map(|n| submission(life * 1_000_000 + n, run_id(1, n)).row.id).collect();
            assert_eq!(ok(store.inbox.pending(&ids).await), ids, "commands of life {life}");
            continue;
        }
        for run in (0..10).map(|n| run_id(0, life * 100 + n)) {
            let row = ok(store.history.run(&Project::default(), run).await).expect("its life began with it");
            assert!(row.last_seq >= Seq(*n), "{run} stands at {}, turn {n} was answered", row.last_seq);
            let segments = ok(store.history.segments(run, Seq(0), u32::MAX).await);
            let seqs: Vec<u64> = segments.iter().map(|segment| segment.first_seq.0).collect();
            assert_eq!(seqs, (1..=row.last_seq.0).collect::<Vec<_>>(), "{run} has no gap");
            let step = &ok(store.history.steps(run, None, 9).await)[0];
            assert_eq!(u64::from(step.dispatch.0), row.last_seq.0, "rows and history are of one turn");
        }
    }
    let lives = said.keys().map(|(_, life)| *life).max().expect("one at least");
    assert_eq!(ok(store.run_log.partition(PartitionId(0)).await).epoch.0, lives);
}
