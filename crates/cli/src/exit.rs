//! Exit codes: a contract, listed in `docs/reference/cli.md`.

use aidt_domain::{ErrorCode, RunState};

/// How the process ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exit {
    /// The process's exit code.
    pub code: u8,
    /// End the process now, without draining anything: a second Ctrl-C.
    pub at_once: bool,
}

impl Exit {
    /// It went well.
    pub const DONE: Self = Self::of(0);
    /// The run failed, or aidt did.
    pub const FAILED: Self = Self::of(1);
    /// The command line, the plan or its inputs are at fault.
    pub const BAD_INPUT: Self = Self::of(2);
    /// Policy, permissions or an approver refused.
    pub const DENIED: Self = Self::of(3);
    /// Only an approval is missing.
    pub const APPROVAL: Self = Self::of(4);
    /// Nothing left to spend.
    pub const BUDGET: Self = Self::of(5);
    /// Nothing left but steps whose outcome nobody knows.
    pub const UNKNOWN_OUTCOME: Self = Self::of(6);
    /// Waiting ended before the run did.
    pub const TIMED_OUT: Self = Self::of(7);
    /// The server, or what it needs, cannot be reached.
    pub const UNAVAILABLE: Self = Self::of(69);
    /// Ended by request.
    pub const CANCELLED: Self = Self::of(130);
    /// Ended by a request that would not wait.
    pub const KILLED: Self = Self { at_once: true, ..Self::CANCELLED };

    /// Every code with its meaning.
    pub const ALL: &'static [(Self, &'static str)] = &[
        (Self::DONE, "done"),
        (Self::FAILED, "failed"),
        (Self::BAD_INPUT, "bad input"),
        (Self::DENIED, "denied"),
        (Self::APPROVAL, "waits for an approval"),
        (Self::BUDGET, "the budget is exhausted"),
        (Self::UNKNOWN_OUTCOME, "unknown outcome"),
        (Self::TIMED_OUT, "waiting timed out"),
        (Self::UNAVAILABLE, "server unavailable"),
        (Self::CANCELLED, "cancelled"),
    ];

    const fn of(code: u8) -> Self {
        Self { code, at_once: false }
    }

    /// The code of a command that failed.
    #[must_use]
    pub fn of_error(code: ErrorCode) -> Self {
        Self::of(code.exit_code())
    }

    /// The code of a run that is in this state, and of its error.
    ///
    /// What made a run fail is not the caller's bad input, whatever its word: that is for what was
    /// refused before there was a run.
    #[must_use]
    pub fn of_run(state: RunState, error: Option<ErrorCode>) -> Self {
        match (state, error.map(Self::of_error)) {
            (RunState::Done, _) => Self::DONE,
            (RunState::Cancelled, _) => Self::CANCELLED,
            (RunState::Failed, Some(exit @ (Self::DENIED | Self::BUDGET | Self::UNKNOWN_OUTCOME))) => exit,
            (RunState::Failed, _) => Self::FAILED,
            _ => Self::TIMED_OUT,
        }
    }

    /// In words.
    #[must_use]
    pub fn meaning(self) -> &'static str {
        Self::ALL.iter().find(|(exit, _)| exit.code == self.code).map_or("failed", |(_, meaning)| meaning)
    }
}

impl From<Exit> for std::process::ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_that_failed_has_the_code_of_its_kind() {
        for (state, error, code) in [
            (RunState::Done, None, 0),
            (RunState::Failed, Some(ErrorCode::ToolFailed), 1),
            (RunState::Failed, Some(ErrorCode::InvalidArgument), 1),
            (RunState::Failed, Some(ErrorCode::WorkerLost), 1),
            (RunState::Failed, Some(ErrorCode::Cancelled), 1),
            (RunState::Failed, None, 1),
            (RunState::Failed, Some(ErrorCode::Denied), 3),
            (RunState::Failed, Some(ErrorCode::BudgetExhausted), 5),
            (RunState::Failed, Some(ErrorCode::UnknownOutcome), 6),
            (RunState::Cancelled, Some(ErrorCode::Cancelled), 130),
            (RunState::Running, None, 7),
        ] {
            assert_eq!(Exit::of_run(state, error).code, code, "{state} {error:?}");
        }
    }

    #[test]
    fn every_error_code_exits_with_a_code_of_the_contract() {
        for &code in ErrorCode::ALL {
            let exit = Exit::of_error(code);
            assert!(Exit::ALL.iter().any(|(e, _)| *e == exit), "{code} exits with {}", exit.code);
        }
    }
}
