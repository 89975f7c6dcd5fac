//! What a tool does to the world, and what is known of it after a failure.

use serde::{Deserialize, Serialize};

/// The class of a tool's effect, from the operator's catalogue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Effect {
    /// Looks only: may be repeated freely.
    Read,
    /// Repeating it with the same idempotency key has the effect of doing it once.
    Idempotent,
    /// Must not be repeated when it is unclear whether it happened.
    Once,
}

impl Effect {
    /// As stored and shown.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Idempotent => "idempotent",
            Self::Once => "once",
        }
    }
}

/// What a failed call says of its effect. Only the worker may say [`EffectHint::None`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EffectHint {
    /// The call is known to have changed nothing.
    None,
    /// It may have changed something.
    #[default]
    Maybe,
}
