//! What crosses a worker's stream, between the wire and the domain. Everything a worker says is checked
//! here, and what breaks a limit becomes a clear failure of that one call.

use super::json;
use crate::workers::ToolResult;
use aidt_domain::{
    DispatchNo, EffectHint, ErrorCode, Failure, Labels, MAX_INLINE_BYTES, RunId, StepMessage, StepPath, WorkspaceChange,
};
use aidt_proto::v1::{self, hub_frame, result};
use bytes::Bytes;

const MAX_MESSAGE_CHARS: usize = 4096;
const MAX_LABELS: usize = 64;
const MAX_LABEL_BYTES: usize = 256;
const MAX_PATHS: usize = 10_000;

/// Names a call between hub and worker.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct CallId {
    pub(super) run: RunId,
    pub(super) step: StepPath,
    pub(super) dispatch: DispatchNo,
    pub(super) index: u32,
}

impl CallId {
    pub(super) fn of(step: &StepMessage, index: u32) -> Self {
        Self { run: step.run, step: step.path.clone(), dispatch: step.dispatch, index }
    }

    pub(super) fn read(id: Option<&v1::CallId>) -> Option<Self> {
        let id = id?;
        Some(Self {
            run: id.run.parse().ok()?,
            step: StepPath::new(&id.step).ok()?,
            dispatch: DispatchNo(id.dispatch),
            index: id.index,
        })
    }

    pub(super) fn write(&self) -> v1::CallId {
        v1::CallId {
            run: self.run.to_string(),
            step: self.step.to_string(),
            dispatch: self.dispatch.0,
            index: self.index,
        }
    }
}

/// A result, checked.
#[derive(Clone, Debug)]
pub(super) struct Said {
    pub(super) id: CallId,
    pub(super) route: Bytes,
    pub(super) result: ToolResult,
    /// The worker's own clock; `None`: it never began.
    pub(super) started_ms: Option<i64>,
}

/// `None` when it does not say which call it is of, or nothing of how that ended.
pub(super) fn read_result(result: v1::Result) -> Option<Said> {
    let id = CallId::read(result.id.as_ref())?;
    let said = match result.outcome? {
        result::Outcome::Done(done) => read_done(done),
        result::Outcome::Failed(failed) => ToolResult::Failed(read_failure(failed, ErrorCode::ToolFailed)),
        result::Outcome::Cancelled(failed) => ToolResult::Cancelled(read_failure(failed, ErrorCode::Cancelled)),
    };
    let started_ms = Some(result.started_ms).filter(|ms| *ms > 0);
    Some(Said { id, route: result.route, result: said, started_ms })
}

fn read_done(done: v1::Done) -> ToolResult {
    let size = done.output.len();
    if size > MAX_INLINE_BYTES {
        let message = format!("the output has {size} bytes, the limit is {MAX_INLINE_BYTES}; use an artifact");
        return refuse(ErrorCode::TooLarge, message);
    }
    if let Err(error) = json::check(&done.output) {
        return refuse(ErrorCode::OutputInvalid, format!("the output is not JSON: {error}"));
    }
    if done.labels.len() > MAX_LABELS || done.labels.iter().any(|l| l.len() > MAX_LABEL_BYTES) {
        let message = format!("more than {MAX_LABELS} labels, or one of more than {MAX_LABEL_BYTES} bytes");
        return refuse(ErrorCode::OutputInvalid, message);
    }
    let workspace = match done.workspace {
        Some(change) if change.paths.len() > MAX_PATHS => {
            let message = format!("{} paths were changed, the limit is {MAX_PATHS}", change.paths.len());
            return refuse(ErrorCode::TooLarge, message);
        }
        change => change.map(|v1::WorkspaceChange { base, commit, paths }| WorkspaceChange { base, commit, paths }),
    };
    let labels: Labels = done.labels.iter().map(String::as_str).collect();
    ToolResult::Done { output: done.output, labels, workspace }
}

/// The tool did its work; what it says of it cannot be taken.
fn refuse(code: ErrorCode, message: String) -> ToolResult {
    ToolResult::Failed(Failure { effect: EffectHint::Maybe, ..Failure::fatal(code, message) })
}

fn read_failure(failed: v1::Failed, fallback: ErrorCode) -> Failure {
    let reason = Some(cut(failed.reason)).filter(|reason| !reason.is_empty());
    Failure {
        code: failed.code.parse().unwrap_or(fallback),
        message: cut(failed.message),
        reason,
        step: None,
        effect: if failed.no_effect { EffectHint::None } else { EffectHint::Maybe },
        retryable: failed.retryable,
    }
}

/// Text of a worker's, cut where it becomes unreasonable.
pub(super) fn cut(text: String) -> String {
    match text.char_indices().nth(MAX_MESSAGE_CHARS) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

pub(super) fn frame(frame: hub_frame::Frame) -> v1::HubFrame {
    v1::HubFrame { frame: Some(frame) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn result(outcome: result::Outcome) -> v1::Result {
        let id = CallId {
            run: RunId(uuid::Uuid::from_u128(7)),
            step: StepPath::new("build[3]").unwrap(),
            dispatch: DispatchNo(2),
            index: 0,
        };
        v1::Result { id: Some(id.write()), outcome: Some(outcome), ..v1::Result::default() }
    }

    fn done(output: impl Into<Bytes>) -> v1::Result {
        result(result::Outcome::Done(v1::Done { output: output.into(), ..v1::Done::default() }))
    }

    fn code(said: Option<Said>) -> Option<(ErrorCode, EffectHint)> {
        match said?.result {
            ToolResult::Failed(f) | ToolResult::Cancelled(f) => Some((f.code, f.effect)),
            _ => None,
        }
    }

    #[test]
    fn an_output_over_the_limit_is_a_clear_failure() {
        let at_limit = format!("\"{}\"", "x".repeat(MAX_INLINE_BYTES - 2));
        assert_eq!(code(read_result(done(at_limit))), None);
        let over = format!("\"{}\"", "x".repeat(MAX_INLINE_BYTES - 1));
        assert_eq!(code(read_result(done(over))), Some((ErrorCode::TooLarge, EffectHint::Maybe)));
    }

    #[test]
    fn an_output_that_is_not_json_is_a_failure_of_its_call() {
        assert_eq!(code(read_result(done("{"))), Some((ErrorCode::OutputInvalid, EffectHint::Maybe)));
    }

    #[test]
    fn an_unknown_code_is_a_failed_tool_and_silence_about_the_effect_means_maybe() {
        let failed = v1::Failed { code: "strange".to_owned(), ..v1::Failed::default() };
        let said = read_result(result(result::Outcome::Failed(failed.clone())));
        assert_eq!(code(said), Some((ErrorCode::ToolFailed, EffectHint::Maybe)));
        let clean = v1::Failed { no_effect: true, ..failed };
        let said = read_result(result(result::Outcome::Cancelled(clean)));
        assert_eq!(code(said), Some((ErrorCode::Cancelled, EffectHint::None)));
    }

    #[test]
    fn a_result_that_names_no_call_is_nobodys() {
        assert!(read_result(v1::Result { id: None, ..done("1") }).is_none());
        assert!(read_result(v1::Result { outcome: None, ..done("1") }).is_none());
        let id = v1::CallId { run: "run_7".to_owned(), ..v1::CallId::default() };
        assert!(read_result(v1::Result { id: Some(id), ..done("1") }).is_none());
    }
}
