//! `POST /v1/runs/{id}/cancel`: end it.

use crate::Api;
use crate::web::{Body, Caller, Problem, RunOf};
use crate::write::apply;
use aidt_domain::CommandBody;
use axum::extract::State;
use axum::response::Response;
use serde::Deserialize;
use std::sync::Arc;

const MAX_REASON: usize = 1_000;

/// Why, for people.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Cancel {
    #[serde(default)]
    reason: String,
}

/// Steps that nobody started end at once; calls in flight are told, and the run is `cancelling` until
/// each has said what really happened.
pub(crate) async fn handle(
    State(api): State<Arc<Api>>,
    caller: Caller,
    RunOf(run): RunOf,
    Body { value: Cancel { reason }, .. }: Body<Cancel>,
) -> Result<Response, Problem> {
    if reason.len() > MAX_REASON {
        return Err(Problem::invalid(format!("the reason has {} bytes; the limit is {MAX_REASON}", reason.len())));
    }
    apply(&api, &caller, run, CommandBody::Cancel { reason }).await?.into_answer()
}

#[cfg(test)]
mod tests {
    use crate::testing::{TestApp, request};
    use axum::body::Body;
    use serde_json::json;
    use std::time::Duration;
    use tokio::time::Instant;

    #[tokio::test(start_paused = true)]
    async fn a_cancel_is_answered_with_its_event() {
        let app = TestApp::new().with_owner();
        let run = app.running().await;
        let json = app.post(&format!("/v1/runs/{run}/cancel"), json!({"reason": "a mistake"})).await.ok();
        assert_eq!((&json["kind"], &json["reason"]), (&json!("run_cancelling"), &json!("a mistake")));
        assert_eq!((&json["cause"], &json["applied"]), (&json["command"], &json!(true)));
        assert_eq!((&json["id"], &json["state"], &json["by"]), (&json!(run), &json!("cancelled"), &json!("local")));
    }

    #[tokio::test(start_paused = true)]
    async fn a_refusal_is_a_problem_with_the_owners_code() {
        let app = TestApp::new().with_owner();
        let run = app.running().await;
        app.owner().end(run, "{}").await;
        let answer = app.post(&format!("/v1/runs/{run}/cancel"), json!({})).await;
        assert_eq!(answer.problem(409, "not_applicable"), "a run that is done takes no cancel");
        assert_eq!((&answer.json()["state"], &answer.json()["seq"]), (&json!("done"), &json!(3)));
    }

    #[tokio::test(start_paused = true)]
    async fn without_an_owner_it_is_accepted_and_not_yet_applied() {
        let app = TestApp::new();
        let run = app.running().await;
        let begin = Instant::now();
        let answer = app.post(&format!("/v1/runs/{run}/cancel"), json!({})).await;
        assert_eq!((answer.status, begin.elapsed()), (202, Duration::from_secs(5)));
        assert_eq!((&answer.json()["applied"], &answer.json()["state"]), (&json!(false), &json!("running")));
        app.owner().turn().await;
        assert_eq!(app.get(&format!("/v1/runs/{run}")).await.ok()["state"], "cancelled", "it was accepted");
    }

    #[tokio::test(start_paused = true)]
    async fn a_run_may_be_cancelled_while_its_start_waits_and_without_a_body() {
        let app = TestApp::new().with_owner();
        let run = app.submit().await;
        let bare = request("POST", &format!("/v1/runs/{run}/cancel")).body(Body::empty()).unwrap();
        assert_eq!(app.call(bare).await.ok()["state"], "cancelled");
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_is_inserted_for_a_run_that_there_is_not_or_from_another_site() {
        let app = TestApp::new();
        let run = app.running().await;
        app.post("/v1/runs/run_00000000000000000000000000000fff/cancel", json!({})).await.problem(404, "not_found");
        app.post(&format!("/v1/runs/{run}/cancel"), json!({"reson": "x"})).await.problem(400, "invalid_argument");
        let long = json!({"reason": "x".repeat(1001)});
        app.post(&format!("/v1/runs/{run}/cancel"), long).await.problem(400, "invalid_argument");
        let foreign = request("POST", &format!("/v1/runs/{run}/cancel")).header("origin", "http://evil.example");
        app.call(foreign.body(Body::empty()).unwrap()).await.problem(403, "forbidden");
        assert!(app.store.inbox.waiting(run).await.unwrap().is_empty());
    }
}
