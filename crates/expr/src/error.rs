//! What can be wrong with an expression.

use aidt_domain::{ErrorCode, Failure};

/// Longest piece of an expression that an error shows, in characters.
const SHOWN: usize = 120;

/// Why an expression was refused or could not be evaluated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExprErrorKind {
    /// It is not CEL, or a `${{` is not closed.
    Syntax,
    /// It names something that is not there: `stepz`, `steps.a.outptu`.
    UnknownName,
    /// It calls something that is not there.
    UnknownFunction,
    /// It is too large, or would do too much.
    Limit,
    /// A value is not there: a key, an input not given, the output of a step that has none.
    Missing,
    /// A value is of the wrong type, or an operation failed.
    Evaluation,
}

/// An expression that cannot be used, with the reason for a person.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}, in the expression '{expression}'{}", at_clause(.at))]
pub struct ExprError {
    /// The kind of trouble.
    pub kind: ExprErrorKind,
    /// What is wrong: lower case, no full stop.
    pub message: String,
    /// The source of the expression (without `${{ }}`), cut when long.
    pub expression: String,
    /// Byte offset of the expression in the text that holds it.
    pub offset: usize,
    /// Where in the template the text stands: `.files[0].path`; empty for the whole.
    pub at: String,
    /// The word that was meant, perhaps.
    pub nearest: Option<String>,
}

fn at_clause(at: &str) -> String {
    if at.is_empty() { String::new() } else { format!(" at {at}") }
}

impl ExprError {
    pub(crate) fn new(kind: ExprErrorKind, expression: &str, message: impl Into<String>) -> Self {
        let mut shown: String = expression.trim().chars().take(SHOWN).collect();
        if shown.len() < expression.trim().len() {
            shown.push('…');
        }
        Self { kind, message: message.into(), expression: shown, offset: 0, at: String::new(), nearest: None }
    }

    pub(crate) fn at_offset(mut self, offset: usize) -> Self {
        self.offset = offset;
        self
    }

    /// Puts a step of the way to the text in front of `at`.
    pub(crate) fn under(mut self, step: &str) -> Self {
        self.at.insert_str(0, step);
        self
    }
}

impl From<ExprError> for Failure {
    fn from(e: ExprError) -> Self {
        Self::fatal(ErrorCode::ExpressionFailed, e.to_string())
    }
}

/// What is wrong, before it is known in which expression.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Trouble {
    pub(crate) kind: ExprErrorKind,
    pub(crate) message: String,
    pub(crate) nearest: Option<String>,
}

impl Trouble {
    pub(crate) fn new(kind: ExprErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), nearest: None }
    }

    /// A word that is not known, with the one that is nearest to it.
    pub(crate) fn unknown<'a>(
        kind: ExprErrorKind,
        message: impl Into<String>,
        found: &str,
        known: impl IntoIterator<Item = &'a str>,
    ) -> Self {
        Self { nearest: nearest(found, known).map(str::to_owned), ..Self::new(kind, message) }
    }

    pub(crate) fn within(self, expression: &str) -> ExprError {
        let mut e = ExprError::new(self.kind, expression, self.message);
        e.nearest = self.nearest;
        e
    }
}

/// The known word that `found` is likely to mean.
pub(crate) fn nearest<'a>(found: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let limit = 1 + found.chars().count() / 3;
    known
        .into_iter()
        .map(|word| (strsim::damerau_levenshtein(found, word), word))
        .filter(|(distance, _)| *distance <= limit)
        .min()
        .map(|(_, word)| word)
}
