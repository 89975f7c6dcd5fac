//! `GET /v1/runs/{id}/explain`: what it waits for.

use crate::Api;
use crate::read::json::time_or_null;
use crate::read::{Found, ReadError, find};
use crate::web::{Caller, Params, Problem, RunOf};
use aidt_domain::{RunId, RunState, StepIx, StepPath, StepRow, Timestamp};
use aidt_engine::{PoolView, Pools, Reason, explain};
use aidt_store::{ProcessRow, StoreError};
use axum::Json;
use axum::extract::State;
use http::Uri;
use serde::Serialize;
use std::sync::Arc;

/// Rows of steps that are read at once.
const STEPS_AT_ONCE: u32 = 5_000;

/// Why a run has not ended; no reasons once it has.
#[derive(Debug, Serialize)]
pub(crate) struct Explanation {
    id: RunId,
    state: RunState,
    reasons: Vec<ReasonView>,
}

/// One thing that it waits for.
#[derive(Debug, Serialize)]
struct ReasonView {
    code: &'static str,
    #[serde(serialize_with = "time_or_null")]
    since: Option<Timestamp>,
    ends: String,
    who: String,
    step: Option<StepPath>,
    message: String,
}

/// Each thing that the run waits for: since when, what ends it, who can do something about it.
pub(crate) async fn handle(
    State(api): State<Arc<Api>>,
    caller: Caller,
    RunOf(run): RunOf,
    uri: Uri,
) -> Result<Json<Explanation>, Problem> {
    Params::of(&uri, &[])?;
    let found = find(&api, &caller.project, run).await?;
    let state = found.state();
    let reasons = match found {
        Found::Accepted(accepted) => vec![ReasonView {
            code: "created",
            since: Some(accepted.at),
            ends: format!("the owner of partition {} takes it up", accepted.partition),
            who: "a completion consumer".to_owned(),
            step: None,
            message: "the run is accepted and waits in the inbox".to_owned(),
        }],
        Found::Stored(row) => {
            let graph = api.graphs.get(&*api.store.catalog, run, row.snapshot).await?;
            let steps = all_steps(&api, run).await?;
            explain(&graph, &row, &steps, &pools(&api).await?).into_iter().map(ReasonView::from).collect()
        }
    };
    Ok(Json(Explanation { id: run, state, reasons }))
}

async fn all_steps(api: &Api, run: RunId) -> Result<Vec<StepRow>, ReadError> {
    let mut steps: Vec<StepRow> = Vec::new();
    loop {
        let after: Option<StepIx> = steps.last().map(|s| s.ix);
        let rows = api.store.history.steps(run, after, STEPS_AT_ONCE).await?;
        let full = rows.len() == STEPS_AT_ONCE as usize;
        steps.extend(rows);
        if !full {
            return Ok(steps);
        }
    }
}

async fn pools(api: &Api) -> Result<Pools, StoreError> {
    let (live, _) = api.store.processes.live(api.config.dead_after_ms()).await?;
    Ok(pools_of(&live))
}

/// What the live processes' workers serve, by pool.
fn pools_of(live: &[ProcessRow]) -> Pools {
    let mut pools = Pools::new();
    for process in live {
        for (pool, slots) in &process.slots {
            let view: &mut PoolView = pools.entry(pool.clone()).or_default();
            view.slots += slots;
            view.tools.extend(&process.tools);
        }
    }
    pools
}

impl From<Reason> for ReasonView {
    fn from(reason: Reason) -> Self {
        let Reason { code, step, since, ends, who, message } = reason;
        Self { code, since, ends, who, step, message }
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::{TestApp, tool};
    use aidt_domain::{StepIx, StepState};
    use serde_json::{Value, json};

    async fn codes(app: &TestApp, path: &str) -> Vec<Value> {
        let json = app.get(path).await.ok();
        for reason in json["reasons"].as_array().unwrap() {
            assert!(
                reason["ends"].is_string() && reason["who"].is_string() && reason.get("since").is_some(),
                "{reason}"
            );
        }
        json["reasons"].as_array().unwrap().iter().map(|r| r["code"].clone()).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn names_what_a_run_waits_for_at_each_stage() {
        let app = TestApp::new();
        let run = app.submit().await;
        let path = format!("/v1/runs/{run}/explain");
        assert_eq!(codes(&app, &path).await, ["created"]);
        app.owner().turn().await;
        let ready = crate::testing::Write { steps: vec![(StepIx(0), StepState::Ready)], ..Default::default() };
        app.owner().finish(run, 3, "1").await;
        app.owner().write(run, ready.saying_so()).await;
        assert_eq!(codes(&app, &path).await, ["no_worker", "dependency"]);
        app.worker(&[tool("debug.sleep").digest()]).await;
        assert_eq!(codes(&app, &path).await, ["tool_changed", "dependency"]);
        app.worker(&[tool("debug.echo").digest()]).await;
        assert_eq!(codes(&app, &path).await, ["queue", "dependency"]);
        let since = app.get(&path).await.ok()["reasons"][0]["since"].clone();
        assert!(since.as_str().unwrap().ends_with('Z'), "{since}");
        app.owner().end(run, "{}").await;
        assert_eq!(app.get(&path).await.ok(), json!({"id": run, "state": "done", "reasons": []}));
    }
}
