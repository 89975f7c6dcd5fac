//! One step consumer's view of the hub's workers.

use super::frames::CallId;
use super::link::Link;
use super::serve::Inner;
use crate::workers::{CallNo, NoPlace, Report, Roster, Settled, ToolCall, Workers};
use aidt_domain::Pool;
use aidt_grants::GrantClaims;
use aidt_proto::v1::{self, hub_frame::Frame};
use async_trait::async_trait;
use bytes::Bytes;
use std::sync::Arc;
use tokio::sync::mpsc;
use tokio::time::Instant;

/// A view of the workers, with a part of their slots. Dropped, its calls' results become orphans.
#[derive(Debug)]
pub(super) struct Line {
    hub: Arc<Inner>,
    number: u64,
}

impl Line {
    pub(super) fn new(hub: Arc<Inner>, number: u64) -> Self {
        Self { hub, number }
    }

    /// The call as its worker gets it, with its grant.
    fn frame(&self, call: &ToolCall, id: &CallId, link: &Link) -> Option<Frame> {
        let step = &call.step;
        let wire = id.write();
        let entry_digest = step.entry.to_string();
        let not_after_ms = link.not_after(Instant::now());
        let mac = link.mint(&GrantClaims {
            run: &wire.run,
            step: &wire.step,
            dispatch: wire.dispatch,
            index: wire.index,
            tool: &step.tool,
            entry_digest: &entry_digest,
            arguments: &step.arguments,
            policy_revision: &step.decision.revision,
            obligations: &call.obligations,
            min_sandbox: &step.min_sandbox,
            not_after_ms,
        })?;
        let grant = v1::Grant {
            mac: Bytes::copy_from_slice(&mac),
            entry_digest,
            policy_revision: step.decision.revision.clone(),
            obligations: call.obligations.to_string(),
            min_sandbox: step.min_sandbox.clone(),
            not_after_ms,
        };
        Some(Frame::Call(v1::Call {
            id: Some(wire),
            tool: step.tool.clone(),
            arguments: step.arguments.clone(),
            grant: Some(grant),
            idempotency_key: step.idempotency_key.clone(),
            run_timeout_ms: step.run_ms,
            heartbeat_ms: step.heartbeat_ms.unwrap_or(0),
            route: self.hub.sealer.seal(step),
            workspace: step.workspace.as_ref().map(|at| v1::Workspace { commit: at.commit.clone() }),
            traceparent: call.traceparent.clone().unwrap_or_default(),
            project: step.project.to_string(),
            attempt: step.attempt.0,
        }))
    }
}

#[async_trait]
impl Workers for Line {
    fn attach(&self, reports: mpsc::Sender<Report>) {
        self.hub.state().attach(self.number, reports);
    }

    fn roster(&self) -> Roster {
        self.hub.state().roster(self.number)
    }

    fn free(&self, pool: &Pool) -> u32 {
        self.hub.state().shares.free(self.number, pool)
    }

    async fn changed(&self, seen: u64) {
        let mut version = self.hub.state().version.subscribe();
        // The sender lives as long as the hub, which this line holds.
        let _ = version.wait_for(|version| *version != seen).await;
    }

    fn start(&self, call: ToolCall) -> Result<(), NoPlace> {
        let id = CallId::of(&call.step, call.index);
        let link = {
            let mut state = self.hub.state();
            if state.calls.contains_key(&id) {
                return Err(NoPlace::Full);
            }
            let worker = state.choose(&call.step.pool, &call.step.entry)?;
            let link = state.workers[&worker].link.clone().ok_or(NoPlace::Full)?;
            state.placed(id.clone(), worker, self.number, call.no);
            link
        };
        // Minting and encoding need no lock: the slot is taken.
        let sent = self.frame(&call, &id, &link).is_some_and(|frame| link.send(frame));
        if !sent {
            self.hub.state().unplaced(&id);
            return Err(NoPlace::Full);
        }
        Ok(())
    }

    fn cancel(&self, call: CallNo, reason: &str) {
        let state = self.hub.state();
        let Some(id) = state.id_of(self.number, call) else { return };
        if let Some(link) = state.link_of(id) {
            link.send(Frame::Cancel(v1::Cancel { id: Some(id.write()), reason: reason.to_owned() }));
        }
    }

    fn leave(&self, call: CallNo) {
        self.hub.state().leave(self.number, call);
    }

    fn settle(&self, results: &[Settled]) {
        self.hub.state().settle(self.number, results);
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        self.hub.state().drop_line(self.number);
    }
}
