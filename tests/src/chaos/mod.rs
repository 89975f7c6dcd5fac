//! Faults under load, on real processes and servers: one after the other, each followed by a look at every run
//! that was accepted meanwhile.
//!
//! To read: `fault` is the table of faults, `stand` the processes and what can be done to them (`process`, `stack`,
//! `proxy`, `disk`), `load` submits runs all the time, `recovery` measures what a fault cost, and here is the order
//! of events. What must hold afterwards is in [`crate::verify`].

mod disk;
mod fault;
mod load;
mod process;
mod proxy;
mod recovery;
mod stack;
mod stand;

use crate::{Dice, verify};
use disk::Disk;
use fault::{Fault, Needs, Since};
use load::{Accepted, Load};
use process::Build;
use recovery::Wait;
use serde_json::Value;
pub use stack::Stack;
use stand::Stand;
use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

/// A machine that runs all this besides is busy: what is measured may be late by so much.
const BUSY: Duration = Duration::from_secs(3);
/// And in CI, which looks for what is lost or done twice: how busy its machine is nobody knows.
const BUSY_IN_CI: Duration = Duration::from_secs(20);
/// Load before the first fault, and after each.
const CALM: Duration = Duration::from_secs(2);
/// Between two looks at what has ended by itself.
const TENDED: Duration = Duration::from_millis(50);
/// Every run has ended so long after a fault.
const ENDS_WITHIN: Duration = Duration::from_secs(60);

/// What to run.
#[derive(Clone, Debug)]
pub struct Series {
    /// Draws victims, plans and the order.
    pub seed: u64,
    /// How many times every fault.
    pub rounds: u32,
    /// Only faults whose name has this in it.
    pub only: Option<String>,
    /// The choice for CI.
    pub short: bool,
}

/// What came of a fault.
struct Row {
    fault: &'static str,
    runs: usize,
    unknown: usize,
    slowest: Wait,
    allowed: Duration,
    busy: Duration,
    verdict: Result<(), String>,
}

impl Series {
    /// Runs it on a stack, and prints a row for each fault.
    ///
    /// # Panics
    /// When something did not hold.
    pub fn run(&self, stack: Stack) {
        let mut dice = Dice::new(self.seed);
        let wanted = |f: &&Fault| match &self.only {
            Some(name) => f.name.contains(name.as_str()),
            None => !self.short || f.is_short(stack),
        };
        let mut faults: Vec<&Fault> = Fault::of(stack).into_iter().filter(wanted).collect();
        if self.short
            && faults.iter().any(|f| f.needs == Needs::Disk)
            && let Err(why) = Disk::try_mount()
        {
            println!("{}: NOT RUN, for want of a disk that can be filled: {why}", stack.name());
            faults.retain(|f| f.needs != Needs::Disk);
        }
        if faults.iter().any(|f| f.needs == Needs::Previous) && Build::previous().is_none() {
            println!("{}: upgrade NOT RUN, for want of a previous build", stack.name());
            faults.retain(|f| f.needs != Needs::Previous);
        }
        if faults.is_empty() {
            println!("{}: no fault of that name", stack.name());
            return;
        }
        println!("{}: seed {}, {} faults, {} rounds", stack.name(), self.seed, faults.len(), self.rounds);
        println!("{HEAD}");
        let mut failed = 0;
        let mut trial: Option<Trial> = None;
        for _ in 0..self.rounds {
            let mut order = faults.clone();
            dice.shuffle(&mut order);
            for fault in order {
                let with_disk = faults.iter().any(|f| f.needs == Needs::Disk);
                let mut at = trial.take().unwrap_or_else(|| Trial::begin(stack, &mut dice, with_disk));
                let row = at.suffer(fault, if self.short { BUSY_IN_CI } else { BUSY });
                println!("{}", row.line(stack));
                failed += usize::from(row.verdict.is_err());
                // After a failure everything is made anew: what is broken would show at every later fault.
                trial = row.verdict.is_ok().then_some(at);
            }
        }
        if let Some(trial) = trial {
            trial.end();
        }
        assert_eq!(failed, 0, "{}: {failed} faults were not survived (seed {})", stack.name(), self.seed);
    }
}

/// A stand under load.
struct Trial {
    stand: Stand,
    load: Load,
    /// Runs that were looked at.
    seen: usize,
    histories: BTreeMap<String, Vec<Value>>,
    unknown: BTreeSet<verify::StepOf>,
}

impl Trial {
    fn begin(stack: Stack, dice: &mut Dice, with_disk: bool) -> Self {
        let stand = Stand::up(stack, Dice::new(dice.roll(u64::from(u32::MAX))), with_disk);
        let load = Load::start(stand.doors(), Dice::new(dice.roll(u64::from(u32::MAX))));
        let mut trial = Self { stand, load, seen: 0, histories: BTreeMap::new(), unknown: BTreeSet::new() };
        trial.stay(CALM);
        trial
    }

    /// Lets time pass, and starts again what ends meanwhile.
    fn stay(&mut self, time: Duration) {
        let until = Instant::now() + time;
        while Instant::now() < until {
            self.stand.tend();
            std::thread::park_timeout(TENDED);
        }
    }

    /// Meets a fault, and looks at what came of it.
    fn suffer(&mut self, fault: &Fault, busy: Duration) -> Row {
        let (seen, doubts) = (self.seen, self.unknown.len());
        let mut slowest = Wait::default();
        let tried = catch_unwind(AssertUnwindSafe(|| {
            let begin = recovery::now();
            (fault.inject)(&mut self.stand);
            self.stay(fault.lasts());
            let back = self.stand.restore();
            let since = if fault.since == Since::Begin { begin } else { back };
            self.stay(CALM);
            slowest = self.look(since);
            assert!(slowest.time <= fault.within() + busy, "a run waited too long: {}", slowest.run);
            let surprised = fault.is_announced && self.unknown.len() > doubts;
            assert!(!surprised, "an effect is in doubt, though nobody was killed");
        }));
        let verdict = tried.map_err(|panic| {
            let text = panic.downcast_ref::<String>().cloned();
            let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
            format!("{}; logs: {}", text.unwrap_or_default(), self.stand.logs().display())
        });
        let unknown = self.unknown.len() - doubts;
        let runs = self.load.accepted(seen).len();
        Row { fault: fault.name, runs, unknown, slowest, allowed: fault.within(), busy, verdict }
    }

    /// Waits for the end of every run that was accepted and not looked at yet, and checks each. Answers the
    /// longest wait since that time.
    fn look(&mut self, since: i64) -> Wait {
        let runs: Vec<Accepted> = self.load.accepted(self.seen);
        let mut slowest = Wait::default();
        for accepted in &runs {
            self.unknown.extend(verify::settle(self.stand.door(), &accepted.run, ENDS_WITHIN));
            let events = verify::history(self.stand.door(), &accepted.run);
            slowest = slowest.max(recovery::longest_wait(accepted, &events, since));
            self.histories.insert(accepted.run.clone(), events);
        }
        self.seen += runs.len();
        verify::effects(&self.stand.executed(), &self.histories, &self.unknown);
        slowest
    }

    /// Stops the load, and compares what was accepted with what there is.
    fn end(self) {
        let Self { stand, load, histories, .. } = self;
        let accepted = load.stop();
        for run in accepted.iter().filter(|a| !histories.contains_key(&a.run)) {
            verify::settle(stand.door(), &run.run, ENDS_WITHIN);
        }
        let accepted: BTreeSet<String> = accepted.into_iter().map(|a| a.run).collect();
        let stored = stored(&stand);
        let lost: Vec<_> = accepted.difference(&stored).collect();
        let twice: Vec<_> = stored.difference(&accepted).collect();
        assert!(lost.is_empty() && twice.is_empty(), "accepted and lost: {lost:?}; there and not accepted: {twice:?}");
        println!("{} runs accepted and stored; {} processes ended by themselves\n", stored.len(), stand.restarts);
    }
}

/// Every run that there is.
fn stored(stand: &Stand) -> BTreeSet<String> {
    let mut runs = BTreeSet::new();
    let mut after = String::new();
    loop {
        let page = stand.door().get(&format!("/v1/runs?limit=500{after}")).json();
        runs.extend(page["items"].as_array().unwrap().iter().map(|run| run["id"].as_str().unwrap().to_owned()));
        match page["next"].as_str() {
            Some(next) => after = format!("&after={next}"),
            None => return runs,
        }
    }
}

const HEAD: &str =
    "| fault                  | stack    | runs | unknown | slowest | allowed   | waited for               | verdict";

impl Row {
    fn line(&self, stack: Stack) -> String {
        let Self { fault, runs, unknown, slowest, .. } = self;
        let (time, until, stack) = (slowest.time.as_secs_f64(), &slowest.until, stack.name());
        let allowed = format!("{} + {} s", self.allowed.as_secs(), self.busy.as_secs());
        let verdict = self.verdict.as_ref().map_or_else(|why| format!("FAILED: {why}"), |()| "survived".to_owned());
        format!(
            "| {fault:<22} | {stack:<8} | {runs:>4} | {unknown:>7} | {time:>5.1} s | {allowed:>9} | {until:<24} | {verdict}"
        )
    }
}
