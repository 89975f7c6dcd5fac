//! What the gate said of one use of one capability.

use serde::{Deserialize, Serialize};

/// The gate's answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// May run.
    Allow,
    /// May not run.
    Deny,
    /// A person decides.
    Escalate,
    /// May run with other arguments.
    Transform,
}

/// A verdict with its reasons, on record before the capability is used.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Decision {
    /// Names the decision in logs: derived from run, step, dispatch and call, so the same turn
    /// repeated gives the same id.
    pub id: String,
    /// The capability that was asked for.
    pub capability: String,
    /// The answer.
    pub verdict: Verdict,
    /// Why, for a person; a deny always has one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reasons: Vec<String>,
    /// Said beside an allow.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
    /// What the executor must keep to; travels in the grant.
    #[serde(default, skip_serializing_if = "serde_json::Map::is_empty")]
    pub obligations: serde_json::Map<String, serde_json::Value>,
    /// Revision of the bundle that judged.
    pub revision: String,
}
