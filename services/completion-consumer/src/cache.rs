//! Runs in memory, the least recently used forgotten first. Forgetting is always safe between turns:
//! everything that a run is stands in the store.

use crate::plans::Plan;
use aidt_domain::{Labels, RunId, StepIx};
use aidt_engine::Run;
use aidt_expr::RunFacts;
use serde_json::Value;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// Outputs up to this size stay in memory with their run.
const SMALL_OUTPUT: usize = 4 * 1024;

/// A value that expressions read.
#[derive(Clone, Debug)]
pub(crate) struct Kept {
    pub(crate) value: Arc<Value>,
    pub(crate) labels: Arc<Labels>,
    /// Length of its JSON.
    pub(crate) len: usize,
}

/// A run in memory, with what expressions read most.
#[derive(Debug)]
pub(crate) struct Cached {
    pub(crate) run: Run,
    pub(crate) plan: Arc<Plan>,
    pub(crate) facts: Arc<RunFacts>,
    /// The run's inputs, once something read them.
    pub(crate) inputs: Option<Kept>,
    /// Outputs of its steps that something reads: all that are new in this turn, then the small ones.
    pub(crate) outputs: BTreeMap<StepIx, Kept>,
    /// Where the run went on since, in another trace than its first.
    pub(crate) trace: Option<String>,
    touched: u64,
}

/// The runs in memory.
#[derive(Debug)]
pub(crate) struct Cache {
    /// Only looked up; the order of eviction is that of `order`.
    runs: HashMap<RunId, Cached>,
    order: BTreeMap<u64, RunId>,
    clock: u64,
    capacity: usize,
}

impl Cache {
    pub(crate) fn new(capacity: usize) -> Self {
        Self { runs: HashMap::new(), order: BTreeMap::new(), clock: 0, capacity }
    }

    pub(crate) fn contains(&self, run: RunId) -> bool {
        self.runs.contains_key(&run)
    }

    pub(crate) fn insert(&mut self, run: Run, plan: Arc<Plan>) {
        let id = run.row.id;
        let facts = RunFacts { id: id.to_string(), project: run.row.project.to_string(), plan: run.row.plan.clone() };
        self.remove(id);
        self.clock += 1;
        self.order.insert(self.clock, id);
        let cached = Cached {
            run,
            plan,
            facts: Arc::new(facts),
            inputs: None,
            outputs: BTreeMap::new(),
            trace: None,
            touched: self.clock,
        };
        self.runs.insert(id, cached);
    }

    /// The run, now the most recently used.
    pub(crate) fn get(&mut self, run: RunId) -> Option<&mut Cached> {
        let cached = self.runs.get_mut(&run)?;
        if cached.touched != self.clock {
            self.order.remove(&cached.touched);
            self.clock += 1;
            cached.touched = self.clock;
            self.order.insert(self.clock, run);
        }
        Some(cached)
    }

    pub(crate) fn peek(&self, run: RunId) -> Option<&Cached> {
        self.runs.get(&run)
    }

    pub(crate) fn remove(&mut self, run: RunId) {
        if let Some(cached) = self.runs.remove(&run) {
            self.order.remove(&cached.touched);
        }
    }

    /// After a commit: ended runs and large outputs go, then the least recently used runs.
    pub(crate) fn settle(&mut self, touched: &[RunId]) {
        for &id in touched {
            let Some(cached) = self.runs.get_mut(&id) else { continue };
            if cached.run.row.state.is_terminal() {
                self.remove(id);
            } else {
                cached.outputs.retain(|_, kept| kept.len <= SMALL_OUTPUT);
                if cached.inputs.as_ref().is_some_and(|kept| kept.len > SMALL_OUTPUT) {
                    cached.inputs = None;
                }
            }
        }
        while self.runs.len() > self.capacity
            && let Some((_, id)) = self.order.pop_first()
        {
            self.runs.remove(&id);
        }
    }

    /// Forgets the runs for which this holds.
    pub(crate) fn forget(&mut self, gone: impl Fn(RunId) -> bool) {
        self.runs.retain(|id, _| !gone(*id));
        self.order.retain(|_, id| !gone(*id));
    }
}
