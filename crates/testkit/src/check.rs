//! What is held against the invariants from time to time, and at the end.

use crate::Invariant;
use crate::shared::{ms, now};
use crate::truth::RunTruth;
use crate::world::{Submitted, World};
use aidt_domain::{Generation, PartitionId, Project, RunRow, Seq, StepRow, StepState};
use aidt_engine::{PoolView, Pools, Run, explain};
use aidt_store::{DeadLetters as _, History as _, Processes as _, RunLog as _};
use std::collections::BTreeSet;
use std::sync::Arc;

/// A step that was handed out is in its queue this long after the last fault, whoever died.
const TAKEOVER: std::time::Duration = ms(15_000);

impl World {
    fn stored(&self, submitted: &Submitted) -> Option<(RunRow, Vec<StepRow>)> {
        let row = now(self.shared.store.run(&Project::default(), submitted.run)).ok().flatten()?;
        let steps = now(self.shared.store.steps(submitted.run, None, u32::MAX)).ok()?;
        Some((row, steps))
    }

    /// A run that has not ended says why.
    pub(crate) fn check_explained(&mut self) {
        let pools: Pools = self
            .places
            .iter()
            .filter(|place| place.running.is_some())
            .map(|p| (p.host.pool.clone(), PoolView { slots: 1, tools: p.host.tools.iter().copied().collect() }))
            .collect();
        for submitted in self.runs.values() {
            let Some((row, steps)) = self.stored(submitted).filter(|(row, _)| !row.state.is_terminal()) else {
                continue;
            };
            self.shared.count("check", "explained");
            if explain(&submitted.graph, &row, &steps, &pools).is_empty() {
                self.shared.breaks(Invariant::EveryAcceptedRunEnds, || {
                    format!("{} is {} and nothing explains why", submitted.run, row.state)
                });
            }
        }
    }

    /// What was handed out is in a queue, or with somebody who lives.
    pub(crate) fn check_published(&self) {
        let live = now(self.shared.store.live(4_000)).map(|(rows, _)| rows).unwrap_or_default();
        let live: BTreeSet<_> = live.iter().map(|row| row.id).collect();
        for p in 0..self.scenario.partitions {
            let open = now(self.shared.store.open_dispatches(PartitionId(p))).unwrap_or_default();
            for step in open {
                let key = (step.run, step.step, step.dispatch);
                let lost = self.shared.with(|s| {
                    let truth = &s.truth;
                    let out = truth.runs.get(&step.run).and_then(|r| r.steps.get(&step.step));
                    let old = out.is_some_and(|o| self.shared.now().since(o.dispatched_at) > TAKEOVER);
                    old && !truth.published.contains(&key) && !truth.claims.contains_key(&key)
                });
                let holder = self.shared.with(|s| s.truth.claims.get(&key).copied().flatten());
                if let Some(dead) = holder.filter(|holder| !live.contains(holder)) {
                    self.shared.breaks(Invariant::Time, || format!("{key:?} is left with {dead}, which is dead"));
                }
                if lost {
                    self.shared.breaks(Invariant::Time, || format!("{key:?} was handed out and is in no queue"));
                }
            }
        }
    }

    pub(crate) fn check_all(&self) {
        for submitted in self.runs.values() {
            self.check_run(submitted);
        }
        self.check_answered();
    }

    fn check_run(&self, submitted: &Submitted) {
        let run = submitted.run;
        let Some((row, steps)) = self.stored(submitted) else {
            self.shared.breaks(Invariant::StoreIsTruth, || format!("{run} was accepted and is not there"));
            return;
        };
        let truth = self.shared.with(|s| s.truth.runs.get(&run).cloned());
        let Some(truth) = truth else { return };
        self.check_history(&row);
        let wrong = disagreement(&row, &steps, &truth);
        if let Some(what) = wrong {
            self.shared.breaks(Invariant::RowsAgreeWithHistory, || format!("{run}: {what}"));
        }
        self.check_values(&row, &steps);
        match Run::load(Arc::clone(&submitted.graph), row, steps) {
            Ok(loaded) if loaded.is_consistent() => {}
            Ok(_) => self.shared.breaks(Invariant::RowsAgreeWithHistory, || format!("{run}: derived counters differ")),
            Err(error) => self.shared.breaks(Invariant::RowsAgreeWithHistory, || error.to_string()),
        }
    }

    /// As a client reads it.
    fn check_history(&self, row: &RunRow) {
        let segments = now(self.shared.store.segments(row.id, Seq(0), u32::MAX)).unwrap_or_default();
        let mut next = 1;
        for segment in segments {
            for event in aidt_proto::decode_segment(&segment.events, &segment.payloads).unwrap_or_default() {
                if event.seq.0 != next {
                    self.shared.breaks(Invariant::HistoryGapless, || {
                        format!("{}: event {} is read where {next} is expected", row.id, event.seq)
                    });
                }
                next = event.seq.0 + 1;
            }
        }
        if row.last_seq.0 != next - 1 {
            self.shared.breaks(Invariant::HistoryGapless, || {
                format!("{}: its row says {} events, history has {}", row.id, row.last_seq, next - 1)
            });
        }
    }

    /// Every value that a row names can be read.
    fn check_values(&self, row: &RunRow, steps: &[StepRow]) {
        let values = steps.iter().filter_map(|s| s.output.clone()).chain(row.outputs.clone()).chain(row.inputs.clone());
        for at in values {
            let read = now(self.shared.store.payload(&(row.id, at.clone())));
            let fits = read.is_ok_and(|bytes| aidt_domain::Digest::of(&bytes) == at.digest);
            if !fits {
                self.shared.breaks(Invariant::RowsAgreeWithHistory, || format!("{}: {at:?} cannot be read", row.id));
            }
        }
        let without = steps.iter().find(|s| s.state == StepState::Done && s.output.is_none());
        if let Some(step) = without {
            self.shared.breaks(Invariant::RowsAgreeWithHistory, || {
                format!("{}: step {} is done and has no output", row.id, step.path)
            });
        }
    }

    /// Each accepted command left an event, or a dead letter of its run.
    fn check_answered(&self) {
        let letters = now(self.shared.store.dead_letters(0, u32::MAX)).unwrap_or_default();
        let buried: BTreeSet<_> = letters.iter().filter_map(|l| l.run).collect();
        for command in &self.accepted {
            let answered = self.shared.with(|s| s.truth.answered.contains(&command.id));
            if !answered && !buried.contains(&command.run) {
                self.shared.breaks(Invariant::StoreIsTruth, || {
                    format!("{} {} ({}) was accepted and never answered", command.what, command.run, command.id)
                });
            }
        }
    }
}

fn disagreement(row: &RunRow, steps: &[StepRow], truth: &RunTruth) -> Option<String> {
    if row.state != truth.state || row.last_seq != truth.last {
        return Some(format!("the row says {}, history {}", row.state, truth.state));
    }
    for step in steps {
        let (state, dispatch, generation) = match truth.steps.get(&step.ix) {
            Some(told) => (told.state, told.dispatch.0, told.generation),
            None => (StepState::Pending, 0, Generation(1)),
        };
        if (step.state, step.dispatch.0, step.generation) != (state, dispatch, generation) {
            return Some(format!(
                "step {}: the row says {} dispatch {} generation {}, history {state} {dispatch} {generation}",
                step.path, step.state, step.dispatch, step.generation
            ));
        }
        if step.dispatch.0 > 0 && step.dispatch_event == Seq(0) {
            return Some(format!("step {} was handed out by no event", step.path));
        }
    }
    let open = steps.iter().find(|s| !s.state.is_terminal() && s.state != StepState::Unknown);
    open.filter(|_| row.state.is_terminal())
        .map(|s| format!("the run is {}, step {} is {}", row.state, s.path, s.state))
}
