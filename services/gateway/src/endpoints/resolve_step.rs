//! `POST /v1/runs/{id}/steps/{path}/resolve`: settle a step whose outcome nobody knows.

use crate::Api;
use crate::web::{Body, Caller, Problem, RunOf, StepOf};
use crate::write::apply;
use aidt_domain::{CommandBody, ErrorCode, MAX_INLINE_BYTES, ResolveAs, StepPath};
use axum::extract::State;
use axum::response::Response;
use serde::Deserialize;
use serde_json::Value;
use std::sync::Arc;

/// What a person found out.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Found {
    Done,
    Failed,
    Retry,
}

/// The body, where the path names the step.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Resolve {
    resolve: Found,
    output: Option<Value>,
    message: Option<String>,
}

/// The body, where it names the step itself.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ResolveStep {
    step: StepPath,
    resolve: Found,
    output: Option<Value>,
    message: Option<String>,
}

#[derive(Debug, thiserror::Error)]
enum Error {
    #[error("`output` belongs to `resolve: done` only")]
    Output,
    #[error("`message` belongs to `resolve: failed` only")]
    Message,
    #[error("the {0} takes {1} bytes; the limit is {MAX_INLINE_BYTES}")]
    TooLarge(&'static str, usize),
}

/// `{"resolve": "done", "output"?}`: it happened. `{"resolve": "failed", "message"?}`: it did not, or
/// does not count. `{"resolve": "retry"}`: do it again.
pub(crate) async fn handle(
    State(api): State<Arc<Api>>,
    caller: Caller,
    StepOf(run, step): StepOf,
    Body { value, .. }: Body<Resolve>,
) -> Result<Response, Problem> {
    let resolve = how(value)?;
    apply(&api, &caller, run, CommandBody::Resolve { step, resolve }).await?.into_answer()
}

/// `POST /v1/runs/{id}/resolve`: the same, with the step's path in the body.
pub(crate) async fn by_body(
    State(api): State<Arc<Api>>,
    caller: Caller,
    RunOf(run): RunOf,
    Body { value: ResolveStep { step, resolve, output, message }, .. }: Body<ResolveStep>,
) -> Result<Response, Problem> {
    let resolve = how(Resolve { resolve, output, message })?;
    apply(&api, &caller, run, CommandBody::Resolve { step, resolve }).await?.into_answer()
}

fn how(Resolve { resolve, output, message }: Resolve) -> Result<ResolveAs, Error> {
    match resolve {
        Found::Done if message.is_none() => {
            let output = output.unwrap_or(Value::Null);
            fits("output", output.to_string().len())?;
            Ok(ResolveAs::Done(output))
        }
        Found::Failed if output.is_none() => {
            let message = message.unwrap_or_else(|| "a person says that it failed".to_owned());
            fits("message", message.len())?;
            Ok(ResolveAs::Failed(message))
        }
        Found::Retry if output.is_none() && message.is_none() => Ok(ResolveAs::Retry),
        _ if output.is_some() => Err(Error::Output),
        _ => Err(Error::Message),
    }
}

fn fits(what: &'static str, len: usize) -> Result<(), Error> {
    if len > MAX_INLINE_BYTES { Err(Error::TooLarge(what, len)) } else { Ok(()) }
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        let code = match error {
            Error::TooLarge(..) => ErrorCode::TooLarge,
            Error::Output | Error::Message => ErrorCode::InvalidArgument,
        };
        Self::new(code, error)
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::{Owner, TestApp};
    use aidt_domain::{CommandBody, ErrorCode, EventBody, Failure, ResolveAs, RunId, StepIx, StepState};
    use serde_json::{Value, json};

    async fn unknown(app: &TestApp) -> RunId {
        let run = app.running().await;
        let error = Failure::transient(ErrorCode::WorkerLost, "gone");
        let event = (Some(StepIx(0)), EventBody::StepUnknown { error }, None);
        let write = crate::testing::Write {
            events: vec![event],
            steps: vec![(StepIx(0), StepState::Unknown)],
            ..Default::default()
        };
        let owner: Owner = app.owner();
        owner.write(run, write).await;
        run
    }

    #[tokio::test(start_paused = true)]
    async fn an_unknown_outcome_is_settled_by_path_or_by_body() {
        let app = TestApp::new().with_owner();
        let run = unknown(&app).await;
        let body = json!({"resolve": "done", "output": {"n": 1}});
        let json = app.post(&format!("/v1/runs/{run}/steps/a/resolve"), body).await.ok();
        assert_eq!(
            (&json["kind"], &json["output"], &json["step"]),
            (&json!("step_resolved"), &json!({"n": 1}), &json!("a"))
        );
        let run = unknown(&app).await;
        let body = json!({"step": "a", "resolve": "failed", "message": "it never arrived"});
        assert_eq!(app.post(&format!("/v1/runs/{run}/resolve"), body).await.ok()["resolve"], "failed");
        let body = json!({"step": "b", "resolve": "retry"});
        app.post(&format!("/v1/runs/{run}/resolve"), body).await.problem(409, "not_applicable");
    }

    #[tokio::test(start_paused = true)]
    async fn every_form_of_a_path_reaches_its_step() {
        let app = TestApp::new();
        let run = app.running().await;
        for (written, path) in
            [("@workspace", "@workspace"), ("a[3]", "a[3]"), ("a%5B3%5D", "a[3]"), ("child%2Fa.b", "child/a.b")]
        {
            app.post(&format!("/v1/runs/{run}/steps/{written}/resolve"), json!({"resolve": "retry"})).await;
            let rows = app.store.inbox.waiting(run).await.unwrap();
            let command = aidt_proto::decode_command(&rows.last().unwrap().command).unwrap();
            let step = path.parse().unwrap();
            assert_eq!(command.body, CommandBody::Resolve { step, resolve: ResolveAs::Retry });
        }
        app.post(&format!("/v1/runs/{run}/steps/%20/resolve"), json!({"resolve": "retry"}))
            .await
            .problem(404, "not_found");
    }

    #[tokio::test(start_paused = true)]
    async fn what_does_not_belong_together_is_refused() {
        let app = TestApp::new();
        let run = app.running().await;
        let refused = async |body: Value| {
            app.post(&format!("/v1/runs/{run}/steps/a/resolve"), body).await.problem(400, "invalid_argument")
        };
        assert!(refused(json!({"resolve": "retry", "output": 1})).await.contains("`output`"));
        assert!(refused(json!({"resolve": "done", "message": "x"})).await.contains("`message`"));
        assert!(refused(json!({"resolve": "undone"})).await.contains("undone"));
        assert!(refused(json!({})).await.contains("resolve"));
        let large = json!({"resolve": "done", "output": "x".repeat(300_000)});
        app.post(&format!("/v1/runs/{run}/steps/a/resolve"), large).await.problem(413, "too_large");
    }
}
