//! What a step costs in the store: `cargo run --release -p aidt-store-sqlite --example commits`.
//!
//! 200 runs (or as many as a second argument says) live at once, each of 10 steps; a batch is 64 finished
//! steps, each of which lets the next one of its run out: two step rows, a run row and a segment of three
//! events. Beside it one step a transaction, and the raw limits of the same disk: single-row commits, and
//! writes with an fdatasync each. The first argument names the folder to write in.

use aidt_domain::{BatchId, FORMAT, OutSeq, PartitionId, RunId, StepIx, StepRow, StepState};
use aidt_store::conformance::build::{output_ref, process_id, run_id, run_row, segment, step_row};
use aidt_store::conformance::{ManualClock, PARTITIONS};
use aidt_store::{Batch, NewRun, PartitionRow, RunLog, Turn};
use aidt_store_sqlite::{Counters, Options, SqliteStore};
use bytes::Bytes;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

const STEPS: u32 = 10;

/// A run on its way.
struct Live {
    id: RunId,
    seq: u64,
    next: u32,
}

struct Load {
    /// Time in the store, and that of this thread on a processor.
    spent: (Duration, f64),
    store: Arc<SqliteStore>,
    row: PartitionRow,
    live: Vec<Live>,
    begun: u64,
    at: usize,
}

impl Load {
    async fn new(folder: &Path, live: usize) -> Self {
        let options = Options::new(PARTITIONS, Arc::new(ManualClock::default()));
        let store = SqliteStore::open(folder.join("aidt.db"), options).expect("the store opens");
        let row = store.take(PartitionId(0), process_id(1), FORMAT).await.expect("the partition is taken");
        let mut load = Self { spent: (Duration::ZERO, 0.0), store, row, live: Vec::new(), begun: 0, at: 0 };
        let mut turn = Turn::default();
        for _ in 0..live {
            let live = load.begin(&mut turn);
            load.live.push(live);
        }
        load.commit(turn).await;
        load
    }

    fn begin(&mut self, turn: &mut Turn) -> Live {
        self.begun += 1;
        let id = run_id(0, self.begun);
        turn.new_runs.push(NewRun { row: run_row(id, 2) });
        turn.steps.push((id, out(0)));
        turn.segments.push(events(id, 1, 2));
        Live { id, seq: 2, next: 0 }
    }

    /// Finishes the next step of the next `count` runs.
    async fn finish(&mut self, count: usize) {
        let mut turn = Turn::default();
        for _ in 0..count {
            self.at = (self.at + 1) % self.live.len();
            let Live { id, seq, next } = self.live[self.at];
            turn.steps
                .push((id, StepRow { state: StepState::Done, output: Some(output_ref(seq + 1, 0, 60)), ..out(next) }));
            if next + 1 < STEPS {
                turn.steps.push((id, out(next + 1)));
            }
            turn.segments.push(events(id, seq + 1, 3));
            turn.runs.push(run_row(id, seq + 3));
            self.live[self.at] = Live { id, seq: seq + 3, next: next + 1 };
            if next + 1 == STEPS {
                self.live[self.at] = self.begin(&mut turn);
            }
        }
        self.commit(turn).await;
    }

    async fn commit(&mut self, turn: Turn) {
        self.row.batch_id = BatchId(self.row.batch_id.0 + 1);
        let batch = Batch {
            partition: self.row.id,
            epoch: self.row.epoch,
            batch_id: self.row.batch_id,
            published: OutSeq(0),
            out_seq: OutSeq(0),
            cursor: 0,
            incarnation: String::new(),
            turn,
        };
        let (began, cpu_before) = (Instant::now(), cpu());
        let commit = self.store.commit(vec![batch]).await.expect("the turn is written");
        self.spent.0 += began.elapsed();
        self.spent.1 += cpu() - cpu_before;
        assert_eq!(commit.held.len(), 1);
    }
}

fn out(ix: u32) -> StepRow {
    StepRow { ix: StepIx(ix), ..step_row(ix, StepState::Dispatched, 1) }
}

fn events(run: RunId, first: u64, count: u32) -> aidt_store::SegmentRow {
    let mut row = segment(run, first, count, &[b'p'; 120]);
    row.events = Bytes::from(vec![b'e'; 190 * count as usize]);
    row
}

/// Seconds that this thread has been on a processor (Linux).
fn cpu() -> f64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    text.split(' ').next().and_then(|ns| ns.parse::<f64>().ok()).unwrap_or(0.0) / 1e9
}

fn report(what: &str, steps: u64, (elapsed, cpu): (Duration, f64), before: Counters, after: Counters) {
    let each = |figure: fn(&Counters) -> u64| (figure(&after) - figure(&before)) as f64 / steps as f64;
    println!(
        "{what}: {:.1} us a step, {:.1} of CPU; a step: {:.2} statements, {:.2} rows, {:.3} fsyncs, {:.2} pages",
        elapsed.as_secs_f64() * 1e6 / steps as f64,
        cpu * 1e6 / steps as f64,
        each(|c| c.statements),
        each(|c| c.rows),
        each(|c| c.fsyncs),
        each(|c| c.pages),
    );
}

fn raw_limits(folder: &Path) {
    let connection = rusqlite::Connection::open(folder.join("raw.db")).expect("a database");
    connection
        .execute_batch("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; CREATE TABLE t (a)")
        .expect("set up");
    let mut insert = connection.prepare("INSERT INTO t VALUES (?1)").expect("a statement");
    let began = Instant::now();
    for n in 0..2_000 {
        insert.execute([n]).expect("a row");
    }
    println!("raw: {:.0} single-row commits/s", 2_000.0 / began.elapsed().as_secs_f64());
    let mut file = std::fs::File::create(folder.join("raw.log")).expect("a file");
    let began = Instant::now();
    for _ in 0..2_000 {
        file.write_all(&[0; 4096]).and_then(|()| file.sync_data()).expect("a page");
    }
    println!("raw: {:.0} fdatasync/s", 2_000.0 / began.elapsed().as_secs_f64());
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let folder = std::env::args().nth(1).unwrap_or_else(|| ".".to_owned());
    let folder = tempfile::tempdir_in(folder).expect("a folder");
    raw_limits(folder.path());
    let live = std::env::args().nth(2).map_or(200, |live| live.parse().expect("a number of runs"));
    let mut load = Load::new(folder.path(), live).await;
    for (count, batches) in [(64, 100_u32), (64, 1_000), (64, 1_000), (1, 5_000), (200, 300)] {
        let before = load.store.counters();
        load.spent = (Duration::ZERO, 0.0);
        for _ in 0..batches {
            load.finish(count).await;
        }
        let steps = u64::from(batches) * count as u64;
        report(&format!("{count} steps a transaction"), steps, load.spent, before, load.store.counters());
    }
    let size = std::fs::metadata(folder.path().join("aidt.db")).map_or(0, |file| file.len());
    println!("file: {} MiB after {} runs", size >> 20, load.begun);
    drop(load);
    let (began, options) = (Instant::now(), Options::new(PARTITIONS, Arc::new(ManualClock::default())));
    let store = SqliteStore::open(folder.path().join("aidt.db"), options).expect("the store opens again");
    let open = store.open_dispatches(PartitionId(0)).await.expect("they are read").len();
    println!("opened again in {:.1} ms, with {open} steps out", began.elapsed().as_secs_f64() * 1e3);
}
