//! What a turn costs: turns of 1, 16 and 256 steps against single-row commits and batched rows of the same server.
//!
//! `AIDT_TEST_POSTGRES_URL=… cargo run --release -p aidt-store-postgres --example turns`

use aidt_domain::{
    Attempt, BatchId, Budget, Digest, DispatchNo, Effect, Generation, OutSeq, PartitionId, Pool, ProcessId, Project,
    RunId, RunRow, RunState, Seq, StepIx, StepPath, StepRow, StepState, Timestamp,
};
use aidt_store::{Batch, NewRun, PartitionRow, RunLog, SegmentRow, Turn};
use aidt_store_postgres::{Options, PostgresStore};
use bytes::Bytes;
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;
use uuid::Uuid;

const SCHEMA: &str = "aidt_example_turns";
const SPENT: Duration = Duration::from_secs(4);
type Failure = Box<dyn std::error::Error>;

fn run_row(id: RunId, last_seq: u64) -> RunRow {
    RunRow {
        project: Project::default(),
        id,
        partition: PartitionId(0),
        snapshot: Digest::of(b"snapshot"),
        plan: "release-notes".to_owned(),
        state: RunState::Running,
        last_seq: Seq(last_seq),
        inputs: None,
        outputs: None,
        error: None,
        head: None,
        priority: 0,
        labels: BTreeMap::new(),
        submitted_by: "somebody".to_owned(),
        traceparent: None,
        budget: Budget::default(),
        created_at: Timestamp(1_795_267_086_000),
        updated_at: Timestamp(1_795_267_086_000),
        ended_at: None,
    }
}

fn step_row(ix: u32, state: StepState) -> Result<StepRow, Failure> {
    let at = Some(Timestamp(1_795_267_086_000));
    Ok(StepRow {
        ix: StepIx(ix),
        path: StepPath::new(&format!("build[{ix}]"))?,
        state,
        dispatch: DispatchNo(1),
        attempt: Attempt(1),
        generation: Generation(1),
        pool: Some(Pool::new("default")?),
        effect: Effect::Read,
        priority: 0,
        out_seq: OutSeq(u64::from(ix)),
        dispatch_event: Seq(1),
        clean_attempt: None,
        ready_at: at,
        dispatched_at: at,
        started_at: at.filter(|_| state == StepState::Done),
        ended_at: at.filter(|_| state == StepState::Done),
        wake_at: None,
        error: None,
        output: None,
    })
}

/// An owner of partition 0 whose runs have so many steps a turn, each of three events of 190 bytes.
struct Owner {
    store: Arc<PostgresStore>,
    row: PartitionRow,
    runs: u128,
}

impl Owner {
    async fn commit(&mut self, turn: Turn) -> Result<(), Failure> {
        self.row.batch_id = BatchId(self.row.batch_id.0 + 1);
        let row = &self.row;
        let batch = Batch {
            partition: row.id,
            epoch: row.epoch,
            batch_id: row.batch_id,
            published: row.published,
            out_seq: row.out_seq,
            cursor: row.cursor,
            incarnation: row.incarnation.clone(),
            turn,
        };
        let commit = self.store.commit(vec![batch]).await?;
        if commit.held.is_empty() { Err("the partition was taken".into()) } else { Ok(()) }
    }

    /// A run whose steps are handed out in one turn and done in the next: three statements with its beginning.
    async fn run(&mut self, steps: u32) -> Result<(), Failure> {
        self.runs += 1;
        let run = RunId(Uuid::from_u128((0x019a_0000_u128 << 96) | (self.runs << 32)));
        let events = Bytes::from(vec![b'e'; 3 * 190 * steps as usize]);
        self.commit(Turn { new_runs: vec![NewRun { row: run_row(run, 0) }], ..Turn::default() }).await?;
        let mut last = 0;
        for state in [StepState::Dispatched, StepState::Done] {
            let rows: Result<Vec<_>, Failure> = (0..steps).map(|ix| Ok((run, step_row(ix, state)?))).collect();
            let first_seq = Seq(last + 1);
            last += u64::from(steps);
            let payloads = Bytes::from(vec![b'p'; 64 * steps as usize]);
            let segment = SegmentRow { run, first_seq, count: steps, events: events.clone(), payloads };
            let turn =
                Turn { runs: vec![run_row(run, last)], steps: rows?, segments: vec![segment], ..Turn::default() };
            self.commit(turn).await?;
        }
        Ok(())
    }
}

/// So many a second.
async fn rate(mut once: impl AsyncFnMut() -> Result<u64, Failure>) -> Result<f64, Failure> {
    for _ in 0..10 {
        once().await?;
    }
    let (begun, mut count) = (Instant::now(), 0_u64);
    while begun.elapsed() < SPENT {
        count += once().await?;
    }
    #[expect(clippy::cast_precision_loss, reason = "a rate")]
    Ok(count as f64 / begun.elapsed().as_secs_f64())
}

async fn raw(shell: &mut PgConnection) -> Result<(f64, f64), Failure> {
    let create = format!(
        "DROP TABLE IF EXISTS {SCHEMA}.raw; \
         CREATE TABLE {SCHEMA}.raw (run uuid, ix bigint, body bytea, PRIMARY KEY (run, ix))"
    );
    sqlx::raw_sql(AssertSqlSafe(create)).execute(&mut *shell).await?;
    let insert = format!("INSERT INTO {SCHEMA}.raw SELECT $1, * FROM unnest($2::bigint[], $3::bytea[])");
    let body = [b'x'; 190];
    let mut next = 0_u128;
    let mut insert_rows = async |count: i64| -> Result<u64, Failure> {
        next += 1;
        let (ixs, bodies): (Vec<i64>, Vec<&[u8]>) = (0..count).map(|ix| (ix, &body[..])).unzip();
        let query = sqlx::query(AssertSqlSafe(insert.clone())).bind(Uuid::from_u128(next << 64)).bind(ixs).bind(bodies);
        query.execute(&mut *shell).await?;
        Ok(count.unsigned_abs())
    };
    let single = rate(async || insert_rows(1).await).await?;
    let batched = rate(async || insert_rows(256).await).await?;
    Ok((single, batched))
}

#[tokio::main(flavor = "current_thread")]
#[expect(clippy::disallowed_methods, reason = "an example has no settings but the environment")]
#[expect(clippy::print_stdout, reason = "its report")]
async fn main() -> Result<(), Failure> {
    let url = std::env::var("AIDT_TEST_POSTGRES_URL").map_err(|_| "AIDT_TEST_POSTGRES_URL is not set")?;
    let mut shell = PgConnection::connect(&url).await?;
    let drop_schema = format!("DROP SCHEMA IF EXISTS {SCHEMA} CASCADE");
    sqlx::raw_sql(AssertSqlSafe(drop_schema.clone())).execute(&mut shell).await?;
    let store = PostgresStore::connect(Options::new(&url, SCHEMA, 1)).await?;
    let (single, batched) = raw(&mut shell).await?;
    println!("single-row commits {single:>9.0}/s; batches of 256 by UNNEST {batched:>9.0} rows/s");
    let row = store.take(PartitionId(0), ProcessId(Uuid::from_u128(1)), 1).await?;
    let mut owner = Owner { store: store.clone(), row, runs: 0 };
    for steps in [1, 16, 256] {
        let before = store.counters();
        let runs = rate(async || owner.run(steps).await.map(|()| 1)).await?;
        let after = store.counters();
        let turns = 3.0 * runs;
        let rows = runs * f64::from(2 * steps + 6);
        let statements = after.statements - before.statements;
        let written = after.rows - before.rows;
        println!(
            "runs of {steps:>3} steps: {turns:>7.0} turns/s ({:.2} of single-row commits), {:>8.0} steps/s, \
             {rows:>8.0} rows/s ({:.2} of batched rows); {statements} statements for {written} rows, \
             {} connections",
            turns / single,
            runs * f64::from(steps),
            rows / batched,
            after.connections
        );
    }
    sqlx::raw_sql(AssertSqlSafe(drop_schema)).execute(&mut shell).await?;
    Ok(())
}
