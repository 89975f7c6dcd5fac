//! What people ask of a world: as the gateway does it, accepted means in the inbox.

use crate::Plant;
use crate::plans::Drawn;
use crate::shared::now;
use crate::world::{Accepted, Submitted, World};
use aidt_domain::{
    Actor, Command, CommandBody, Digest, Labels, PartitionId, Project, ResolveAs, RetryScope, RunId, Start, StepIx,
    StepState, Timestamp, canonical_json,
};
use aidt_engine::Graph;
use aidt_queue::Outgoing;
use aidt_store::{Inbox as _, InboxRow, Submission};
use bytes::Bytes;
use std::collections::BTreeMap;
use std::sync::Arc;

impl World {
    pub(crate) fn submit(&mut self, i: usize, plan: Drawn) {
        let run = self.ids.run();
        let bytes = canonical_json(&plan.snapshot);
        let digest = Digest::of(&bytes);
        let start = Start {
            snapshot: digest,
            inputs: serde_json::Map::new(),
            input_labels: Labels::user(),
            labels: BTreeMap::new(),
            accepted_at: self.shared.now(),
        };
        let effects = plan.effects();
        self.shared.with(|s| s.truth.submitted.insert(run, effects));
        let graph = Arc::new(Graph::new(digest, plan.snapshot));
        self.runs.insert(i, Submitted { run, graph, idle: plan.idle });
        self.send(run, "start", CommandBody::Start(Box::new(start)), vec![(digest, bytes.into())]);
    }

    pub(crate) fn cancel(&mut self, i: usize) {
        let Some(run) = self.runs.get(&i).map(|r| r.run) else { return };
        self.send(run, "cancel", CommandBody::Cancel { reason: "enough".to_owned() }, vec![]);
    }

    pub(crate) fn retry(&mut self, i: usize) {
        let Some((run, steps)) = self.runs.get(&i).map(|r| (r.run, r.graph.len())) else { return };
        let scope = if self.rng.chance(500) {
            RetryScope::Failed
        } else {
            let step = self.rng.below(steps as u64);
            RetryScope::From(format!("s{step}").parse().expect("a valid path"))
        };
        self.send(run, "retry", CommandBody::Retry(scope), vec![]);
    }

    /// A person finds out about a step of this run, if there is something to find out.
    pub(crate) fn resolve(&mut self, i: usize) {
        let Some(run) = self.runs.get(&i).map(|r| r.run) else { return };
        let unknown = self.shared.with(|s| {
            let truth = s.truth.runs.get(&run)?;
            truth.steps.iter().find(|(_, step)| step.state == StepState::Unknown).map(|(ix, _)| *ix)
        });
        if let Some(ix) = unknown {
            self.resolve_step(run, ix);
        }
    }

    pub(crate) fn resolve_step(&mut self, run: RunId, ix: StepIx) {
        let resolve = match self.rng.below(5) {
            0 => ResolveAs::Retry,
            1 | 2 => ResolveAs::Failed("it did not happen".to_owned()),
            _ => ResolveAs::Done(serde_json::json!({"value": 3})),
        };
        let step = format!("s{ix}").parse().expect("a valid path");
        self.send(run, "resolve", CommandBody::Resolve { step, resolve }, vec![]);
    }

    /// As the gateway does it: accepted means in the inbox.
    pub(crate) fn send(&mut self, run: RunId, what: &'static str, body: CommandBody, documents: Vec<(Digest, Bytes)>) {
        let id = self.ids.command();
        let partition = PartitionId::of(run, self.scenario.partitions);
        let command = Command {
            id: Some(id),
            project: Project::default(),
            run,
            actor: Actor("somebody".to_owned()),
            traceparent: None,
            body,
        };
        self.shared.line(|| format!("{what} {run} ({id})"));
        let command = aidt_proto::encode_command(&command).expect("such a command travels");
        self.accepted.push(Accepted { id, run, what });
        if what == "cancel" && self.shared.is_planted(Plant::WipedCommands) {
            let out = Outgoing { body: command, republished: false, traceparent: None };
            drop(now(self.shared.queue.publish_commands(vec![(partition, out)])));
            return;
        }
        let project = Project::default();
        let row = InboxRow { seq: 0, id, project, run, partition, command, at: Timestamp(0) };
        let submission = Submission { row, documents, idempotency: None };
        if self.rng.chance(50) {
            // The answer was lost: the client asks again.
            drop(now(self.shared.store.submit(submission.clone())));
        }
        drop(now(self.shared.store.submit(submission)));
        if !self.rng.chance(100) {
            now(self.shared.queue.nudge(&[partition]));
        }
    }
}
