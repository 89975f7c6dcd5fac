//! Rows and messages.

use aidt_domain::{
    Attempt, BatchId, Budget, Decision, Digest, DispatchNo, Effect, Epoch, Generation, Labels, OutSeq, PartitionId,
    Project, RunRow, RunState, Seq, StepIx, StepMessage, StepPath, StepRow, StepState, Timestamp, Verdict,
};
use aidt_store::{Batch, NewRun, Store, Turn};
use bytes::Bytes;
use std::collections::BTreeMap;

use super::{allow_all, pool, process, run_id};

/// The entry that the test's workers serve.
pub(crate) fn entry() -> Digest {
    Digest::of(b"entry")
}

/// A step that reads, in its first dispatch.
pub(crate) fn step(ix: u32) -> StepMessage {
    StepMessage {
        project: Project::default(),
        run: run_id(1),
        partition: PartitionId(0),
        step: StepIx(ix),
        path: StepPath::new(&format!("s{ix}")).unwrap(),
        dispatch: DispatchNo(1),
        attempt: Attempt(1),
        generation: Generation(1),
        out_seq: OutSeq(u64::from(ix)),
        pool: pool(),
        tool: "debug.echo".to_owned(),
        entry: entry(),
        effect: Effect::Read,
        min_sandbox: "none".to_owned(),
        arguments: Bytes::from_static(b"{\"value\":1}"),
        labels: Labels::user(),
        decision: Decision {
            id: format!("decision-{ix}"),
            capability: "debug".to_owned(),
            verdict: Verdict::Allow,
            reasons: Vec::new(),
            warnings: Vec::new(),
            obligations: serde_json::Map::new(),
            revision: allow_all().revision().to_owned(),
        },
        idempotency_key: format!("key-{ix}"),
        workspace: None,
        queue_deadline: None,
        run_ms: 60_000,
        heartbeat_ms: None,
        dispatched_at: Timestamp(0),
        republished: false,
        subject: "somebody".to_owned(),
        traceparent: None,
    }
}

pub(crate) fn once(ix: u32) -> StepMessage {
    StepMessage { effect: Effect::Once, ..step(ix) }
}

/// The next dispatch of the same attempt.
pub(crate) fn again(step: &StepMessage) -> StepMessage {
    StepMessage { dispatch: step.dispatch.next(), ..step.clone() }
}

/// Writes what an owner writes when it dispatches the step.
pub(crate) async fn put(store: &Store, step: &StepMessage, now: Timestamp) {
    let row = row(step, StepState::Dispatched, now);
    commit(store, step, Turn { steps: vec![(step.run, row)], ..Turn::default() }, now).await;
}

/// Writes what an owner writes when the step has ended.
pub(crate) async fn end(store: &Store, step: &StepMessage, now: Timestamp) {
    let row = row(step, StepState::Done, now);
    commit(store, step, Turn { steps: vec![(step.run, row)], ..Turn::default() }, now).await;
}

/// Burns the dispatch, as an owner does that cancels it or hands it out again.
pub(crate) async fn burn(store: &Store, step: &StepMessage, now: Timestamp) {
    let burns = vec![(step.run, step.step, step.dispatch)];
    commit(store, step, Turn { burns, ..Turn::default() }, now).await;
}

async fn commit(store: &Store, step: &StepMessage, mut turn: Turn, now: Timestamp) {
    let partition = PartitionId(0);
    if store.history.run(&step.project, step.run).await.unwrap().is_none() {
        let snapshot = Bytes::from_static(b"{\"permissions\":[\"debug\"]}");
        let digest = Digest::of(&snapshot);
        store.catalog.put_documents(&[(digest, snapshot)]).await.unwrap();
        turn.new_runs.push(NewRun { row: run(step, digest, now) });
    }
    let row = store.run_log.take(partition, process(1000), 1).await.unwrap();
    let batch = Batch {
        partition,
        epoch: Epoch(row.epoch.0),
        batch_id: BatchId(row.batch_id.0 + 1),
        published: row.published,
        out_seq: row.out_seq,
        cursor: 0,
        incarnation: String::new(),
        turn,
    };
    assert_eq!(store.run_log.commit(vec![batch]).await.unwrap().held, [partition]);
}

fn run(step: &StepMessage, snapshot: Digest, now: Timestamp) -> RunRow {
    RunRow {
        project: step.project.clone(),
        id: step.run,
        partition: step.partition,
        snapshot,
        plan: "plan".to_owned(),
        state: RunState::Running,
        last_seq: Seq(0),
        inputs: None,
        outputs: None,
        error: None,
        head: None,
        priority: 0,
        labels: BTreeMap::new(),
        submitted_by: step.subject.clone(),
        traceparent: None,
        budget: Budget::default(),
        created_at: now,
        updated_at: now,
        ended_at: None,
    }
}

fn row(step: &StepMessage, state: StepState, now: Timestamp) -> StepRow {
    StepRow {
        ix: step.step,
        path: step.path.clone(),
        state,
        dispatch: step.dispatch,
        attempt: step.attempt,
        generation: step.generation,
        pool: Some(step.pool.clone()),
        effect: step.effect,
        priority: 0,
        out_seq: step.out_seq,
        dispatch_event: Seq(1),
        clean_attempt: None,
        ready_at: Some(now),
        dispatched_at: Some(now),
        started_at: None,
        ended_at: None,
        wake_at: None,
        error: None,
        output: None,
    }
}
