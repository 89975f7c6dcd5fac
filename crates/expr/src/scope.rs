//! What expressions see of a run.

use crate::References;
use aidt_domain::{Failure, Labels, StepState};
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::Arc;

/// `run.id`, `run.project`, `run.plan`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RunFacts {
    /// `run_…`.
    pub id: String,
    /// The run's project.
    pub project: String,
    /// The plan's name.
    pub plan: String,
}

/// The output of a step.
#[derive(Clone, Debug, PartialEq)]
pub enum Output {
    /// As the tool gave it.
    Value(Arc<Value>),
    /// A reference to an artifact: it can be passed whole, not looked into.
    Claimed(Arc<Value>),
}

/// What expressions see of one step.
#[derive(Clone, Debug)]
pub struct StepFacts {
    /// `steps.<id>.state`.
    pub state: StepState,
    /// `steps.<id>.output`; only needed when [`References::outputs`] names the step.
    pub output: Option<Output>,
    /// `steps.<id>.error`.
    pub error: Option<Arc<Failure>>,
    /// Provenance of what the step gave.
    pub labels: Arc<Labels>,
}

/// What `success()` and `failure()` say of the steps that a step needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Needs {
    /// All of them succeeded.
    pub succeeded: bool,
    /// At least one failed, was denied or was cancelled.
    pub failed: bool,
}

impl Default for Needs {
    fn default() -> Self {
        Self { succeeded: true, failed: false }
    }
}

impl Needs {
    /// From the states of the steps that are needed and whether each may fail (`continue_on_error`).
    pub fn of(needs: impl IntoIterator<Item = (StepState, bool)>) -> Self {
        let mut all = Self::default();
        for (state, may_fail) in needs {
            let forgiven = may_fail && matches!(state, StepState::Failed | StepState::Denied);
            all.succeeded &= state == StepState::Done || forgiven;
            all.failed |= !forgiven && matches!(state, StepState::Failed | StepState::Denied | StepState::Cancelled);
        }
        all
    }
}

/// What one render or one condition sees: built by the owner with what
/// [`References`] names, and cheap to clone.
#[derive(Clone, Debug)]
pub struct Scope {
    run: Arc<RunFacts>,
    inputs: Arc<Value>,
    input_labels: Arc<Labels>,
    steps: BTreeMap<String, StepFacts>,
    needs: Needs,
}

impl Scope {
    /// A scope without steps. `inputs` is a JSON object, complete with defaults.
    #[must_use]
    pub fn new(run: Arc<RunFacts>, inputs: Arc<Value>, input_labels: Arc<Labels>) -> Self {
        Self { run, inputs, input_labels, steps: BTreeMap::new(), needs: Needs::default() }
    }

    /// Adds a step that expressions may read.
    #[must_use]
    pub fn with_step(mut self, id: impl Into<String>, facts: StepFacts) -> Self {
        self.steps.insert(id.into(), facts);
        self
    }

    /// States what `success()` and `failure()` say.
    #[must_use]
    pub fn with_needs(mut self, needs: Needs) -> Self {
        self.needs = needs;
        self
    }

    /// The union of the labels of everything that is referred to.
    #[must_use]
    pub fn labels(&self, references: &References) -> Labels {
        let mut labels = Labels::NONE;
        if references.reads_inputs() {
            labels.extend(&self.input_labels);
        }
        for facts in references.steps.iter().filter_map(|id| self.steps.get(id)) {
            labels.extend(&facts.labels);
        }
        labels
    }

    pub(crate) fn run(&self) -> &RunFacts {
        &self.run
    }

    pub(crate) fn inputs(&self) -> &Value {
        &self.inputs
    }

    pub(crate) fn step(&self, id: &str) -> Option<&StepFacts> {
        self.steps.get(id)
    }

    pub(crate) fn needs(&self) -> Needs {
        self.needs
    }
}
