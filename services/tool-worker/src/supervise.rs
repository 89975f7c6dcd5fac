//! One call, from its start to its outcome: whatever the tool does, there is one.

use crate::outcome;
use aidt_domain::{EffectHint, ErrorCode, Failure};
use aidt_proto::v1::result::Outcome;
use aidt_tools::{CheckedTool, ToolContext};
use bytes::Bytes;
use futures::FutureExt as _;
use std::any::Any;
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::time::sleep;

/// Runs the tool. When it is told to stop, or has run for longer than `limit`, it has `grace` to return;
/// then it is dropped. A panic is a failure of the call.
pub(crate) async fn supervise(
    tool: &CheckedTool,
    ctx: &ToolContext,
    arguments: &Bytes,
    limit: Option<Duration>,
    grace: Duration,
) -> Outcome {
    let timed_out = AtomicBool::new(false);
    let overdue = async {
        let limit = async {
            match limit {
                Some(limit) => sleep(limit).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            () = ctx.cancel.cancelled() => {}
            () = limit => timed_out.store(true, Ordering::Relaxed),
        }
        ctx.cancel.cancel();
        sleep(grace).await;
    };
    let result = tokio::select! {
        biased;
        result = AssertUnwindSafe(tool.call(ctx, arguments)).catch_unwind() => {
            result.unwrap_or_else(|payload| Err(panicked(tool, &*payload)))
        }
        () = overdue => Err(Failure {
            effect: EffectHint::Maybe,
            ..Failure::fatal(ErrorCode::Cancelled, "the tool did not stop when told to, and was dropped")
        }),
    };
    match result {
        Ok(output) => outcome::done(output),
        Err(failure) if timed_out.load(Ordering::Relaxed) => Outcome::Failed(outcome::failed(Failure {
            code: ErrorCode::TimeoutRun,
            message: "the tool ran for longer than the step allows".to_owned(),
            retryable: true,
            ..failure
        })),
        Err(failure) if ctx.cancel.is_cancelled() => Outcome::Cancelled(outcome::failed(failure)),
        Err(failure) => Outcome::Failed(outcome::failed(failure)),
    }
}

fn panicked(tool: &CheckedTool, payload: &(dyn Any + Send)) -> Failure {
    let said = payload.downcast_ref::<&str>().copied();
    let said = said.or_else(|| payload.downcast_ref::<String>().map(String::as_str));
    let name = &tool.entry().name;
    tracing::error!(tool = name, panic = said, "a tool panicked");
    Failure {
        retryable: false,
        reason: Some("panic".to_owned()),
        ..Failure::transient(ErrorCode::ToolFailed, format!("{name} panicked: {}", said.unwrap_or("it gave no reason")))
    }
}
