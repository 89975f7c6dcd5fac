//! `POST /v1/runs/{id}/retry`: run steps again.

use crate::Api;
use crate::web::{Body, Caller, Problem, RunOf};
use crate::write::apply;
use aidt_domain::{CommandBody, RetryScope, StepPath};
use axum::extract::State;
use axum::response::Response;
use serde::Deserialize;
use std::sync::Arc;

/// Which steps.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Retry {
    step: Option<StepPath>,
}

/// Reopens a run that has ended: the step and all downstream of it, or, without one, all that failed,
/// were denied or cancelled, and what was skipped for them. Their generation rises.
pub(crate) async fn handle(
    State(api): State<Arc<Api>>,
    caller: Caller,
    RunOf(run): RunOf,
    Body { value: Retry { step }, .. }: Body<Retry>,
) -> Result<Response, Problem> {
    let scope = step.map_or(RetryScope::Failed, RetryScope::From);
    apply(&api, &caller, run, CommandBody::Retry(scope)).await?.into_answer()
}

#[cfg(test)]
mod tests {
    use crate::testing::TestApp;
    use aidt_domain::{CommandBody, RetryScope, StepPath};
    use serde_json::json;

    #[tokio::test(start_paused = true)]
    async fn a_run_that_ended_is_reopened_and_one_that_runs_is_not() {
        let app = TestApp::new().with_owner();
        let run = app.running().await;
        let path = format!("/v1/runs/{run}/retry");
        app.post(&path, json!({})).await.problem(409, "not_applicable");
        app.owner().end(run, "{}").await;
        let json = app.post(&path, json!({"step": "a"})).await.ok();
        assert_eq!((&json["kind"], &json["state"]), (&json!("run_reopened"), &json!("running")));
        app.post(&path, json!({"step": "not a path"})).await.problem(400, "invalid_argument");
    }

    #[tokio::test(start_paused = true)]
    async fn the_scope_is_all_that_failed_or_one_step() {
        let app = TestApp::new();
        let run = app.running().await;
        for (body, scope) in [
            (json!({}), RetryScope::Failed),
            (json!({"step": "@workspace"}), RetryScope::From(StepPath::new("@workspace").unwrap())),
        ] {
            app.post(&format!("/v1/runs/{run}/retry"), body).await;
            let rows = app.store.inbox.waiting(run).await.unwrap();
            let command = aidt_proto::decode_command(&rows.last().unwrap().command).unwrap();
            assert_eq!(command.body, CommandBody::Retry(scope));
        }
    }
}
