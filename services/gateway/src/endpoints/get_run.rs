//! `GET /v1/runs/{id}`: one run, at once or when it has ended.

use crate::Api;
use crate::read::run_view::{RunView, view};
use crate::read::{Found, ReadError, Watch, find};
use crate::web::{Caller, Params, Problem, RunOf};
use aidt_domain::{Project, RunId};
use axum::Json;
use axum::extract::State;
use http::Uri;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, timeout_at};

/// The run as it is now; with `?wait=SECONDS`, as it is when it has ended or that time has passed.
/// Both are answered with 200: `state` tells them apart.
pub(crate) async fn handle(
    State(api): State<Arc<Api>>,
    caller: Caller,
    RunOf(run): RunOf,
    uri: Uri,
) -> Result<Json<RunView>, Problem> {
    let wait = Params::of(&uri, &["wait"])?.seconds("wait", api.config.max_wait)?;
    answer(&api, &caller.project, run, wait.unwrap_or_default()).await
}

/// `GET /v1/runs/{id}/wait?timeout=SECONDS`: the same, for those who always wait.
pub(crate) async fn wait(
    State(api): State<Arc<Api>>,
    caller: Caller,
    RunOf(run): RunOf,
    uri: Uri,
) -> Result<Json<RunView>, Problem> {
    let max = api.config.max_wait;
    let wait = Params::of(&uri, &["timeout"])?.seconds("timeout", max)?;
    answer(&api, &caller.project, run, wait.unwrap_or(max)).await
}

async fn answer(api: &Arc<Api>, project: &Project, run: RunId, wait: Duration) -> Result<Json<RunView>, Problem> {
    let found = if wait.is_zero() {
        find(api, project, run).await?
    } else {
        let _permit = api.admit_stream()?;
        ended(api, project, run, Instant::now() + wait).await?
    };
    Ok(Json(view(api, found).await?))
}

/// The run, once it has ended, or as it is at the deadline.
async fn ended(api: &Api, project: &Project, run: RunId, deadline: Instant) -> Result<Found, ReadError> {
    let mut watch = Watch::open(&api.locks, run, api.config.poll).await;
    loop {
        let found = find(api, project, run).await?;
        if matches!(&found, Found::Stored(row) if row.state.is_terminal()) {
            return Ok(found);
        }
        tokio::select! {
            biased;
            () = api.shutdown.cancelled() => return Ok(found),
            ended = timeout_at(deadline, watch.ended()) => if ended.is_err() {
                return find(api, project, run).await;
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::{TestApp, plan};
    use serde_json::json;
    use std::time::Duration;
    use tokio::time::Instant;

    #[tokio::test(start_paused = true)]
    async fn an_accepted_run_reads_as_created() {
        let app = TestApp::new();
        let run = app.submit().await;
        let json = app.get(&format!("/v1/runs/{run}")).await.ok();
        assert_eq!((&json["id"], &json["state"]), (&json!(run), &json!("created")));
        assert_eq!((&json["error"], &json["outputs"]), (&json!(null), &json!(null)));
        assert_eq!((&json["plan"], &json["inputs"]), (&json!("demo"), &json!({"who": "world"})));
        assert_eq!(json["labels"], plan()["labels"]);
        assert_eq!((&json["counts"]["total"], &json["counts"]["pending"]), (&json!(4), &json!(4)));
        assert_eq!(json["created_at"], "2026-11-21T13:18:06.001Z");
    }

    #[tokio::test(start_paused = true)]
    async fn a_run_shows_state_outputs_and_counts() {
        let app = TestApp::new();
        let run = app.running().await;
        app.owner().finish(run, 0, "1").await;
        let json = app.get(&format!("/v1/runs/{run}")).await.ok();
        assert_eq!((&json["state"], &json["ended_at"]), (&json!("running"), &json!(null)));
        assert_eq!((&json["counts"]["done"], &json["counts"]["pending"]), (&json!(1), &json!(3)));
        app.owner().end(run, r#"{"n": 1e400}"#).await;
        let answer = app.get(&format!("/v1/runs/{run}")).await;
        assert!(answer.text.contains(r#""outputs":{"n": 1e400}"#), "as it was stored: {answer:?}");
        assert!(answer.text.contains(r#""state":"done""#));
    }

    #[tokio::test(start_paused = true)]
    async fn what_there_is_not_is_not_found() {
        let app = TestApp::new();
        let run = app.submit().await;
        for path in ["/v1/runs/run_00000000000000000000000000000fff", "/v1/runs/7", "/v1/runs/%00"] {
            app.get(path).await.problem(404, "not_found");
        }
        app.get("/v1/runs/%ff").await.problem(400, "invalid_argument");
        let elsewhere = crate::testing::request("GET", &format!("/v1/runs/{run}")).header("x-aidt-project", "other");
        app.call(elsewhere.body("".into()).unwrap()).await.problem(404, "not_found");
    }

    #[tokio::test(start_paused = true)]
    async fn waiting_ends_when_the_run_does() {
        let app = TestApp::new();
        let run = app.running().await;
        let start = Instant::now();
        let paths = [format!("/v1/runs/{run}?wait=60"), format!("/v1/runs/{run}/wait")];
        let end = async {
            tokio::time::sleep(Duration::from_millis(300)).await;
            app.owner().end(run, "{}").await;
        };
        let (one, other, ()) = tokio::join!(app.get(&paths[0]), app.get(&paths[1]), end);
        assert_eq!((&one.ok()["state"], &other.ok()["state"]), (&json!("done"), &json!("done")));
        assert_eq!(start.elapsed(), Duration::from_millis(300), "told, not polled");
    }

    #[tokio::test(start_paused = true)]
    async fn waiting_ends_with_its_time_or_with_the_gateway() {
        let app = TestApp::new();
        let run = app.running().await;
        let start = Instant::now();
        let json = app.get(&format!("/v1/runs/{run}?wait=2.5")).await.ok();
        assert_eq!((&json["state"], start.elapsed()), (&json!("running"), Duration::from_millis(2500)));
        let json = app.get(&format!("/v1/runs/{run}?wait=300")).await.ok();
        assert_eq!(json["state"], "running", "longer than other requests may take");
        app.get(&format!("/v1/runs/{run}?wait=601")).await.problem(400, "invalid_argument");
        let path = format!("/v1/runs/{run}/wait");
        let stop = async {
            tokio::time::sleep(Duration::from_millis(1)).await;
            app.shutdown.cancel();
        };
        let (answer, ()) = tokio::join!(app.get(&path), stop);
        assert_eq!((&answer.ok()["state"], start.elapsed().as_secs()), (&json!("running"), 302));
    }
}
