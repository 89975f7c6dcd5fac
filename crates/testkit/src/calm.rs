//! What people and fate do to a world, and how it comes to rest.

use crate::chaos::Port;
use crate::plans::{self, Drawn};
use crate::scenario::Action;
use crate::shared::{ms, now};
use crate::world::{Accepted, Submitted, World};
use crate::{Invariant, Plant};
use aidt_domain::{
    Actor, Command, CommandBody, Digest, Labels, PartitionId, Project, ResolveAs, RetryScope, RunId, RunState, Start,
    StepIx, StepState, Timestamp, canonical_json,
};
use aidt_engine::Graph;
use aidt_queue::{Outgoing, Queue as _};
use aidt_store::{Inbox as _, InboxRow, Processes as _, RunLog as _, Submission};
use bytes::Bytes;
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::time::{Instant, sleep};

/// A run that has not ended this long after the last fault never will.
const PATIENCE_S: u64 = 600;
/// Commands that each world applies at least.
const COMMANDS: u64 = 50;

impl World {
    pub(crate) fn act(&mut self, action: &Action) {
        match action {
            Action::Submit(i) => {
                let plan = self.scenario.plans[*i].clone();
                self.submit(*i, plan);
            }
            Action::Cancel(i) => self.cancel(*i),
            Action::CancelAndWipe(i) => {
                self.cancel(*i);
                self.wipe();
            }
            Action::Retry(i) => self.retry(*i),
            Action::Resolve(i) => self.resolve(*i),
            Action::PoisonCommand | Action::PoisonStep | Action::PoisonInbox => self.poison(action),
            Action::Usurp => self.usurp(),
            Action::Wipe => self.wipe(),
            Action::Flush => {
                self.shared.fault("flush", String::new);
                self.shared.with(|s| s.flushes += 1);
                self.shared.locks.flush();
            }
            Action::Disconnect => {
                self.shared.fault("disconnect", String::new);
                self.shared.locks.disconnect();
            }
            Action::Down(port, lasts) => {
                let name = match port {
                    Port::Store => "store_down",
                    Port::Queue => "queue_down",
                    Port::Locks => "locks_down",
                };
                self.shared.fault(name, || format!("for {lasts} ms"));
                self.shared.with(|s| s.chaos.down_until.insert(*port, Instant::now() + ms(*lasts)));
            }
            Action::LoseWorkers(host) => {
                self.shared.fault("lose_workers", || format!("host {host}"));
                self.places[*host].host.lose_workers();
            }
            Action::Resize(host, slots) => {
                self.shared.fault("resize", || format!("host {host} has {slots} slots"));
                self.places[*host].host.resize(*slots);
            }
            action => self.harm(action),
        }
    }

    /// What happens to a process.
    fn harm(&mut self, action: &Action) {
        let (Action::Kill(i)
        | Action::KillAfter(i, _)
        | Action::KillAt(i, ..)
        | Action::Leave(i, _)
        | Action::Freeze(i, _)
        | Action::Stall(i, _)
        | Action::Drain(i)
        | Action::Close(i)) = action
        else {
            return;
        };
        let shared = Arc::clone(&self.shared);
        let place = &mut self.places[*i];
        let Some(running) = &place.running else { return };
        let process = Arc::clone(&running.process);
        let name = match action {
            Action::Kill(_) => "kill",
            Action::KillAfter(..) => "kill_after",
            Action::KillAt(..) => "doom",
            Action::Leave(..) => "leave",
            Action::Freeze(..) => "freeze",
            Action::Stall(..) => "stall",
            Action::Drain(_) => "drain",
            _ => "close",
        };
        shared.fault(name, || format!("{} {action:?}", process.id));
        match action {
            Action::KillAfter(_, polls) => process.fate.kill_after(*polls),
            Action::KillAt(_, side, operation) => process.doom(*side, operation),
            Action::Leave(_, lasts) => {
                place.up_at = Instant::now() + ms(*lasts);
                process.fate.kill();
            }
            Action::Freeze(_, lasts) => {
                place.thaws_at = Some(Instant::now() + ms(*lasts));
                process.fate.freeze(true);
            }
            Action::Stall(_, lasts) => {
                place.thaws_at = Some(Instant::now() + ms(*lasts));
                process.fate.stall(true);
            }
            Action::Drain(_) => running.shutdown.cancel(),
            Action::Close(_) => drop(now(shared.store.close(process.id))),
            _ => process.fate.kill(),
        }
    }

    fn wipe(&mut self) {
        self.shared.fault("wipe", String::new);
        self.shared.queue.wipe();
        self.shared.with(|s| s.truth.published.clear());
    }

    /// A partition is taken by a process that then does nothing with it.
    fn usurp(&mut self) {
        let partition = PartitionId(u16::try_from(self.rng.below(self.scenario.partitions.into())).expect("small"));
        let stranger = self.ids.process();
        self.shared.fault("usurp", || format!("partition {partition} by {stranger}"));
        drop(now(self.shared.store.take(partition, stranger, aidt_domain::FORMAT)));
    }

    fn poison(&mut self, action: &Action) {
        let partition = PartitionId(u16::try_from(self.rng.below(self.scenario.partitions.into())).expect("small"));
        let body = Bytes::from_static(b"\xff\xff\xff no message");
        let out = Outgoing { body: body.clone(), republished: false, traceparent: None };
        match action {
            Action::PoisonCommand => {
                self.shared.fault("poison_command", String::new);
                drop(now(self.shared.queue.publish_commands(vec![(partition, out)])));
            }
            Action::PoisonStep => {
                self.shared.fault("poison_step", String::new);
                drop(now(self.shared.queue.publish_steps(vec![(plans::busy_pool(), out)])));
            }
            _ => {
                self.shared.fault("poison_inbox", String::new);
                let run = self.ids.run();
                let row = InboxRow {
                    seq: 0,
                    id: self.ids.command(),
                    project: Project::default(),
                    run,
                    partition: PartitionId::of(run, self.scenario.partitions),
                    command: body,
                    at: Timestamp(0),
                };
                drop(now(self.shared.store.submit(Submission { row, documents: vec![], idempotency: None })));
            }
        }
    }

    fn submit(&mut self, i: usize, plan: Drawn) {
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

    fn cancel(&mut self, i: usize) {
        let Some(run) = self.runs.get(&i).map(|r| r.run) else { return };
        self.send(run, "cancel", CommandBody::Cancel { reason: "enough".to_owned() }, vec![]);
    }

    fn retry(&mut self, i: usize) {
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
    fn resolve(&mut self, i: usize) {
        let Some(run) = self.runs.get(&i).map(|r| r.run) else { return };
        let unknown = self.shared.with(|s| {
            let truth = s.truth.runs.get(&run)?;
            truth.steps.iter().find(|(_, step)| step.state == StepState::Unknown).map(|(ix, _)| *ix)
        });
        if let Some(ix) = unknown {
            self.resolve_step(run, ix);
        }
    }

    fn resolve_step(&mut self, run: RunId, ix: StepIx) {
        let resolve = match self.rng.below(5) {
            0 => ResolveAs::Retry,
            1 | 2 => ResolveAs::Failed("it did not happen".to_owned()),
            _ => ResolveAs::Done(serde_json::json!({"value": 3})),
        };
        let step = format!("s{ix}").parse().expect("a valid path");
        self.send(run, "resolve", CommandBody::Resolve { step, resolve }, vec![]);
    }

    /// As the gateway does it: accepted means in the inbox.
    fn send(&mut self, run: RunId, what: &'static str, body: CommandBody, documents: Vec<(Digest, Bytes)>) {
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

    /// No more faults: what was accepted ends.
    pub(crate) async fn calm_down(&mut self) {
        self.shared.line(|| "calm".to_owned());
        self.shared.with(|s| s.chaos.calm());
        for place in &mut self.places {
            if let Some(running) = &place.running {
                running.process.spare();
            }
            place.up_at = place.up_at.min(Instant::now());
            place.thaws_at = place.thaws_at.map(|_| Instant::now());
        }
        let began = Instant::now();
        let mut asked: BTreeMap<(RunId, Option<StepIx>), Instant> = BTreeMap::new();
        while began.elapsed() < ms(PATIENCE_S * 1_000) {
            self.supervise();
            self.help(&mut asked);
            let open = self.open_runs();
            if open == 0 && self.is_quiet() {
                if self.shared.with(|s| s.notes.total("command")) >= COMMANDS {
                    return;
                }
                let plan = plans::small(&mut self.rng, false);
                self.submit(self.runs.len() + 1_000, plan);
            }
            if began.elapsed() > ms(20_000) {
                self.check_published();
            }
            if self.is_over() {
                return;
            }
            sleep(ms(250)).await;
            if self.rng.chance(20) {
                self.check_explained();
            }
        }
        let open = self.shown_open();
        self.shared.breaks(Invariant::EveryAcceptedRunEnds, || {
            format!("{PATIENCE_S} s after the last fault there is no end of {open}")
        });
    }

    fn open_runs(&self) -> usize {
        let all = self.runs.values().map(|r| r.run);
        self.shared.with(|s| all.filter(|run| s.truth.runs.get(run).is_none_or(|r| !r.state.is_terminal())).count())
    }

    fn shown_open(&self) -> String {
        let all: Vec<RunId> = self.runs.values().map(|r| r.run).collect();
        self.shared.with(|s| {
            let mut shown = String::new();
            for run in all {
                match s.truth.runs.get(&run) {
                    None => shown.push_str(&format!("{run} (not started) ")),
                    Some(r) if !r.state.is_terminal() => {
                        let open = r.steps.iter().filter(|(_, step)| !step.state.is_terminal());
                        let open: Vec<_> = open.take(8).map(|(ix, step)| format!("s{ix} {}", step.state)).collect();
                        shown.push_str(&format!("{run} ({}: {}) ", r.state, open.join(", ")));
                    }
                    Some(_) => {}
                }
            }
            shown
        })
    }

    /// Nothing waits in an inbox.
    fn is_quiet(&self) -> bool {
        (0..self.scenario.partitions)
            .all(|p| now(self.shared.store.inbox(PartitionId(p), 0, 1)).is_ok_and(|rows| rows.is_empty()))
    }

    /// People do what only people can: they find out, and they end what nobody serves.
    fn help(&mut self, asked: &mut BTreeMap<(RunId, Option<StepIx>), Instant>) {
        let mut wanted: Vec<(RunId, Option<StepIx>)> = Vec::new();
        self.shared.with(|s| {
            for submitted in self.runs.values() {
                let Some(truth) = s.truth.runs.get(&submitted.run).filter(|r| r.state == RunState::Running) else {
                    continue;
                };
                let unknown = truth.steps.iter().filter(|(_, step)| step.state == StepState::Unknown);
                wanted.extend(unknown.map(|(ix, _)| (submitted.run, Some(*ix))));
                if submitted.idle {
                    wanted.push((submitted.run, None));
                }
            }
        });
        for (run, step) in wanted {
            if asked.get(&(run, step)).is_some_and(|at| at.elapsed() < ms(30_000)) {
                continue;
            }
            asked.insert((run, step), Instant::now());
            match step {
                Some(ix) => self.resolve_step(run, ix),
                None => self.send(run, "cancel", CommandBody::Cancel { reason: "nobody serves it".to_owned() }, vec![]),
            }
        }
    }
}
