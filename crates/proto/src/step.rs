//! Steps on their way to a step consumer.

use crate::field::{Fields, effect_number, labels};
use crate::wire::{Writer, check_format};
use crate::{DecodeError, v1};
use aidt_domain::{Attempt, DispatchNo, Generation, OutSeq, PartitionId, StepIx, StepMessage, Timestamp, WorkspaceAt};
use bytes::Bytes;
use prost::Message;

const FIELDS: Fields = Fields("a step envelope");

/// A step as a message body.
#[must_use]
pub fn encode_step(step: &StepMessage) -> Bytes {
    let mut w = Writer::envelope(384 + step.arguments.len());
    w.bytes(2, step.project.as_str());
    w.bytes(3, step.run.0.as_bytes());
    w.uint(4, u64::from(step.partition.0));
    w.uint(5, u64::from(step.step.0));
    w.bytes(6, step.path.as_str());
    w.uint(7, u64::from(step.dispatch.0));
    w.uint(8, u64::from(step.attempt.0));
    w.uint(9, u64::from(step.generation.0));
    w.uint(10, step.out_seq.0);
    w.bytes(11, step.pool.as_str());
    w.bytes(12, &step.tool);
    w.bytes(13, step.entry.0);
    w.uint(14, effect_number(step.effect));
    w.bytes(15, &step.min_sandbox);
    w.bytes(16, &step.arguments);
    w.labels(17, &step.labels);
    w.json(18, &step.decision);
    w.bytes(19, &step.idempotency_key);
    w.optional(20, step.workspace.as_ref().map(|at| &at.commit));
    if let Some(deadline) = step.queue_deadline {
        w.int_always(21, deadline.0);
    }
    w.uint(22, step.run_ms);
    if let Some(ms) = step.heartbeat_ms {
        w.uint_always(23, ms);
    }
    w.int(24, step.dispatched_at.0);
    w.uint(25, u64::from(step.republished));
    w.bytes(26, &step.subject);
    w.optional(27, step.traceparent.as_ref());
    w.finish()
}

/// Reads a step. Its arguments share the memory of `body`.
pub fn decode_step(body: &Bytes) -> Result<StepMessage, DecodeError> {
    check_format(FIELDS.0, body)?;
    let step = v1::StepEnvelope::decode(body.clone()).map_err(|e| DecodeError::malformed_by(FIELDS.0, e))?;
    Ok(StepMessage {
        project: FIELDS.text("project", &step.project)?,
        run: FIELDS.run(&step.run)?,
        partition: PartitionId(FIELDS.number("partition", step.partition)?),
        step: StepIx(step.step),
        path: FIELDS.text("path", &step.path)?,
        dispatch: DispatchNo(step.dispatch),
        attempt: Attempt(step.attempt),
        generation: Generation(step.generation),
        out_seq: OutSeq(step.out_seq),
        pool: FIELDS.text("pool", &step.pool)?,
        tool: step.tool,
        entry: FIELDS.digest("entry", &step.entry)?,
        effect: FIELDS.effect(step.effect)?,
        min_sandbox: step.min_sandbox,
        arguments: step.arguments,
        labels: labels(&step.labels),
        decision: FIELDS.json("decision", &step.decision)?,
        idempotency_key: step.idempotency_key,
        workspace: step.commit.map(|commit| WorkspaceAt { commit }),
        queue_deadline: step.queue_deadline.map(Timestamp),
        run_ms: step.run_ms,
        heartbeat_ms: step.heartbeat_ms,
        dispatched_at: Timestamp(step.dispatched_at),
        republished: step.republished,
        subject: step.subject,
        traceparent: step.traceparent,
    })
}
