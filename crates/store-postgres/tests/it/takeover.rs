//! What a takeover reads among very many runs that wait, counted in the server's own statistics.

use crate::common::{Schema, eventually, number, sql};
use aidt_domain::{DispatchNo, PartitionId, RunId, StepIx, StepState, Timestamp};
use aidt_store::conformance::build::{
    Owner, claim_request, plain_ref, process_id, run_id, run_row, segment, step_row, submission,
};
use aidt_store::conformance::{PARTITIONS, ok};
use aidt_store::{Claims, Inbox, RunFilter, RunLog, Store, Turn};
use aidt_store_postgres::{Options, PostgresStore};
use std::sync::Arc;

/// So many runs wait for an approval, each with a finished step, a parked one and a timer.
const WAITING: i64 = 200_000;

/// The tables that grow with the runs.
const LARGE: &str = "('runs', 'run_details', 'run_labels', 'steps', 'segments', 'timers', 'claims')";

async fn fill(schema: &Schema) {
    let mut shell = schema.shell().await;
    let change = r#"{"at":1,"head":null}"#;
    let step = r#"{"path":"a","try":1,"gen":1,"effect":"read","at":[1,null,null,null,null]}"#;
    let begin = run_row(run_id(0, 1), 0).snapshot;
    let begin = format!(r#"{{"snapshot":"{begin}","by":"somebody"}}"#);
    let id = "lpad(to_hex(n), 32, '0')::uuid";
    let n = format!("generate_series(1000000, {}) AS n", 1_000_000 + WAITING - 1);
    let partition = format!("n % {PARTITIONS}");
    for text in [
        format!("INSERT INTO run_details SELECT {id}, 'default', n, 'plan', '{begin}' FROM {n}"),
        format!("INSERT INTO runs SELECT {id}, 3, 2, '{change}' FROM {n}"),
        format!("INSERT INTO segments SELECT {id}, 1, 2, 'events', 'payloads' FROM {n}"),
        format!(
            "INSERT INTO steps SELECT {id}, ix, {partition}, 8 - 3 * ix, 1, '{step}' FROM {n}, \
                 generate_series(0, 1) AS ix"
        ),
        format!("INSERT INTO timers SELECT {id}, 1, {partition}, 9000000000000 + n FROM {n}"),
        format!("INSERT INTO claims SELECT {id}, 0, 1, gen_random_uuid() FROM {n}"),
    ] {
        sql(&mut shell, &text).await;
    }
}

/// What an owner reads when it takes a partition, and then its turns with a run of 20 steps.
async fn take_over(store: &Arc<PostgresStore>, run: RunId, out: usize) {
    let ports = Store::new(store.clone());
    let home = PartitionId(0);
    let mut owner = Owner::take(&ports, 0).await;
    assert_eq!(ok(store.open_dispatches(home).await).len(), out);
    assert_eq!(ok(store.ready(home, None, 1_000).await), []);
    assert_eq!(ok(store.claims(home).await).len(), out);
    assert_eq!(ok(store.timers(home, Timestamp(1_000), 1_000).await).0, []);
    owner.begin(run).await;
    for seq in 1..=20 {
        let step = u32::try_from(seq).expect("few");
        ok(store.submit(submission(seq, run)).await);
        let inbox = ok(store.inbox(home, 0, 100).await);
        ok(store.load(&[run]).await);
        let turn = Turn {
            runs: vec![run_row(run, seq)],
            steps: vec![(run, step_row(step, StepState::Dispatched, 1))],
            segments: vec![segment(run, seq, 1, b"payload")],
            inbox_done: inbox.iter().map(|row| row.seq).collect(),
            timers_cleared: vec![(run, None)],
            burns: vec![(run, StepIx(step), DispatchNo(2))],
            ..Turn::default()
        };
        owner.commit(turn).await;
        ok(store.claim(&[claim_request(run, step, 1, 1)]).await);
        ok(store.payloads(&[(run, plain_ref(seq, 0, 7))]).await);
    }
    assert_eq!(ok(store.open_dispatches(home).await).len(), out + 20);
    ok(ports.processes.heartbeat(process_id(1)).await);
    let page = ok(ports.history.runs(&RunFilter::default(), None, 10).await);
    assert!(!page.items.is_empty());
}

#[tokio::test]
async fn runs_that_wait_cost_a_takeover_nothing() {
    let schema = Schema::new();
    let options = Options { connections: 1, heartbeat_connections: 1, ..schema.options(PARTITIONS) };
    let store = PostgresStore::connect(options).await.expect("it connects");
    // Everything is planned while the tables are empty, and must be as good when they are not.
    take_over(&store, run_id(0, 1), 0).await;
    fill(&schema).await;
    let mut shell = schema.shell().await;
    // A backend counts for others only now and then.
    let filled = "SELECT coalesce(min(n_tup_ins), 0)::bigint FROM pg_stat_user_tables \
                  WHERE schemaname = current_schema AND relname IN ('runs', 'steps', 'timers', 'claims')";
    eventually("the filling is counted", async || number(&mut shell, filled).await >= WAITING).await;
    let tables = format!("schemaname = current_schema AND relname IN {LARGE}");
    let read = format!(
        "SELECT coalesce(sum(seq_tup_read + coalesce(idx_tup_fetch, 0)), 0)::bigint FROM pg_stat_user_tables \
         WHERE {tables}"
    );
    let entries = format!("SELECT coalesce(sum(idx_tup_read), 0)::bigint FROM pg_stat_user_indexes WHERE {tables}");
    let before = (number(&mut shell, &read).await, number(&mut shell, &entries).await);
    take_over(&store, run_id(0, 2), 20).await;
    drop(store);
    let turns = "SELECT coalesce(max(n_tup_upd), 0)::bigint FROM pg_stat_user_tables \
                 WHERE schemaname = current_schema AND relname = 'partitions'";
    eventually("the takeover is counted", async || number(&mut shell, turns).await >= 44).await;
    let rows = number(&mut shell, &read).await - before.0;
    let entries = number(&mut shell, &entries).await - before.1;
    assert!(rows > 100 && entries > 100, "the statistics are on: {rows}, {entries}");
    assert!(rows < 6_000, "{rows} rows of the large tables were visited");
    assert!(entries < 12_000, "{entries} entries of their indexes were read");
}
