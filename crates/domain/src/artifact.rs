//! What stands in a row or a message for a value that is too large for it (a claim check).

use crate::{Digest, Labels};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A value that is kept in the artifact store: `{"artifact": "sha256:…", "bytes": N}`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Claim {
    /// Its name there.
    pub artifact: Digest,
    /// Its length.
    pub bytes: u64,
}

impl Claim {
    /// The label of a value that stems from this artifact.
    #[must_use]
    pub fn label(&self) -> String {
        format!("artifact:{}", self.artifact)
    }

    /// The claim that a value is, if its labels say so, too: a tool may well answer an object of this form.
    #[must_use]
    pub fn of(value: &Value, labels: &Labels) -> Option<Self> {
        let claim = Self::deserialize(value.as_object().filter(|o| o.len() == 2).map(|_| value)?).ok()?;
        let label = claim.label();
        labels.iter().any(|l| l == label).then_some(claim)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn only_what_is_labelled_is_a_claim() {
        let claim = Claim { artifact: Digest::of(b"large"), bytes: 300_000 };
        let value = serde_json::to_value(claim).unwrap();
        assert_eq!(value, json!({"artifact": Digest::of(b"large").to_string(), "bytes": 300_000}));
        let labels = Labels::one(&claim.label());
        assert_eq!(Claim::of(&value, &labels), Some(claim));
        assert_eq!(Claim::of(&value, &Labels::one("repo")), None);
        assert_eq!(Claim::of(&json!("large"), &labels), None);
    }
}
