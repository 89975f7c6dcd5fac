//! The transition table of a step.

use StepInput as I;
use StepState as S;
use aidt_domain::StepState;

/// What can happen to a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum StepInput {
    /// All needs ended well enough, and its condition holds.
    Wanted,
    /// A need did not succeed, or its condition is false.
    Unwanted,
    /// Its condition or arguments could not be rendered.
    Unrenderable,
    /// The gate allowed it: handed out.
    Allowed,
    /// The gate (now or, with a newer policy, at the step consumer) refused it.
    Refused,
    /// A process claimed it.
    Claimed,
    /// Its result: done.
    Succeeded,
    /// Its result: failed, and there is another attempt.
    FailedForNow,
    /// Its result: failed for good, or it waited or ran too long.
    FailedForGood,
    /// Its result: unclear, and its effect is `once`.
    Unclear,
    /// Handed back, lost, burned or based on an old head: to be dispatched again.
    Requeued,
    /// Not before some time.
    Deferred,
    /// The end of its backoff.
    Woken,
    /// The run is being cancelled, and nobody runs it (any more).
    Cancelled,
    /// A person wants it again: a new generation.
    Reopened,
}

impl StepInput {
    /// Every input, in the table's order.
    pub const ALL: &'static [Self] = &[
        I::Wanted,
        I::Unwanted,
        I::Unrenderable,
        I::Allowed,
        I::Refused,
        I::Claimed,
        I::Succeeded,
        I::FailedForNow,
        I::FailedForGood,
        I::Unclear,
        I::Requeued,
        I::Deferred,
        I::Woken,
        I::Cancelled,
        I::Reopened,
    ];
}

/// Every transition that there is; any other pair of state and input changes nothing.
pub const STEP_TABLE: &[(StepState, StepInput, StepState)] = &[
    (S::Pending, I::Wanted, S::Ready),
    (S::Pending, I::Unwanted, S::Skipped),
    (S::Pending, I::Unrenderable, S::Failed),
    (S::Pending, I::Cancelled, S::Cancelled),
    (S::Ready, I::Unrenderable, S::Failed),
    (S::Ready, I::Allowed, S::Dispatched),
    (S::Ready, I::Refused, S::Denied),
    (S::Ready, I::FailedForNow, S::BackingOff),
    (S::Ready, I::FailedForGood, S::Failed),
    (S::Ready, I::Cancelled, S::Cancelled),
    (S::Dispatched, I::Claimed, S::Running),
    (S::Dispatched, I::Refused, S::Denied),
    (S::Dispatched, I::Succeeded, S::Done),
    (S::Dispatched, I::FailedForNow, S::BackingOff),
    (S::Dispatched, I::FailedForGood, S::Failed),
    (S::Dispatched, I::Unclear, S::Unknown),
    (S::Dispatched, I::Requeued, S::Ready),
    (S::Dispatched, I::Deferred, S::BackingOff),
    (S::Dispatched, I::Cancelled, S::Cancelled),
    (S::Running, I::Refused, S::Denied),
    (S::Running, I::Succeeded, S::Done),
    (S::Running, I::FailedForNow, S::BackingOff),
    (S::Running, I::FailedForGood, S::Failed),
    (S::Running, I::Unclear, S::Unknown),
    (S::Running, I::Requeued, S::Ready),
    (S::Running, I::Deferred, S::BackingOff),
    (S::Running, I::Cancelled, S::Cancelled),
    (S::BackingOff, I::Woken, S::Ready),
    (S::BackingOff, I::FailedForGood, S::Failed),
    (S::BackingOff, I::Cancelled, S::Cancelled),
    (S::Unknown, I::Succeeded, S::Done),
    (S::Unknown, I::FailedForGood, S::Failed),
    (S::Unknown, I::Reopened, S::Pending),
    (S::Done, I::Reopened, S::Pending),
    (S::Failed, I::Reopened, S::Pending),
    (S::Skipped, I::Reopened, S::Pending),
    (S::Cancelled, I::Reopened, S::Pending),
    (S::Denied, I::Reopened, S::Pending),
];

/// Where an input leads, if anywhere. (`parked` is entered by steps that never enter a queue.)
#[must_use]
pub(crate) fn next(state: StepState, input: StepInput) -> Option<StepState> {
    // Built once per call site by the optimiser; the table is the definition.
    STEP_TABLE.iter().find(|(s, i, _)| *s == state && *i == input).map(|(_, _, to)| *to)
}
