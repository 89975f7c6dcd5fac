//! Why something could not be read.

use crate::web::Problem;
use aidt_domain::{ErrorCode, RunId, StepPath};
use aidt_proto::DecodeError;
use aidt_store::StoreError;

/// Why a run, or something of it, could not be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReadError {
    #[error("there is no run {0}")]
    NoRun(RunId),
    #[error("run {0} has no step {1}")]
    NoStep(RunId, StepPath),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("what is stored of run {0} cannot be read")]
    Undecodable(RunId, #[source] DecodeError),
    #[error("the plan of run {0} cannot be read")]
    BadSnapshot(RunId, #[source] serde_json::Error),
    #[error("the history of run {0} has a gap: event {1} is missing")]
    Gap(RunId, u64),
}

impl From<ReadError> for Problem {
    fn from(error: ReadError) -> Self {
        let code = match &error {
            ReadError::NoRun(_) | ReadError::NoStep(..) => ErrorCode::NotFound,
            // A newer process of the same installation can read it.
            ReadError::Undecodable(_, cause) if cause.is_newer_format() => ErrorCode::Unavailable,
            ReadError::Undecodable(..) | ReadError::BadSnapshot(..) | ReadError::Gap(..) => ErrorCode::Internal,
            ReadError::Store(_) => {
                let ReadError::Store(cause) = error else { unreachable!("matched just now") };
                return cause.into();
            }
        };
        if code == ErrorCode::Internal {
            tracing::error!(error = &error as &dyn std::error::Error, "a stored run cannot be read");
        }
        Self::new(code, error)
    }
}
