//! What operators see of a call as the worker runs it: its span and its duration.

use aidt_proto::v1::result::Outcome;
use aidt_proto::v1::{Call, CallId};
use aidt_telemetry::{Kind, Scope, Span, instruments};
use tokio::time::Instant;

/// A tool that runs.
pub(crate) struct Executing {
    span: Span,
    tool: String,
    began: Instant,
}

impl Executing {
    /// It is about to.
    pub(crate) fn begin(call: &Call) -> Self {
        Self { span: execute(call), tool: call.tool.clone(), began: Instant::now() }
    }

    /// It ended.
    pub(crate) fn end(mut self, outcome: &Outcome) {
        let error = match outcome {
            Outcome::Failed(failed) | Outcome::Cancelled(failed) => Some(failed.code.as_str()),
            _ => None,
        };
        if let Some(code) = error {
            self.span.fail(code, format_args!("the tool ended as {code}"));
        }
        if let Some(instruments) = instruments() {
            instruments.tool_ended(&self.tool, error, self.began.elapsed());
        }
    }
}

fn execute(call: &Call) -> Span {
    let parent = Some(call.traceparent.as_str());
    let mut span = Span::child(Scope::ToolWorker, Kind::Server, parent, format_args!("execute {}", call.tool));
    if let (Some(CallId { run, step, dispatch, .. }), true) = (&call.id, span.is_recorded()) {
        span.set("rpc.system.name", "grpc");
        span.set("aidt.run.id", run.as_str());
        span.set("aidt.step.path", step.as_str());
        span.set("aidt.dispatch", *dispatch);
        span.set("aidt.attempt", call.attempt);
        span.set("aidt.tool", call.tool.as_str());
    }
    span
}
