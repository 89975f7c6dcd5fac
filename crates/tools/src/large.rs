//! Outputs that are too large for a message and a row: they go to the artifact store, and a claim stands
//! for them.

use crate::{ToolContext, failure};
use aidt_artifacts::{Artifacts, Kind};
use aidt_domain::{Claim, EffectHint, ErrorCode, Failure, Labels};
use bytes::Bytes;
use std::sync::Arc;

/// Where they are kept.
#[derive(Clone, Debug)]
pub struct LargeOutputs(Arc<dyn Artifacts>);

impl LargeOutputs {
    /// In this store.
    #[must_use]
    pub fn new(artifacts: Arc<dyn Artifacts>) -> Self {
        Self(artifacts)
    }

    /// Keeps an output, and gives the claim that stands for it, labelled as one. The tool has done its work by
    /// then: a failure does not know that nothing happened.
    pub(crate) async fn keep(&self, ctx: &ToolContext, output: Bytes, labels: &mut Labels) -> Result<Bytes, Failure> {
        let len = output.len();
        let kept = self.0.put(&ctx.project, output).await.map_err(|error| {
            let message = format!("the output of {len} bytes cannot be kept as an artifact: {}", told(&error));
            let failure = match error.kind {
                Kind::Invalid => failure::too_large(message),
                _ => Failure::transient(ErrorCode::Unavailable, message),
            };
            Failure { effect: EffectHint::Maybe, ..failure }
        })?;
        let claim = Claim { artifact: kept.digest, bytes: kept.len };
        labels.extend(&Labels::one(&claim.label()));
        Ok(serde_json::to_vec(&claim).expect("a claim is JSON").into())
    }
}

/// An error with its causes.
fn told(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}
