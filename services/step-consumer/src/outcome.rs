//! What an owner is told, by class of effect, by why the call was stopped, and by what is known of its end.
//!
//! | told to stop | the worker says | `read`, `idempotent` | `once` |
//! |---|---|---|---|
//! | (any) | done | `Done` | `Done` |
//! | no, drain, fence | failed | `Failed` | `Failed` |
//! | no, drain, fence | cancelled, no effect | `Released` | `Released` |
//! | no, drain, fence | cancelled, or nothing | `Released` | `Failed(worker_lost, maybe)` |
//! | asked | failed, cancelled | as it says | as it says |
//! | asked | nothing | `Cancelled(maybe)` | `Cancelled(maybe)` |
//! | timeout | failed, cancelled | `Failed(timeout, as it says)` | the same |
//! | timeout | nothing | `Failed(timeout, maybe)` | the same |
//! | (any but asked, timeout) | never begun | `Released` | `Released` |
//! | no, drain, fence | refused before it began | `Deferred` | `Deferred` |

use crate::workers::{Ended, ToolResult};
use aidt_domain::{Effect, EffectHint, ErrorCode, Failure, Outcome};

/// Why a call was told to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cause {
    /// The owner wants it.
    Asked,
    /// It ran longer than it may.
    RunTimeout,
    /// It said nothing for longer than it may.
    Silence,
    /// This process may be taken for dead.
    Fenced,
    /// This process ends.
    Drain,
}

impl Cause {
    /// What the worker is told.
    pub(crate) fn reason(self) -> &'static str {
        match self {
            Self::Asked => "cancelled",
            Self::RunTimeout => "timeout_run",
            Self::Silence => "timeout_heartbeat",
            Self::Fenced => "the step consumer lost its heartbeat",
            Self::Drain => "the step consumer shuts down",
        }
    }
}

/// What to report. `result` is `None` when the worker did not answer within the grace.
pub(crate) fn outcome(effect: Effect, cause: Option<Cause>, result: Option<ToolResult>) -> Outcome {
    if let Some(ToolResult::Done { output, labels, workspace }) = result {
        return Outcome::Done { output, labels, workspace };
    }
    if let Some(ToolResult::Failed(failure)) = &result
        && effect != Effect::Once
        && is_repetition(failure)
    {
        return Outcome::Released;
    }
    match cause {
        None | Some(Cause::Drain | Cause::Fenced) => lost(effect, result),
        Some(Cause::Asked) => Outcome::Cancelled(match result {
            Some(ToolResult::Failed(failure)) => return Outcome::Failed(failure),
            Some(ToolResult::Cancelled(failure)) => failure,
            Some(ToolResult::Lost { started: false }) => cancelled(EffectHint::None, "it had not begun"),
            _ => cancelled(EffectHint::Maybe, "it did not say in time what happened"),
        }),
        Some(Cause::RunTimeout) => Outcome::Failed(timeout(ErrorCode::TimeoutRun, result)),
        Some(Cause::Silence) => Outcome::Failed(timeout(ErrorCode::TimeoutHeartbeat, result)),
    }
}

/// A loss that the step is not to blame for spends no attempt, where nothing speaks against another try.
fn lost(effect: Effect, result: Option<ToolResult>) -> Outcome {
    let hint = match result {
        Some(ToolResult::Failed(failure)) => return Outcome::Failed(failure),
        Some(ToolResult::Cancelled(failure)) => failure.effect,
        Some(ToolResult::Lost { started: false }) => EffectHint::None,
        _ => EffectHint::Maybe,
    };
    if hint == EffectHint::None || effect != Effect::Once {
        return Outcome::Released;
    }
    Outcome::Failed(Failure {
        retryable: false,
        ..Failure::transient(
            ErrorCode::WorkerLost,
            "the worker was lost during the call; nobody knows whether its effect happened",
        )
    })
}

/// A cancel that is known, or not, to have come before the effect.
pub(crate) fn cancelled(effect: EffectHint, message: &str) -> Failure {
    Failure { effect, ..Failure::fatal(ErrorCode::Cancelled, message) }
}

fn timeout(code: ErrorCode, result: Option<ToolResult>) -> Failure {
    let (effect, said) = match result {
        Some(ToolResult::Failed(failure) | ToolResult::Cancelled(failure)) => (failure.effect, failure.message),
        Some(ToolResult::Lost { started: false }) => (EffectHint::None, "it had not begun".to_owned()),
        _ => (EffectHint::Maybe, "it did not stop in time when told to".to_owned()),
    };
    let message = if said.is_empty() { code.title().to_owned() } else { format!("{}: {said}", code.title()) };
    Failure { effect, ..Failure::transient(code, message) }
}

/// A worker refused the call before it began, and another try may fare better: its grant came too late,
/// it is full, its tool has changed. No attempt is spent on that.
pub(crate) fn is_refusal(cause: Option<Cause>, ended: &Ended) -> bool {
    use ErrorCode::{GrantRefused, Overloaded, ToolChanged, Unavailable};
    let ToolResult::Failed(failure) = &ended.result else { return false };
    let told = matches!(cause, Some(Cause::Asked | Cause::RunTimeout | Cause::Silence));
    let before = ended.began_ago.is_none() && failure.effect == EffectHint::None;
    let code = matches!(failure.code, GrantRefused | Overloaded | ToolChanged | Unavailable);
    !told && before && failure.retryable && code
}

/// The worker has this very dispatch from an earlier life of a consumer. Nobody knows what came of that, but
/// the effect may be repeated: under the next dispatch it is, and no attempt is spent.
fn is_repetition(failure: &Failure) -> bool {
    let seen = matches!(failure.reason.as_deref(), Some("seen_call" | "stale_dispatch"));
    failure.code == ErrorCode::GrantRefused && seen
}

/// The queue deadline passed before the start.
pub(crate) fn queue_timeout() -> Failure {
    Failure { retryable: true, ..Failure::fatal(ErrorCode::TimeoutQueue, ErrorCode::TimeoutQueue.title()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use EffectHint::{Maybe, None as NoEffect};
    use bytes::Bytes;

    const EFFECTS: [Effect; 3] = [Effect::Read, Effect::Idempotent, Effect::Once];
    const CAUSES: [Option<Cause>; 6] = [
        None,
        Some(Cause::Asked),
        Some(Cause::RunTimeout),
        Some(Cause::Silence),
        Some(Cause::Fenced),
        Some(Cause::Drain),
    ];

    fn done() -> ToolResult {
        ToolResult::Done { output: Bytes::from_static(b"1"), labels: aidt_domain::Labels::NONE, workspace: None }
    }

    fn failed(effect: EffectHint) -> ToolResult {
        ToolResult::Failed(Failure { effect, ..Failure::fatal(ErrorCode::ToolFailed, "broke") })
    }

    fn stopped(effect: EffectHint) -> ToolResult {
        ToolResult::Cancelled(cancelled(effect, "stopped"))
    }

    fn code(outcome: &Outcome) -> Option<(ErrorCode, EffectHint)> {
        match outcome {
            Outcome::Failed(f) | Outcome::Cancelled(f) => Some((f.code, f.effect)),
            _ => None,
        }
    }

    #[test]
    fn a_call_that_finished_anyway_reports_done() {
        for (effect, cause) in EFFECTS.into_iter().flat_map(|e| CAUSES.map(|c| (e, c))) {
            assert!(matches!(outcome(effect, cause, Some(done())), Outcome::Done { .. }));
        }
    }

    #[test]
    fn an_ambiguous_once_is_never_released() {
        let ambiguous = [None, Some(ToolResult::Lost { started: true }), Some(stopped(Maybe))];
        for (cause, result) in CAUSES.into_iter().flat_map(|c| ambiguous.clone().map(|r| (c, r))) {
            let told = outcome(Effect::Once, cause, result);
            assert_eq!(code(&told).map(|(_, effect)| effect), Some(Maybe), "{cause:?} {told:?}");
        }
    }

    #[test]
    fn a_lost_executor_spends_no_attempt() {
        for result in [None, Some(ToolResult::Lost { started: true }), Some(stopped(Maybe))] {
            assert_eq!(outcome(Effect::Read, None, result.clone()), Outcome::Released);
            assert_eq!(outcome(Effect::Idempotent, Some(Cause::Drain), result), Outcome::Released);
        }
        for effect in EFFECTS {
            assert_eq!(outcome(effect, None, Some(ToolResult::Lost { started: false })), Outcome::Released);
            assert_eq!(outcome(effect, Some(Cause::Fenced), Some(stopped(NoEffect))), Outcome::Released);
        }
        assert_eq!(
            code(&outcome(Effect::Once, None, Some(ToolResult::Lost { started: true }))),
            Some((ErrorCode::WorkerLost, Maybe))
        );
    }

    #[test]
    fn only_the_worker_may_say_that_there_was_no_effect() {
        for effect in EFFECTS {
            let told = |result| code(&outcome(effect, Some(Cause::RunTimeout), result));
            assert_eq!(told(None), Some((ErrorCode::TimeoutRun, Maybe)));
            assert_eq!(told(Some(stopped(NoEffect))), Some((ErrorCode::TimeoutRun, NoEffect)));
            assert_eq!(told(Some(failed(Maybe))), Some((ErrorCode::TimeoutRun, Maybe)));
            let told = |result| code(&outcome(effect, Some(Cause::Asked), result));
            assert_eq!(told(None), Some((ErrorCode::Cancelled, Maybe)));
            assert_eq!(told(Some(stopped(NoEffect))), Some((ErrorCode::Cancelled, NoEffect)));
            assert_eq!(told(Some(failed(NoEffect))), Some((ErrorCode::ToolFailed, NoEffect)));
        }
        assert_eq!(
            code(&outcome(Effect::Read, Some(Cause::Silence), None)),
            Some((ErrorCode::TimeoutHeartbeat, Maybe))
        );
    }

    #[test]
    fn a_refusal_before_the_start_spends_no_attempt() {
        let ended = |failure, began_ago| Ended { result: ToolResult::Failed(failure), worker: "".into(), began_ago };
        let expired = Failure { retryable: true, ..Failure::fatal(ErrorCode::GrantRefused, "expired") };
        assert!(is_refusal(None, &ended(expired.clone(), None)));
        assert!(is_refusal(Some(Cause::Drain), &ended(expired.clone(), None)));
        assert!(!is_refusal(Some(Cause::Asked), &ended(expired.clone(), None)));
        assert!(!is_refusal(None, &ended(expired.clone(), Some(std::time::Duration::ZERO))), "it began");
        let maybe = Failure { effect: Maybe, ..expired.clone() };
        let forged = Failure { retryable: false, ..expired.clone() };
        let own = Failure { code: ErrorCode::ToolFailed, ..expired };
        for other in [maybe, forged, own] {
            assert!(!is_refusal(None, &ended(other, None)));
        }
    }

    #[test]
    fn a_call_that_the_worker_has_already_is_dispatched_again_unless_its_effect_is_once() {
        let seen = Failure {
            reason: Some("seen_call".into()),
            ..Failure::transient(ErrorCode::GrantRefused, "this very call was taken before")
        };
        let result = || Some(ToolResult::Failed(seen.clone()));
        assert_eq!(outcome(Effect::Read, None, result()), Outcome::Released);
        assert_eq!(outcome(Effect::Idempotent, None, result()), Outcome::Released);
        assert_eq!(outcome(Effect::Once, None, result()), Outcome::Failed(seen.clone()));
    }

    #[test]
    fn a_queue_timeout_had_no_effect() {
        assert_eq!(queue_timeout().effect, NoEffect);
    }
}
