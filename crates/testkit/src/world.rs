//! One seed, from the first start of its processes to the end of its last run.

use crate::fleet::{Host, Job};
use crate::notes::Histogram;
use crate::plans;
use crate::process::{Birth, Running};
use crate::rng::Rng;
use crate::scenario::Scenario;
use crate::shared::{EPOCH, Shared, ms};
use crate::{Invariant, Plant};
use aidt_domain::{CommandId, RunId};
use aidt_engine::Graph;
use aidt_policy::{ActivePolicy, Bundle};
use aidt_runtime::Ids;
use futures::stream::{FuturesUnordered, StreamExt};
use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::task::{JoinSet, LocalSet};
use tokio::time::{Instant, sleep_until};

/// Which world to run.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// Everything follows from it.
    pub seed: u64,
    /// A fault of the protocol to put in.
    pub plant: Option<Plant>,
    /// Write down what happens.
    pub tracing: bool,
}

/// What became of a world.
#[derive(Clone, Debug)]
pub struct Report {
    /// Its seed.
    pub seed: u64,
    /// What did not hold, with the first case of each.
    pub broken: BTreeMap<Invariant, String>,
    /// Counts by kind and name: faults, commands, checks.
    pub counts: BTreeMap<(&'static str, &'static str), u64>,
    /// Commands applied.
    pub commands: u64,
    /// Faults injected.
    pub faults: u64,
    /// Over every event, byte by byte, and when it was committed.
    pub digest: u64,
    /// How long it took, by its own clock.
    pub virtual_ms: u64,
    /// What happened, when it was traced.
    pub lines: Vec<String>,
}

/// Runs one world. Blocks; many may run on as many threads.
#[must_use]
pub fn run(options: Options) -> Report {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    let runtime = builder.enable_time().start_paused(true).build().expect("a runtime without I/O needs nothing");
    let local = LocalSet::new();
    let report = runtime.block_on(local.run_until(async move {
        let mut world = World::new(options);
        world.live().await;
        world.report(options.seed)
    }));
    // Processes are dropped inside their runtime.
    runtime.block_on(async move { drop(local) });
    report
}

/// A command from outside that was accepted.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Accepted {
    pub(crate) id: CommandId,
    pub(crate) run: RunId,
    pub(crate) what: &'static str,
}

/// A place where processes live, one after the other.
pub(crate) struct Place {
    pub(crate) host: Arc<Host>,
    pub(crate) running: Option<Running>,
    pub(crate) up_at: Instant,
    /// When a freeze or stall is over.
    pub(crate) thaws_at: Option<Instant>,
}

/// A run that was submitted.
#[derive(Debug)]
pub(crate) struct Submitted {
    pub(crate) run: RunId,
    pub(crate) graph: Arc<Graph>,
    pub(crate) idle: bool,
}

pub(crate) struct World {
    pub(crate) shared: Arc<Shared>,
    pub(crate) ids: Ids,
    pub(crate) rng: Rng,
    pub(crate) scenario: Scenario,
    pub(crate) places: Vec<Place>,
    /// By number of the plan; more at the end.
    pub(crate) runs: BTreeMap<usize, Submitted>,
    pub(crate) accepted: Vec<Accepted>,
    policy: Arc<ActivePolicy>,
    /// The jobs' own task.
    _jobs: JoinSet<()>,
}

/// The shipped policy, and another that decides the same; compiling them is not what worlds are about.
fn policies() -> &'static [Arc<Bundle>; 2] {
    static BUNDLES: OnceLock<[Arc<Bundle>; 2]> = OnceLock::new();
    BUNDLES.get_or_init(|| {
        let shipped = Bundle::shipped();
        let settings = serde_json::json!({"settings": {"deny": ["sim.never"]}});
        let other = Bundle::from_modules(shipped.modules().to_vec(), Some(settings));
        [shipped, other.expect("the shipped modules compile with settings")]
    })
}

async fn serve(mut jobs: UnboundedReceiver<Job>) {
    let mut running = FuturesUnordered::new();
    loop {
        tokio::select! {
            biased;
            job = jobs.recv() => match job {
                Some(job) => running.push(job),
                None => return,
            },
            Some(()) = running.next() => {}
        }
    }
}

impl World {
    fn new(options: Options) -> Self {
        let scenario = Scenario::draw(options.seed);
        let (send, receive) = unbounded_channel();
        let shared = Shared::new(options.seed, scenario.partitions, options.plant, options.tracing, send);
        shared.count("broker", shared.queue.shape());
        let mut jobs = JoinSet::new();
        jobs.spawn_local(serve(receive));
        let tools: Vec<_> = {
            let mut tools: Vec<_> = plans::catalogue().iter().map(aidt_domain::ToolEntry::digest).collect();
            tools.sort_unstable();
            tools
        };
        let place = |_| Place {
            host: Host::new(plans::busy_pool(), tools.clone(), scenario.slots),
            running: None,
            up_at: Instant::now(),
            thaws_at: None,
        };
        Self {
            ids: Ids::seeded(Arc::new(shared.clock.clone()), options.seed),
            rng: Rng::new(options.seed, 3),
            places: (0..scenario.hosts).map(place).collect(),
            runs: BTreeMap::new(),
            accepted: Vec::new(),
            policy: Arc::new(ActivePolicy::new(Arc::clone(&policies()[0]))),
            _jobs: jobs,
            shared,
            scenario,
        }
    }

    async fn live(&mut self) {
        let began = Instant::now();
        let actions = std::mem::take(&mut self.scenario.actions);
        let ends = began + ms(self.scenario.lasts_ms);
        let mut next = actions.into_iter().peekable();
        while Instant::now() < ends || next.peek().is_some() {
            self.supervise();
            while let Some((_, action)) = next.next_if(|(at, _)| began + ms(*at) <= Instant::now()) {
                self.act(&action);
            }
            if self.is_over() {
                return;
            }
            let due = next.peek().map_or(ends, |(at, _)| began + ms(*at));
            sleep_until(due.max(Instant::now()).min(Instant::now() + ms(100)).max(Instant::now() + ms(1))).await;
            if self.rng.chance(50) {
                self.check_explained();
            }
        }
        self.calm_down().await;
        if !self.is_over() {
            self.check_all();
        }
    }

    /// What it was run for has been seen.
    pub(crate) fn is_over(&self) -> bool {
        let plant = self.shared.plant;
        self.shared.with(|s| match plant {
            None => !s.notes.broken.is_empty(),
            Some(plant) => s.notes.broken.contains_key(&plant.breaks()),
        })
    }

    /// Starts what is down and due, thaws what is due.
    pub(crate) fn supervise(&mut self) {
        let now = Instant::now();
        for i in 0..self.places.len() {
            let place = &mut self.places[i];
            if let Some(running) = &mut place.running {
                if place.thaws_at.is_some_and(|at| at <= now) {
                    place.thaws_at = None;
                    running.process.fate.freeze(false);
                    running.process.fate.stall(false);
                    self.shared.line(|| format!("{} thaws", running.process.id));
                }
                if running.look() {
                    continue;
                }
                place.running = None;
                place.thaws_at = None;
                let pause = self.rng.between(10, 1_500);
                place.up_at = place.up_at.max(now + ms(pause));
            }
            if place.up_at <= now {
                self.start(i);
            }
        }
    }

    /// The revision moves on; steps that wait are judged again.
    pub(crate) fn change_policy(&mut self) {
        self.shared.fault("change_policy", String::new);
        let next = policies().iter().find(|bundle| bundle.revision() != self.policy.revision());
        if let Some(bundle) = next {
            self.policy.replace(Arc::clone(bundle));
        }
    }

    fn start(&mut self, i: usize) {
        let skew_ms = match self.rng.below(4) {
            0 => 0,
            1 => 30_000,
            2 => -30_000,
            _ => i64::try_from(self.rng.below(60_000)).expect("small") - 30_000,
        };
        let birth = Birth { id: self.ids.process(), skew_ms, dies_in_large_work: self.scenario.is_large };
        let running = Running::start(&self.shared, &self.places[i].host, &self.policy, birth);
        self.places[i].running = Some(running);
    }

    fn report(&mut self, seed: u64) -> Report {
        let virtual_ms = u64::try_from(self.shared.now().0 - EPOCH.0).unwrap_or(0);
        self.shared.with(|s| {
            let counts: Histogram = std::mem::take(&mut s.notes.counts);
            s.notes.counts = counts.clone();
            Report {
                seed,
                broken: s.notes.broken.clone(),
                commands: s.notes.total("command"),
                faults: s.notes.total("fault"),
                counts,
                digest: s.notes.digest,
                virtual_ms,
                lines: std::mem::take(&mut s.notes.lines),
            }
        })
    }
}
