//! From whatever went wrong to what a command shows.

use aidt_cli::HostError;
use aidt_domain::ErrorCode;

/// A start that failed: `what` could not be done, because of `source`.
pub(crate) fn cannot(
    code: ErrorCode,
    what: impl std::fmt::Display,
    source: impl std::error::Error + Send + Sync + 'static,
) -> HostError {
    let mut message = format!("{what}: {source}");
    let mut cause = source.source();
    while let Some(deeper) = cause {
        message = format!("{message}: {deeper}");
        cause = deeper.source();
    }
    HostError::new(code, message).caused(source)
}
