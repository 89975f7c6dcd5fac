//! What operators count, taken from what was committed.

use crate::owner::Owner;
use crate::spans::verdict_word;
use crate::turn::{Turn, Work};
use aidt_domain::{Event, EventBody, PartitionId, Pool};
use aidt_telemetry::{Instruments, instruments};
use std::collections::BTreeMap;
use std::time::Duration;

/// Counts of a turn that are added at once.
#[derive(Default)]
struct Tally<'a> {
    steps: BTreeMap<(&'a str, &'static str), u64>,
    runs: BTreeMap<&'static str, u64>,
    decisions: BTreeMap<&'static str, u64>,
}

/// Where each dead letter comes from, before the transaction takes them.
pub(crate) fn letters(turn: &Turn) -> Vec<(PartitionId, String)> {
    let of = turn.letters.iter().flat_map(|(partition, letters)| letters.iter().map(|l| (*partition, l.inlet.clone())));
    of.collect()
}

impl Owner {
    /// A turn is durable.
    pub(crate) fn measure_turn(&self, turn: &Turn, letters: &[(PartitionId, String)]) {
        let Some(instruments) = instruments() else { return };
        let mut tally = Tally::default();
        let mut handed_out = 0;
        for (run, work) in &turn.works {
            let Some(cached) = self.cache.peek(*run) else { continue };
            handed_out += tally.add(instruments, &cached.run, work);
        }
        tally.record(instruments);
        let written = letters.iter().filter(|(partition, _)| self.held.contains_key(partition));
        written.for_each(|(_, inlet)| instruments.dead_letters(inlet, 1));
        instruments.turn(turn.spans.began.elapsed(), turn.spans.commands, handed_out);
    }

    /// What is now, once a tick.
    pub(crate) fn measure_state(&mut self) {
        let Some(instruments) = instruments() else { return };
        let now = self.now();
        instruments.partitions(self.held.len());
        let mut services: BTreeMap<&str, usize> = BTreeMap::new();
        for service in self.live.values().flat_map(|process| process.service.split(',')) {
            *services.entry(service.trim()).or_default() += 1;
        }
        services.into_iter().for_each(|(service, live)| instruments.processes(service, live));
        self.measured.extend(self.slots.keys().chain(self.in_window.keys()).cloned());
        self.measured.extend(self.backlog.pools());
        for pool in &self.measured {
            let used = self.in_window.get(pool).copied().unwrap_or(0);
            instruments.window(pool.as_str(), used, self.room(pool) + used);
            let (size, oldest) = self.backlog.depth(pool);
            let age = oldest.map_or(Duration::ZERO, |since| now.since(since));
            instruments.backlog(pool.as_str(), size, age);
        }
    }
}

impl<'a> Tally<'a> {
    /// Answers how many steps were handed out.
    fn add(&mut self, instruments: &Instruments, run: &'a aidt_engine::Run, work: &'a Work) -> usize {
        let mut handed_out = 0;
        for event in &work.events {
            match &event.body {
                EventBody::StepDispatched { pool, decision, .. } => {
                    handed_out += 1;
                    *self.steps.entry((pool.as_str(), "dispatched")).or_default() += 1;
                    *self.decisions.entry(verdict_word(decision.verdict)).or_default() += 1;
                }
                EventBody::StepDenied { decision } => {
                    *self.decisions.entry(verdict_word(decision.verdict)).or_default() += 1;
                    self.step(instruments, run, event, "denied");
                }
                EventBody::StepFinished { .. } => self.step(instruments, run, event, "done"),
                EventBody::StepFailed { .. } => self.step(instruments, run, event, "failed"),
                EventBody::StepRetrying { .. } => self.step(instruments, run, event, "retrying"),
                EventBody::StepRequeued { .. } => self.step(instruments, run, event, "requeued"),
                EventBody::StepSkipped { .. } => self.step(instruments, run, event, "skipped"),
                EventBody::StepUnknown { .. } => self.step(instruments, run, event, "unknown"),
                EventBody::StepCancelled { .. } => self.step(instruments, run, event, "cancelled"),
                EventBody::RunStarted { .. } | EventBody::RunReopened { .. } => self.run("running"),
                EventBody::RunDone => self.run("done"),
                EventBody::RunFailed { .. } => self.run("failed"),
                EventBody::RunCancelled { .. } => self.run("cancelled"),
                _ => {}
            }
        }
        handed_out
    }

    fn run(&mut self, state: &'static str) {
        *self.runs.entry(state).or_default() += 1;
    }

    fn step(&mut self, instruments: &Instruments, run: &'a aidt_engine::Run, event: &Event, state: &'static str) {
        let Some(ix) = event.step.as_ref().and_then(|path| run.graph.find(path)) else { return };
        let row = run.step(ix);
        let pool = row.pool.as_ref().map_or("none", Pool::as_str);
        *self.steps.entry((pool, state)).or_default() += 1;
        let Some(dispatched) = row.dispatched_at.filter(|_| event.dispatch.0 > 0) else { return };
        instruments.step_ended(pool, state, event.at.since(dispatched));
        if let EventBody::StepFinished { started_at: Some(started), .. } = &event.body {
            instruments.queue_wait(pool, started.since(dispatched));
        }
    }

    fn record(self, instruments: &Instruments) {
        self.steps.iter().for_each(|((pool, state), count)| instruments.steps(pool, state, *count));
        self.runs.iter().for_each(|(state, count)| instruments.runs(state, *count));
        self.decisions.iter().for_each(|(verdict, count)| instruments.decisions(verdict, *count));
    }
}
