//! The failures that several tools have in common. All of them are known to have changed nothing.

use aidt_domain::{EffectHint, ErrorCode, Failure};

/// The caller asked for something that cannot be.
pub(crate) fn invalid(message: impl Into<String>) -> Failure {
    Failure::fatal(ErrorCode::InvalidArgument, message)
}

/// Nothing of that name.
pub(crate) fn not_found(message: impl Into<String>) -> Failure {
    Failure::fatal(ErrorCode::NotFound, message)
}

/// More than may travel.
pub(crate) fn too_large(message: impl Into<String>) -> Failure {
    Failure::fatal(ErrorCode::TooLarge, message)
}

/// The workspace could not be prepared; `reason` is a stable word.
pub(crate) fn workspace(reason: &str, message: impl Into<String>) -> Failure {
    Failure { reason: Some(reason.to_owned()), ..Failure::fatal(ErrorCode::WorkspaceFailed, message) }
}

/// The call was told to stop before it changed anything.
pub(crate) fn cancelled() -> Failure {
    Failure::fatal(ErrorCode::Cancelled, "the call was cancelled")
}

/// Our own mistake, or the machine's.
pub(crate) fn internal(message: impl Into<String>) -> Failure {
    Failure { effect: EffectHint::Maybe, ..Failure::fatal(ErrorCode::Internal, message) }
}
