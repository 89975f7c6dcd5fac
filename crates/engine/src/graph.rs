//! A snapshot with its edges turned around.

use aidt_domain::{Digest, Snapshot, StepIx, StepPath, StepSpec, ToolEntry};
use std::collections::HashMap;

/// A plan as the engine walks it. Shared by all runs of the same snapshot.
#[derive(Debug)]
pub struct Graph {
    digest: Digest,
    snapshot: Snapshot,
    /// Who needs a step: `edges[starts[i]..starts[i + 1]]`.
    starts: Vec<u32>,
    edges: Vec<StepIx>,
    /// Only looked up, never walked: its order shows nowhere.
    by_path: HashMap<StepPath, StepIx>,
    /// Digests of the steps' tool entries: costly to compute, so once a plan.
    entries: Vec<Option<Digest>>,
}

impl Graph {
    /// Turns the edges around. `digest` is the snapshot's content address.
    #[must_use]
    pub fn new(digest: Digest, snapshot: Snapshot) -> Self {
        let n = snapshot.steps.len();
        let mut starts = vec![0_u32; n + 1];
        for need in snapshot.steps.iter().flat_map(|s| &s.needs) {
            starts[need.0 as usize + 1] += 1;
        }
        for i in 0..n {
            starts[i + 1] += starts[i];
        }
        let mut next = starts.clone();
        let mut edges = vec![StepIx(0); starts[n] as usize];
        for (i, step) in snapshot.steps.iter().enumerate() {
            for need in &step.needs {
                let at = &mut next[need.0 as usize];
                edges[*at as usize] = StepIx(u32::try_from(i).expect("at most 100,000 steps"));
                *at += 1;
            }
        }
        let by_path = (0..).map(StepIx).zip(&snapshot.steps).map(|(ix, s)| (s.path.clone(), ix)).collect();
        let entries = entry_digests(&snapshot);
        Self { digest, snapshot, starts, edges, by_path, entries }
    }

    /// The snapshot's content address.
    #[must_use]
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// The snapshot.
    #[must_use]
    pub fn snapshot(&self) -> &Snapshot {
        &self.snapshot
    }

    /// How many steps.
    #[must_use]
    pub fn len(&self) -> usize {
        self.snapshot.steps.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.snapshot.steps.is_empty()
    }

    /// A step of the plan.
    #[must_use]
    pub fn spec(&self, ix: StepIx) -> &StepSpec {
        &self.snapshot.steps[ix.0 as usize]
    }

    /// The content address of a tool step's catalogue entry.
    #[must_use]
    pub fn entry_digest(&self, ix: StepIx) -> Option<Digest> {
        self.entries[ix.0 as usize]
    }

    /// The steps that need this one.
    #[must_use]
    pub fn dependents(&self, ix: StepIx) -> &[StepIx] {
        let i = ix.0 as usize;
        &self.edges[self.starts[i] as usize..self.starts[i + 1] as usize]
    }

    /// A step by name.
    #[must_use]
    pub fn find(&self, path: &StepPath) -> Option<StepIx> {
        self.by_path.get(path).copied()
    }
}

fn entry_digests(snapshot: &Snapshot) -> Vec<Option<Digest>> {
    let mut known: HashMap<&str, (&ToolEntry, Digest)> = HashMap::new();
    let mut digests = Vec::with_capacity(snapshot.steps.len());
    for step in &snapshot.steps {
        digests.push(step.kind.tool().map(|entry| match known.get(entry.name.as_str()) {
            Some((same, digest)) if *same == entry => *digest,
            _ => {
                let digest = entry.digest();
                known.insert(&entry.name, (entry, digest));
                digest
            }
        }));
    }
    digests
}
