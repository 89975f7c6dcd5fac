//! From whatever went wrong to what a command shows.

use aidt_cli::HostError;
use aidt_domain::ErrorCode;

/// A start that failed: `what` could not be done, because of `source`.
pub(crate) fn cannot(
    code: ErrorCode,
    what: impl std::fmt::Display,
    source: impl std::error::Error + Send + Sync + 'static,
) -> HostError {
    HostError::new(code, format!("{what}: {}", shown(&source))).caused(source)
}

/// An error with its causes, on one line.
pub(crate) fn shown(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(deeper) = cause {
        text = format!("{text}: {deeper}");
        cause = deeper.source();
    }
    text
}
