//! Why bytes could not be read.

use aidt_domain::FORMAT;

type Source = Box<dyn std::error::Error + Send + Sync>;

/// What is wrong with bytes that could not be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DecodeErrorKind {
    /// They are of a format that this build does not know yet. Not poison: a newer process reads them.
    NewerFormat {
        /// The format that they state.
        found: u32,
    },
    /// They are not a message of this kind.
    Malformed,
    /// A field holds what it may not.
    Invalid {
        /// Its name in `proto/aidt/v1`.
        field: &'static str,
    },
}

impl std::fmt::Display for DecodeErrorKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::NewerFormat { found } => {
                write!(f, "format {found} is newer than {FORMAT}: leave it to a newer process")
            }
            Self::Malformed => f.write_str("the bytes are malformed"),
            Self::Invalid { field } => write!(f, "the field '{field}' is not valid"),
        }
    }
}

/// Bytes that could not be read.
#[derive(Debug, thiserror::Error)]
#[error("cannot read {what}: {kind}")]
pub struct DecodeError {
    what: &'static str,
    /// What is wrong.
    pub kind: DecodeErrorKind,
    #[source]
    source: Option<Source>,
}

impl DecodeError {
    /// Whether the bytes are fine and this build is too old for them.
    #[must_use]
    pub fn is_newer_format(&self) -> bool {
        matches!(self.kind, DecodeErrorKind::NewerFormat { .. })
    }

    pub(crate) fn newer(what: &'static str, found: u32) -> Self {
        Self { what, kind: DecodeErrorKind::NewerFormat { found }, source: None }
    }

    pub(crate) fn malformed(what: &'static str) -> Self {
        Self { what, kind: DecodeErrorKind::Malformed, source: None }
    }

    pub(crate) fn malformed_by(what: &'static str, source: prost::DecodeError) -> Self {
        Self { source: Some(Box::new(source)), ..Self::malformed(what) }
    }

    pub(crate) fn invalid(what: &'static str, field: &'static str) -> Self {
        Self { what, kind: DecodeErrorKind::Invalid { field }, source: None }
    }

    pub(crate) fn invalid_by(what: &'static str, field: &'static str, source: impl Into<Source>) -> Self {
        Self { source: Some(source.into()), ..Self::invalid(what, field) }
    }
}
