//! One error shape for all ports of the store.

use std::fmt;

/// What a failed operation left behind, and so what the caller may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Nothing happened; try again.
    Unavailable,
    /// It may have happened; read before trying again.
    Unknown,
    /// Somebody else was first.
    Conflict,
    /// There is no such thing.
    NotFound,
    /// The request can never succeed.
    Invalid,
    /// What is stored does not make sense.
    Corrupt,
}

/// A failed operation of a store port.
#[derive(Debug, thiserror::Error)]
pub struct StoreError {
    /// The operation, e.g. `commit`.
    pub operation: &'static str,
    /// What it left behind.
    pub kind: Kind,
    /// The cause.
    #[source]
    pub source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl StoreError {
    /// An error with a cause.
    pub fn new(
        operation: &'static str,
        kind: Kind,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        Self { operation, kind, source: Some(source.into()) }
    }

    /// Whether the same call can succeed later without anything being changed.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        matches!(self.kind, Kind::Unavailable | Kind::Unknown)
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.kind {
            Kind::Unavailable => "the store is unavailable; nothing happened",
            Kind::Unknown => "the outcome is not known",
            Kind::Conflict => "somebody else was first",
            Kind::NotFound => "not found",
            Kind::Invalid => "the request is not valid",
            Kind::Corrupt => "what is stored is corrupt",
        };
        write!(f, "store operation {}: {what}", self.operation)
    }
}
