//! How a call ended, as the protocol says it.

use aidt_domain::{EffectHint, ErrorCode, Failure};
use aidt_grants::Refusal;
use aidt_proto::v1;
use aidt_tools::CallOutput;

/// Longer messages are cut: they stand in rows.
const MAX_MESSAGE: usize = 4096;

/// The tool answered.
pub(crate) fn done(output: CallOutput) -> v1::result::Outcome {
    v1::result::Outcome::Done(v1::Done {
        output: output.output,
        labels: output.labels.iter().map(str::to_owned).collect(),
        workspace: output.workspace.map(|change| v1::WorkspaceChange {
            base: change.base,
            commit: change.commit,
            paths: change.paths,
        }),
    })
}

/// The parts of a failure that travel.
pub(crate) fn failed(failure: Failure) -> v1::Failed {
    let mut message = failure.message;
    message.truncate(message.floor_char_boundary(MAX_MESSAGE));
    v1::Failed {
        code: failure.code.as_str().to_owned(),
        message,
        reason: failure.reason.unwrap_or_default(),
        no_effect: failure.effect == EffectHint::None,
        retryable: failure.retryable,
    }
}

/// A call that was not run because its grant does not hold.
pub(crate) fn refused(refusal: &Refusal) -> Failure {
    let (reason, effect, retryable) = match refusal {
        Refusal::BadMac => ("bad_mac", EffectHint::None, false),
        Refusal::LineBreak { .. } => ("line_break", EffectHint::None, false),
        Refusal::Expired { .. } => ("expired", EffectHint::None, true),
        // It was run, or runs: this refusal knows nothing of its effect.
        Refusal::SeenCall { .. } => ("seen_call", EffectHint::Maybe, true),
        Refusal::StaleDispatch { .. } => ("stale_dispatch", EffectHint::Maybe, false),
        Refusal::Sandbox { .. } => ("sandbox", EffectHint::None, false),
    };
    Failure {
        reason: Some(reason.to_owned()),
        effect,
        retryable,
        ..Failure::fatal(ErrorCode::GrantRefused, refusal.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_message_is_cut_between_characters() {
        let failure = Failure::fatal(ErrorCode::ToolFailed, "é".repeat(4000));
        let failed = failed(failure);
        assert_eq!(failed.message.len(), MAX_MESSAGE);
        assert!(failed.no_effect && !failed.retryable);
    }

    #[test]
    fn a_replayed_call_does_not_claim_that_nothing_happened() {
        let seen = refused(&Refusal::SeenCall { dispatch: 1, index: 0 });
        assert_eq!((seen.code, seen.effect), (ErrorCode::GrantRefused, EffectHint::Maybe));
        assert_eq!(refused(&Refusal::BadMac).effect, EffectHint::None);
    }
}
