//! What follows from a commit: steps to their pools, and word to whoever waits.

use crate::owner::{Chain, Owner};
use crate::turn::{Turn, TurnFailed};
use aidt_domain::{Event, EventBody, PartitionId, RunId, StepIx, StepMessage, WorkspaceAt, idempotency_key};
use aidt_engine::Run;
use aidt_queue::Outgoing;
use aidt_store::{Batch, StoreError};
use aidt_telemetry::timed;
use bytes::Bytes;

/// The message of a dispatch: a pure function of what is stored, so it can be built again.
pub(crate) fn step_message(run: &Run, ix: StepIx, event: &Event, republished: bool) -> Option<StepMessage> {
    let EventBody::StepDispatched { tool, pool, decision, commit, queue_deadline } = &event.body else {
        return None;
    };
    let payload = event.payload.as_ref()?;
    let (row, spec) = (run.step(ix), run.graph.spec(ix));
    let entry = spec.kind.tool()?;
    Some(StepMessage {
        project: run.row.project.clone(),
        run: run.row.id,
        partition: run.row.partition,
        step: ix,
        path: row.path.clone(),
        dispatch: event.dispatch,
        attempt: event.attempt,
        generation: event.generation,
        out_seq: row.out_seq,
        pool: pool.clone(),
        tool: tool.clone(),
        entry: run.graph.entry_digest(ix)?,
        effect: entry.effect,
        min_sandbox: entry.min_sandbox.clone(),
        arguments: payload.bytes.clone(),
        labels: payload.labels.clone(),
        decision: decision.clone(),
        idempotency_key: idempotency_key(run.row.id, &row.path, event.generation, 0, row.clean_attempt),
        workspace: commit.clone().map(|commit| WorkspaceAt { commit }),
        queue_deadline: *queue_deadline,
        run_ms: spec.timeouts.run_ms,
        heartbeat_ms: spec.timeouts.heartbeat_ms,
        dispatched_at: event.at,
        republished,
        subject: run.row.submitted_by.clone(),
        traceparent: run.row.traceparent.clone(),
    })
}

pub(crate) fn outgoing(message: &StepMessage) -> Outgoing {
    Outgoing {
        body: aidt_proto::encode_step(message),
        republished: message.republished,
        traceparent: message.traceparent.clone(),
    }
}

impl Owner {
    /// Publishes what the store says is owed; what the queue does not take now stays owed.
    pub(crate) async fn publish_owed(&mut self) {
        let mut steps = Vec::new();
        for held in self.held.values_mut() {
            for (_, pool, outgoing) in &held.unpublished {
                steps.push((pool.clone(), outgoing.clone()));
            }
        }
        if steps.is_empty() {
            return;
        }
        match self.ports.queue.publish_steps(steps).await {
            Ok(()) => {
                for held in self.held.values_mut() {
                    held.unpublished.clear();
                    held.published = held.out_seq;
                }
            }
            Err(error) => {
                // Any part of them may be there: they go again, and must be validated.
                for held in self.held.values_mut() {
                    held.unpublished.iter_mut().for_each(|(_, _, o)| o.republished = true);
                }
                self.trouble("publishing steps", &error);
            }
        }
    }

    /// Tells subscribers how far the history of these runs goes, after it is durable.
    pub(crate) async fn show_runs(&self, turn: &Turn) {
        for (run, work) in &turn.works {
            let Some(last) = work.events.last() else { continue };
            let Some(state) = self.cache.peek(*run).map(|c| c.run.row.state) else { continue };
            let message = Bytes::from(format!("{} {state}", last.seq));
            if let Err(error) = self.ports.locks.publish(&format!("run:{run}"), message).await {
                tracing::debug!(%run, error = %Chain(&error), "subscribers poll instead");
            }
        }
    }

    /// Tells the processes that run these to stop: at once, and in the answer to their heartbeat.
    pub(crate) async fn stop_calls(&mut self, turn: &Turn) -> Result<(), StoreError> {
        let mut all = Vec::new();
        for (&run, work) in &turn.works {
            for &(step, dispatch) in &work.stops {
                all.push((run, step, dispatch));
                let out = self.held.values().find_map(|h| h.out.get(&(run, step)));
                let Some(process) = out.and_then(|o| o.process) else { continue };
                let frame = serde_json::json!({"run": run, "step": step.0, "dispatch": dispatch.0});
                let frame = Bytes::from(frame.to_string());
                if let Err(error) = self.ports.locks.publish(&format!("cancel:{process}"), frame).await {
                    tracing::debug!(%run, error = %Chain(&error), "the heartbeat's answer tells it");
                }
            }
        }
        if all.is_empty() { Ok(()) } else { self.ports.store.run_log.ask_to_stop(&all).await }
    }

    /// Builds messages again, from what is stored, and owes them.
    pub(crate) async fn owe(&mut self, partition: PartitionId, steps: &[(RunId, StepIx)]) -> Result<(), StoreError> {
        for &(run, ix) in steps {
            let Some(cached) = self.cache.peek(run) else { continue };
            let seq = cached.run.step(ix).dispatch_event;
            let segment = timed("segment", self.ports.store.run_log.segment(run, seq)).await?;
            let events = aidt_proto::decode_segment(&segment.events, &segment.payloads)
                .map_err(|e| StoreError::new("segment", aidt_store::Kind::Corrupt, e))?;
            let Some(cached) = self.cache.peek(run) else { continue };
            let message = events.iter().find(|e| e.seq == seq).and_then(|e| step_message(&cached.run, ix, e, true));
            if let (Some(mut message), Some(held)) = (message, self.held.get_mut(&partition)) {
                crate::spans::publish_again(&mut message, cached.trace.as_deref(), self.ports.queue.system());
                held.unpublished.push_back((message.out_seq, message.pool.clone(), outgoing(&message)));
            }
        }
        Ok(())
    }

    /// Writes `published`, when no turn has for a while.
    pub(crate) async fn flush_published(&mut self) {
        let owed = self.held.values().filter(|h| h.published != h.published_stored);
        let owed: Vec<PartitionId> = owed.map(|h| h.id).collect();
        if owed.is_empty() {
            return;
        }
        let batches: Vec<Batch> = owed.iter().filter_map(|p| self.batch(*p)).collect();
        let kept = match self.commit(batches).await {
            Ok(commit) => commit.held,
            Err(TurnFailed { what, source }) => {
                self.trouble(what, &source);
                Vec::new()
            }
        };
        for partition in owed.into_iter().filter(|p| !kept.contains(p)) {
            self.forget(partition);
        }
    }
}
