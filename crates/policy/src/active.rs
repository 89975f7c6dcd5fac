//! The policy in force.

use crate::Bundle;
use std::sync::{Arc, PoisonError, RwLock};

/// Holds the bundle that judges now. Replacing it is atomic: a decision is made by the old one or by the
/// new one, and says by which.
#[derive(Debug)]
pub struct ActivePolicy(RwLock<Arc<Bundle>>);

impl ActivePolicy {
    /// Begins with a bundle.
    #[must_use]
    pub fn new(bundle: Arc<Bundle>) -> Self {
        Self(RwLock::new(bundle))
    }

    /// The bundle in force.
    #[must_use]
    pub fn current(&self) -> Arc<Bundle> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Puts another in force; a [`crate::Judge`] takes it up by [`crate::Judge::follow`].
    pub fn replace(&self, bundle: Arc<Bundle>) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = bundle;
    }

    /// The revision in force.
    #[must_use]
    pub fn revision(&self) -> String {
        self.current().revision().to_owned()
    }
}
