//! The one catalogue of error codes: HTTP status, gRPC status, CLI exit code, title and help of each.

use crate::{EffectHint, StepPath};
use serde::{Deserialize, Serialize};

macro_rules! catalogue {
    ($($(#[$doc:meta])* $variant:ident = $code:literal, $http:literal, $grpc:literal, $exit:literal, $title:literal, $help:literal;)*) => {
        /// What went wrong, as a stable word. The gateway answers `/errors/CODE` from this.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(rename_all = "snake_case")]
        pub enum ErrorCode { $($(#[$doc])* $variant,)* }

        impl ErrorCode {
            /// Every code, in the catalogue's order.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];
            /// As stored and shown.
            #[must_use]
            pub fn as_str(self) -> &'static str { match self { $(Self::$variant => $code,)* } }
            /// HTTP status of a problem document.
            #[must_use]
            pub fn http_status(self) -> u16 { match self { $(Self::$variant => $http,)* } }
            /// gRPC status code number.
            #[must_use]
            pub fn grpc_status(self) -> i32 { match self { $(Self::$variant => $grpc,)* } }
            /// Exit code of the CLI.
            #[must_use]
            pub fn exit_code(self) -> u8 { match self { $(Self::$variant => $exit,)* } }
            /// One line, the same for every occurrence.
            #[must_use]
            pub fn title(self) -> &'static str { match self { $(Self::$variant => $title,)* } }
            /// What to do about it.
            #[must_use]
            pub fn help(self) -> &'static str { match self { $(Self::$variant => $help,)* } }
        }
    };
}

catalogue! {
    /// The document is not a plan.
    InvalidPlan = "invalid_plan", 400, 3, 2, "the plan is not valid",
        "mend the places that the errors name; `aidt plan check FILE` shows them without running anything";
    /// Inputs do not fit the plan's `inputs`.
    InvalidInputs = "invalid_inputs", 400, 3, 2, "the inputs do not fit the plan",
        "give each required input with --set NAME=VALUE, of the type that the plan states";
    /// A request or a tool's arguments are malformed.
    InvalidArgument = "invalid_argument", 400, 3, 2, "an argument is not valid",
        "the message names the argument and its form";
    /// No credentials, or wrong ones.
    Unauthenticated = "unauthenticated", 401, 16, 2, "the caller is not known",
        "present a valid token";
    /// Not allowed for this caller.
    Forbidden = "forbidden", 403, 7, 3, "the caller may not do this",
        "ask somebody with the right role, or come through an allowed host and origin";
    /// Nothing of that name.
    NotFound = "not_found", 404, 5, 2, "there is no such thing",
        "`aidt runs ls` and `aidt tools ls` list what there is";
    /// The path exists, not with this method.
    MethodNotAllowed = "method_not_allowed", 405, 12, 2, "the method is not allowed here",
        "the Allow header lists what is";
    /// The command does not fit the state that the run or step is in.
    NotApplicable = "not_applicable", 409, 9, 2, "the command does not fit the state",
        "look at the state with `aidt runs get RUN`; the first applied command wins a race";
    /// The same idempotency key came with another body.
    IdempotencyKeyReused = "idempotency_key_reused", 422, 6, 2, "the idempotency key was used with another body",
        "use a new key for a new request; a key is kept for 24 h";
    /// A size limit.
    TooLarge = "too_large", 413, 8, 2, "this is larger than the limit",
        "the message names the limit; put large values into an artifact";
    /// A body that is not JSON by its Content-Type.
    UnsupportedMediaType = "unsupported_media_type", 415, 3, 2, "the body is not of a type that is taken",
        "send the body as JSON, with Content-Type: application/json";
    /// Too many requests.
    RateLimited = "rate_limited", 429, 8, 69, "too many requests",
        "try again after the time in Retry-After";
    /// The server sheds load.
    Overloaded = "overloaded", 503, 14, 69, "the server has too much to do",
        "try again after the time in Retry-After";
    /// The server, or what it needs, cannot be reached.
    Unavailable = "unavailable", 503, 14, 69, "the server cannot be reached",
        "is `aidt serve` running, and are its database and queue? see `aidt serve` and its log";
    /// A request took too long.
    RequestTimeout = "request_timeout", 408, 4, 69, "the request took too long",
        "try again; ask for less at once";
    /// Waiting ended before the run did.
    WaitTimeout = "wait_timeout", 504, 4, 7, "the run had not ended when waiting did",
        "the run goes on; `aidt runs watch RUN` follows it";
    /// A step failed, and with it the run.
    StepFailed = "step_failed", 500, 10, 1, "a step failed",
        "the step's error says why; `aidt runs retry RUN` tries the failed steps again";
    /// The tool reported a failure.
    ToolFailed = "tool_failed", 500, 10, 1, "the tool failed",
        "the message is the tool's own";
    /// An expression could not be evaluated.
    ExpressionFailed = "expression_failed", 400, 3, 1, "an expression could not be evaluated",
        "the message names the expression; check the shape of the outputs that it reads";
    /// A tool's output does not fit its schema.
    OutputInvalid = "output_invalid", 500, 10, 1, "an output does not fit its schema",
        "mend the tool, or the schema in its catalogue entry";
    /// Waited too long for a worker.
    TimeoutQueue = "timeout_queue", 504, 4, 1, "no worker took the step in time",
        "start more workers for the pool, or raise the step's timeout.queue";
    /// Ran too long.
    TimeoutRun = "timeout_run", 504, 4, 1, "the step ran longer than allowed",
        "raise the step's timeout.run, or make it do less";
    /// The worker went silent.
    TimeoutHeartbeat = "timeout_heartbeat", 504, 4, 1, "the worker said nothing for too long",
        "report progress from the tool, or raise the step's timeout.heartbeat";
    /// The worker or its step consumer vanished during a call.
    WorkerLost = "worker_lost", 503, 14, 1, "the worker was lost during the call",
        "the step is dispatched again by itself unless its effect is once";
    /// Refused by policy, permissions or an approver.
    Denied = "denied", 403, 7, 3, "a capability was denied",
        "the decision's reasons say which rule; change the plan's permissions or the policy";
    /// The worker refused the grant.
    GrantRefused = "grant_refused", 403, 7, 1, "the worker refused the grant",
        "clocks, keys or arguments disagree between step consumer and worker; see the message";
    /// No worker serves the tool as the catalogue has it.
    ToolChanged = "tool_changed", 409, 9, 1, "no worker serves this version of the tool",
        "start a worker that announces the tool with the schema that the catalogue states";
    /// Nothing left to spend.
    BudgetExhausted = "budget_exhausted", 402, 8, 5, "the budget is exhausted",
        "raise the plan's budget and retry the run";
    /// A `once` effect whose outcome nobody knows.
    UnknownOutcome = "unknown_outcome", 409, 9, 6, "it is not known whether an effect happened",
        "find out, then `aidt runs resolve RUN STEP done|failed|retry`";
    /// Ended by request.
    Cancelled = "cancelled", 499, 1, 130, "it was cancelled",
        "`aidt runs retry RUN` runs what was left";
    /// Two steps changed the same thing.
    WorkspaceConflict = "workspace_conflict", 409, 10, 1, "two steps changed the same paths",
        "let one step need the other";
    /// The workspace could not be prepared.
    WorkspaceFailed = "workspace_failed", 400, 9, 1, "the workspace could not be prepared",
        "check the path or URL under workspace.git, and that it may be read";
    /// A defect of aidt's.
    Internal = "internal", 500, 13, 1, "aidt failed",
        "this is a defect; the log and `aidt events RUN` have the details";
}

impl std::fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.as_str())
    }
}

impl std::str::FromStr for ErrorCode {
    type Err = crate::IdError;

    fn from_str(s: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .iter()
            .copied()
            .find(|c| c.as_str() == s)
            .ok_or_else(|| crate::IdError::new("error code", s, "a word of the error catalogue"))
    }
}

/// Why a step or a run failed: stored, shown, and matched by a retry policy's `not_on`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{code}: {message}")]
pub struct Failure {
    /// The stable word.
    pub code: ErrorCode,
    /// What happened here, for a person.
    pub message: String,
    /// The tool's own word for it, if it gave one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The step that is the cause (in a run's error).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step: Option<StepPath>,
    /// What is known of the effect.
    #[serde(default)]
    pub effect: EffectHint,
    /// Whether another attempt could fare better.
    #[serde(default)]
    pub retryable: bool,
}

impl Failure {
    /// A failure that another attempt would only repeat, of an effect that did not happen.
    #[must_use]
    pub fn fatal(code: ErrorCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), reason: None, step: None, effect: EffectHint::None, retryable: false }
    }

    /// A failure that another attempt may mend; whether it had an effect is not known.
    #[must_use]
    pub fn transient(code: ErrorCode, message: impl Into<String>) -> Self {
        Self { effect: EffectHint::Maybe, retryable: true, ..Self::fatal(code, message) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_read_back_and_agree_with_serde() {
        for &code in ErrorCode::ALL {
            assert_eq!(code.as_str().parse(), Ok(code));
            assert_eq!(serde_json::to_value(code).unwrap(), code.as_str());
        }
    }
}
