//! How a world comes to rest: no more faults, and what was accepted ends.

use crate::Invariant;
use crate::plans;
use crate::shared::{ms, now};
use crate::world::World;
use aidt_domain::{CommandBody, PartitionId, RunId, RunState, StepIx, StepState};
use aidt_store::Inbox as _;
use std::collections::BTreeMap;
use tokio::time::{Instant, sleep};

/// A run that has not ended this long after the last fault never will.
const PATIENCE_S: u64 = 600;
/// Commands that each world applies at least.
const COMMANDS: u64 = 50;

impl World {
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
