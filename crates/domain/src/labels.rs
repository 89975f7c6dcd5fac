//! Provenance: where a value came from.

use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::sync::Arc;

/// The set of labels on a value: `user`, `model`, `repo`, `network:<host>`, `artifact:<id>`,
/// `secret:<name>`, `mcp:<server>`, or `unknown`, which stands for all of them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Labels(BTreeSet<Arc<str>>);

impl Labels {
    /// No label: a literal of the plan.
    pub const NONE: Self = Self(BTreeSet::new());

    /// One label.
    #[must_use]
    pub fn one(label: &str) -> Self {
        Self([Arc::from(label)].into())
    }

    /// What a person or CI job gave.
    #[must_use]
    pub fn user() -> Self {
        Self::one("user")
    }

    /// Adds all of `other`'s.
    pub fn extend(&mut self, other: &Self) {
        if !other.0.is_subset(&self.0) {
            self.0.extend(other.0.iter().cloned());
        }
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// In order.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|l| &**l)
    }
}

impl<'a> FromIterator<&'a str> for Labels {
    fn from_iter<I: IntoIterator<Item = &'a str>>(iter: I) -> Self {
        Self(iter.into_iter().map(Arc::from).collect())
    }
}
