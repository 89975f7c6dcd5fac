//! The transition table of a run.

use RunInput as I;
use RunState as S;
use aidt_domain::RunState;

/// What can happen to a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum RunInput {
    /// Its owner takes it up.
    Started,
    /// Somebody asks to end it.
    Cancel,
    /// Every call in flight has reported, or its grace passed.
    Quiet,
    /// Every step that had to succeed did, and its outputs are rendered.
    Succeeded,
    /// Every step ended, and one that had to succeed did not.
    Failed,
    /// A person wants steps run again.
    Reopened,
    /// A command cannot be applied to it.
    Poisoned,
}

impl RunInput {
    /// Every input, in the table's order.
    pub const ALL: &'static [Self] =
        &[I::Started, I::Cancel, I::Quiet, I::Succeeded, I::Failed, I::Reopened, I::Poisoned];
}

/// Every transition that there is; any other pair is refused, and the refusal is an event.
pub const RUN_TABLE: &[(RunState, RunInput, RunState)] = &[
    (S::Created, I::Started, S::Running),
    (S::Created, I::Poisoned, S::Failed),
    (S::Running, I::Cancel, S::Cancelling),
    (S::Running, I::Succeeded, S::Done),
    (S::Running, I::Failed, S::Failed),
    (S::Running, I::Reopened, S::Running),
    (S::Running, I::Poisoned, S::Failed),
    (S::Cancelling, I::Quiet, S::Cancelled),
    (S::Cancelling, I::Poisoned, S::Failed),
    (S::Done, I::Reopened, S::Running),
    (S::Failed, I::Reopened, S::Running),
    (S::Cancelled, I::Reopened, S::Running),
];

/// Where an input leads, if anywhere.
#[must_use]
pub(crate) fn next(state: RunState, input: RunInput) -> Option<RunState> {
    RUN_TABLE.iter().find(|(s, i, _)| *s == state && *i == input).map(|(_, _, to)| *to)
}
