//! Many seeds.

use crate::{Invariant, Options, Plant, Report, run};
use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// What many worlds came to.
#[derive(Clone, Debug, Default)]
pub struct Summary {
    /// How many were run.
    pub seeds: u64,
    /// Counts over all of them.
    pub counts: BTreeMap<(&'static str, &'static str), u64>,
    /// The fewest commands that one applied.
    pub fewest_commands: u64,
    /// The fewest faults that one suffered.
    pub fewest_faults: u64,
    /// The lowest seed that broke something, of those that were run.
    pub failed: Option<Report>,
}

impl Summary {
    fn add(&mut self, report: Report) {
        self.fewest_commands =
            if self.seeds == 0 { report.commands } else { self.fewest_commands.min(report.commands) };
        self.fewest_faults = if self.seeds == 0 { report.faults } else { self.fewest_faults.min(report.faults) };
        self.seeds += 1;
        for (name, n) in &report.counts {
            *self.counts.entry(*name).or_default() += n;
        }
        let lower = self.failed.as_ref().is_none_or(|f| report.seed < f.seed);
        if !report.broken.is_empty() && lower {
            self.failed = Some(report);
        }
    }

    fn join(mut self, other: Self) -> Self {
        if self.seeds == 0 {
            return other;
        }
        if other.seeds > 0 {
            self.fewest_commands = self.fewest_commands.min(other.fewest_commands);
            self.fewest_faults = self.fewest_faults.min(other.fewest_faults);
        }
        self.seeds += other.seeds;
        for (name, n) in other.counts {
            *self.counts.entry(name).or_default() += n;
        }
        let theirs = other.failed.filter(|o| self.failed.as_ref().is_none_or(|f| o.seed < f.seed));
        self.failed = theirs.or(self.failed);
        self
    }
}

/// Runs `count` seeds from `first` on, over as many threads as there are cores. Stops early when one fails.
#[must_use]
pub fn sweep(first: u64, count: u64) -> Summary {
    let (next, stop, total) = (AtomicU64::new(0), AtomicBool::new(false), Mutex::new(Summary::default()));
    each_core(|| {
        let mut mine = Summary::default();
        while !stop.load(Ordering::Relaxed) {
            let n = next.fetch_add(1, Ordering::Relaxed);
            if n >= count {
                break;
            }
            let report = run(Options { seed: first + n, ..Options::default() });
            stop.fetch_or(!report.broken.is_empty(), Ordering::Relaxed);
            mine.add(report);
        }
        let mut total = total.lock().expect("no thread panics while it adds");
        *total = std::mem::take(&mut *total).join(mine);
    });
    total.into_inner().expect("no thread panics while it adds")
}

/// A plant that was caught.
#[derive(Clone, Debug)]
pub struct Caught {
    /// By this invariant.
    pub invariant: Invariant,
    /// Seeds that were run until then, this one included.
    pub seeds: u64,
    /// The seed.
    pub seed: u64,
    /// What was seen.
    pub why: String,
}

/// Runs seeds with a plant until the invariant that it names breaks, at most `count` of them.
#[must_use]
pub fn catch(plant: Plant, first: u64, count: u64) -> Option<Caught> {
    let (next, found) = (AtomicU64::new(0), Mutex::new(None::<Caught>));
    each_core(|| {
        loop {
            let n = next.fetch_add(1, Ordering::Relaxed);
            let caught = found.lock().expect("no thread panics while it looks").is_some();
            if n >= count || caught {
                return;
            }
            let report = run(Options { seed: first + n, plant: Some(plant), tracing: false });
            let Some(why) = report.broken.get(&plant.breaks()) else { continue };
            let mut found = found.lock().expect("no thread panics while it looks");
            if found.as_ref().is_none_or(|f| report.seed < f.seed) {
                let (invariant, why) = (plant.breaks(), why.clone());
                *found = Some(Caught { invariant, seeds: n + 1, seed: report.seed, why });
            }
        }
    });
    found.into_inner().expect("no thread panics while it looks")
}

fn each_core(work: impl Fn() + Sync) {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..cores {
            scope.spawn(&work);
        }
    });
}
