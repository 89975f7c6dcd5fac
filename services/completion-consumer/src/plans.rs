//! Plans as the owner uses them: the engine's graph and the compiled templates, by digest.

use aidt_domain::{Digest, ErrorCode, Failure, Snapshot};
use aidt_engine::Graph;
use aidt_expr::{Condition, Template};
use std::collections::BTreeMap;
use std::sync::Arc;

/// A snapshot, ready to be walked and rendered.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) graph: Arc<Graph>,
    /// Arguments, by step.
    pub(crate) with: Vec<Template>,
    /// Conditions, by step.
    pub(crate) when: Vec<Option<Condition>>,
    /// The run's outputs.
    pub(crate) outputs: Vec<(String, Template)>,
    /// Steps whose output some expression reads, by index.
    pub(crate) is_read: Vec<bool>,
}

impl Plan {
    /// Compiles a stored snapshot.
    pub(crate) fn compile(digest: Digest, document: &[u8]) -> Result<Self, Failure> {
        let broken = |e: &dyn std::fmt::Display| {
            Failure::fatal(ErrorCode::Internal, format!("snapshot {digest} cannot be used: {e}"))
        };
        let snapshot: Snapshot = serde_json::from_slice(document).map_err(|e| broken(&e))?;
        if snapshot.format > aidt_domain::FORMAT {
            return Err(broken(&format!("its format {} is newer than this process", snapshot.format)));
        }
        let steps = || snapshot.steps.iter();
        let with: Result<Vec<_>, _> = steps().map(|s| Template::compile(&s.with)).collect();
        let when: Result<Vec<_>, _> = steps().map(|s| s.when.as_deref().map(Condition::compile).transpose()).collect();
        let outputs: Result<Vec<_>, _> =
            snapshot.outputs.iter().map(|(k, v)| Template::compile(v).map(|t| (k.clone(), t))).collect();
        let (with, when, outputs) =
            (with.map_err(|e| broken(&e))?, when.map_err(|e| broken(&e))?, outputs.map_err(|e| broken(&e))?);
        let graph = Graph::new(digest, snapshot);
        let mut plan = Self { is_read: vec![false; graph.len()], graph: Arc::new(graph), with, when, outputs };
        plan.note_reads();
        Ok(plan)
    }

    /// Stands for a snapshot that cannot be used: enough to end its runs with the reason.
    pub(crate) fn unusable(digest: Digest) -> Self {
        let snapshot = Snapshot {
            format: aidt_domain::FORMAT,
            name: "?".to_owned(),
            inputs: BTreeMap::new(),
            permissions: None,
            workspace: None,
            steps: Vec::new(),
            outputs: BTreeMap::new(),
            labels: BTreeMap::new(),
            priority: 0,
        };
        let graph = Arc::new(Graph::new(digest, snapshot));
        Self { graph, with: Vec::new(), when: Vec::new(), outputs: Vec::new(), is_read: Vec::new() }
    }

    fn note_reads(&mut self) {
        let templates = self.with.iter().chain(self.outputs.iter().map(|(_, t)| t)).map(Template::references);
        let conditions = self.when.iter().flatten().map(Condition::references);
        for id in templates.chain(conditions).flat_map(|r| &r.outputs) {
            if let Ok(path) = id.parse()
                && let Some(ix) = self.graph.find(&path)
            {
                self.is_read[ix.0 as usize] = true;
            }
        }
    }
}

/// Compiled plans, the oldest forgotten first.
#[derive(Debug, Default)]
pub(crate) struct Plans {
    by_digest: BTreeMap<Digest, (u64, Arc<Plan>)>,
    clock: u64,
}

impl Plans {
    const KEPT: usize = 256;

    pub(crate) fn get(&mut self, digest: Digest) -> Option<Arc<Plan>> {
        self.clock += 1;
        let (used, plan) = self.by_digest.get_mut(&digest)?;
        *used = self.clock;
        Some(Arc::clone(plan))
    }

    pub(crate) fn insert(&mut self, digest: Digest, plan: Arc<Plan>) {
        self.clock += 1;
        self.by_digest.insert(digest, (self.clock, plan));
    }

    /// Forgets the least recently used beyond what is kept. Only between turns: within one, all that it
    /// loaded is needed. Runs keep their own.
    pub(crate) fn trim(&mut self) {
        while self.by_digest.len() > Self::KEPT
            && let Some(oldest) = self.by_digest.iter().min_by_key(|(_, (used, _))| *used).map(|(d, _)| *d)
        {
            self.by_digest.remove(&oldest);
        }
    }
}
