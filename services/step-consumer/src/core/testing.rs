//! Steps for tests.

use aidt_domain::{
    Attempt, Decision, Digest, DispatchNo, Effect, Generation, Labels, OutSeq, PartitionId, Pool, Project, RunId,
    StepIx, StepMessage, StepPath, Timestamp, Verdict,
};
use bytes::Bytes;
use uuid::Uuid;

/// A step that reads, handed out once.
pub(crate) fn step(ix: u32) -> StepMessage {
    StepMessage {
        project: Project::default(),
        run: RunId(Uuid::from_u128(1)),
        partition: PartitionId(0),
        step: StepIx(ix),
        path: StepPath::new(&format!("s{ix}")).expect("is one"),
        dispatch: DispatchNo(1),
        attempt: Attempt(1),
        generation: Generation(1),
        out_seq: OutSeq(1),
        pool: Pool::new("default").expect("is one"),
        tool: "debug.echo".to_owned(),
        entry: Digest::of(b"entry"),
        effect: Effect::Read,
        min_sandbox: "none".to_owned(),
        arguments: Bytes::from_static(b"{}"),
        labels: Labels::NONE,
        decision: Decision {
            id: "d".to_owned(),
            capability: "debug".to_owned(),
            verdict: Verdict::Allow,
            reasons: Vec::new(),
            warnings: Vec::new(),
            obligations: serde_json::Map::new(),
            revision: "r1".to_owned(),
        },
        idempotency_key: "k".to_owned(),
        workspace: None,
        queue_deadline: None,
        run_ms: 60_000,
        heartbeat_ms: None,
        dispatched_at: Timestamp(0),
        republished: false,
        subject: "me".to_owned(),
        traceparent: None,
    }
}
