//! `GET /v1/runs/{id}/steps`: its steps, in the plan's order; those that still wait are listed too.

use crate::Api;
use crate::read::json::{payload, time_or_null};
use crate::read::{Found, List, ReadError, find};
use crate::web::{Caller, Params, Problem, RunOf};
use aidt_domain::{
    Attempt, DispatchNo, Effect, Failure, Generation, Pool, RunId, StepIx, StepPath, StepRow, StepState, Timestamp,
};
use aidt_engine::Graph;
use axum::Json;
use axum::extract::State;
use http::Uri;
use serde::Serialize;
use serde_json::value::RawValue;
use std::collections::BTreeMap;
use std::sync::Arc;

const DEFAULT_LIMIT: u32 = 100;
const MAX_LIMIT: u32 = 1_000;
/// A page ends early once its outputs exceed this many bytes.
const MAX_BYTES: u64 = 4 * 1024 * 1024;

/// A step, as it is shown. Without a dispatch it has not been handed out yet.
#[derive(Debug, Serialize)]
pub(crate) struct StepView {
    path: StepPath,
    state: StepState,
    attempt: Attempt,
    dispatch: DispatchNo,
    generation: Generation,
    tool: Option<String>,
    effect: Option<Effect>,
    pool: Option<Pool>,
    needs: Vec<StepPath>,
    error: Option<Failure>,
    output: Option<Box<RawValue>>,
    #[serde(serialize_with = "time_or_null")]
    ready_at: Option<Timestamp>,
    #[serde(serialize_with = "time_or_null")]
    dispatched_at: Option<Timestamp>,
    #[serde(serialize_with = "time_or_null")]
    started_at: Option<Timestamp>,
    #[serde(serialize_with = "time_or_null")]
    ended_at: Option<Timestamp>,
    /// When it is tried again.
    #[serde(serialize_with = "time_or_null")]
    wake_at: Option<Timestamp>,
}

/// `?limit=`, `?after=PATH`: the steps that follow that one.
pub(crate) async fn handle(
    State(api): State<Arc<Api>>,
    caller: Caller,
    RunOf(run): RunOf,
    uri: Uri,
) -> Result<Json<List<StepView>>, Problem> {
    let params = Params::of(&uri, &["limit", "after"])?;
    let limit = params.limit(DEFAULT_LIMIT, MAX_LIMIT)?;
    let after: Option<StepPath> = params.parse("after")?;
    let (snapshot, stored) = match find(&api, &caller.project, run).await? {
        Found::Stored(row) => (row.snapshot, true),
        Found::Accepted(accepted) => (accepted.start.snapshot, false),
    };
    let graph = api.graphs.get(&*api.store.catalog, run, snapshot).await?;
    let after = after.map(|path| graph.find(&path).ok_or(ReadError::NoStep(run, path))).transpose()?;
    let rows = if stored { api.store.history.steps(run, after, limit).await? } else { Vec::new() };
    Ok(Json(page(&api, run, &graph, after, limit, rows).await?))
}

async fn page(
    api: &Api,
    run: RunId,
    graph: &Graph,
    after: Option<StepIx>,
    limit: u32,
    rows: Vec<StepRow>,
) -> Result<List<StepView>, ReadError> {
    let total = u32::try_from(graph.len()).unwrap_or(u32::MAX);
    let first = after.map_or(0, |ix| ix.0 + 1);
    let end = first.saturating_add(limit).min(total);
    let mut rows: BTreeMap<StepIx, StepRow> = rows.into_iter().map(|row| (row.ix, row)).collect();
    let (mut items, mut bytes) = (Vec::new(), 0);
    for ix in (first..end).map(StepIx) {
        let row = rows.remove(&ix);
        let output = row.as_ref().and_then(|row| row.output.clone());
        bytes += output.as_ref().map_or(0, |at| u64::from(at.len));
        if bytes > MAX_BYTES && !items.is_empty() {
            break;
        }
        let mut view = StepView::of(graph, ix, row);
        if let Some(at) = output {
            view.output = Some(payload(&*api.store.history, &(run, at)).await?);
        }
        items.push(view);
    }
    let more = first as usize + items.len() < total as usize;
    let next = items.last().filter(|_| more).map(|view| view.path.to_string());
    Ok(List { items, next })
}

impl StepView {
    fn of(graph: &Graph, ix: StepIx, row: Option<StepRow>) -> Self {
        let spec = graph.spec(ix);
        let tool = spec.kind.tool();
        let mut view = Self {
            path: spec.path.clone(),
            state: StepState::Pending,
            attempt: Attempt(0),
            dispatch: DispatchNo(0),
            generation: Generation(1),
            tool: tool.map(|t| t.name.clone()),
            effect: tool.map(|t| t.effect),
            pool: tool.map(|t| t.pool.clone()),
            needs: spec.needs.iter().map(|&need| graph.spec(need).path.clone()).collect(),
            error: None,
            output: None,
            ready_at: None,
            dispatched_at: None,
            started_at: None,
            ended_at: None,
            wake_at: None,
        };
        if let Some(row) = row {
            (view.state, view.attempt, view.dispatch) = (row.state, row.attempt, row.dispatch);
            (view.generation, view.error) = (row.generation, row.error);
            (view.ready_at, view.dispatched_at) = (row.ready_at, row.dispatched_at);
            (view.started_at, view.ended_at, view.wake_at) = (row.started_at, row.ended_at, row.wake_at);
        }
        view
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::TestApp;
    use serde_json::json;

    #[tokio::test(start_paused = true)]
    async fn steps_that_wait_are_listed_from_the_plan() {
        let app = TestApp::new();
        let run = app.submit().await;
        let path = format!("/v1/runs/{run}/steps");
        for _ in 0..2 {
            let list = app.get(&path).await.ok();
            let paths: Vec<_> = list["items"].as_array().unwrap().iter().map(|s| s["path"].as_str().unwrap()).collect();
            assert_eq!(paths, ["a", "b", "c", "beside"]);
            let step = &list["items"][1];
            assert_eq!((&step["state"], &step["dispatch"]), (&json!("pending"), &json!(0)));
            assert_eq!((&step["needs"], &step["tool"]), (&json!(["a"]), &json!("debug.echo")));
            app.owner().turn().await;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn outputs_are_shown_as_they_were_stored() {
        let app = TestApp::new();
        let run = app.running().await;
        app.owner().finish(run, 0, r#"{"text":"a\u0000\ud800"}"#).await;
        app.owner().finish(run, 3, "not json").await;
        let answer = app.get(&format!("/v1/runs/{run}/steps")).await;
        assert!(answer.text.contains(r#""output":{"text":"a\u0000\ud800"}"#), "{answer:?}");
        assert!(answer.text.contains(r#""output":"not json""#), "{answer:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn pages_go_on_after_a_path() {
        let app = TestApp::new();
        let run = app.running().await;
        app.owner().finish(run, 3, "7").await;
        let page = app.get(&format!("/v1/runs/{run}/steps?limit=3")).await.ok();
        assert_eq!((page["items"].as_array().unwrap().len(), &page["next"]), (3, &json!("c")));
        let page = app.get(&format!("/v1/runs/{run}/steps?limit=3&after=c")).await.ok();
        assert_eq!((&page["items"][0]["path"], &page["items"][0]["output"]), (&json!("beside"), &json!(7)));
        assert_eq!((page["items"].as_array().unwrap().len(), &page["next"]), (1, &json!(null)));
        app.get(&format!("/v1/runs/{run}/steps?after=zzz")).await.problem(404, "not_found");
        app.get(&format!("/v1/runs/{run}/steps?after=%20")).await.problem(400, "invalid_argument");
    }

    #[tokio::test(start_paused = true)]
    async fn a_page_ends_early_when_its_outputs_are_large() {
        let app = TestApp::new();
        let run = app.running().await;
        let large = json!("x".repeat(3 * 1024 * 1024)).to_string();
        for ix in 0..3 {
            app.owner().finish(run, ix, &large).await;
        }
        let page = app.get(&format!("/v1/runs/{run}/steps")).await.ok();
        assert_eq!((page["items"].as_array().unwrap().len(), &page["next"]), (1, &json!("a")));
    }
}
