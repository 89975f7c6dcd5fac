//! What an expression reads, known before it is evaluated.

use std::collections::BTreeSet;

/// The names that an expression or a template reads.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct References {
    /// Inputs by name.
    pub inputs: BTreeSet<String>,
    /// `inputs` as a whole is read.
    pub all_inputs: bool,
    /// Steps whose output, state or error is read.
    pub steps: BTreeSet<String>,
    /// Those whose output is read, and must be loaded.
    pub outputs: BTreeSet<String>,
    /// Something of `run` is read.
    pub run: bool,
}

impl References {
    /// Nothing is read: the value is the same in every run.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        !self.reads_inputs() && self.steps.is_empty() && !self.run
    }

    /// Any input is read.
    #[must_use]
    pub fn reads_inputs(&self) -> bool {
        self.all_inputs || !self.inputs.is_empty()
    }

    /// Adds all of `other`'s.
    pub fn extend(&mut self, other: &Self) {
        self.inputs.extend(other.inputs.iter().cloned());
        self.all_inputs |= other.all_inputs;
        self.steps.extend(other.steps.iter().cloned());
        self.outputs.extend(other.outputs.iter().cloned());
        self.run |= other.run;
    }
}
