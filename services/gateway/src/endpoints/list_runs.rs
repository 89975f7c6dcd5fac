//! `GET /v1/runs`: the runs of a project, newest first.

use crate::Api;
use crate::read::find::accepted;
use crate::read::run_view::RunSummary;
use crate::read::{List, ReadError};
use crate::web::{Caller, Params, Problem};
use aidt_domain::{PartitionId, RunId, RunState};
use aidt_store::{Kind, RunFilter};
use axum::Json;
use axum::extract::State;
use http::Uri;
use std::cmp::Reverse;
use std::sync::Arc;

const DEFAULT_LIMIT: u32 = 50;
const MAX_LIMIT: u32 = 500;

/// `?state=` (repeated, or with commas), `?plan=`, `?label=NAME=VALUE` (repeated), `?limit=`, `?after=`.
pub(crate) async fn handle(
    State(api): State<Arc<Api>>,
    caller: Caller,
    uri: Uri,
) -> Result<Json<List<RunSummary>>, Problem> {
    let params = Params::of(&uri, &["state", "plan", "label", "limit", "after"])?;
    let filter = filter(&params, caller)?;
    let limit = params.limit(DEFAULT_LIMIT, MAX_LIMIT)?;
    let after: Option<RunId> = params.parse("after")?;
    // The inbox before the rows: a run may move between the two looks, and must not be missed.
    let mut items = match after {
        None => waiting(&api, &filter, limit - 1).await?,
        Some(_) => Vec::new(),
    };
    let room = limit - u32::try_from(items.len()).expect("at most the limit");
    let page = api.store.history.runs(&filter, after, room).await.map_err(|e| match (e.kind, after) {
        (Kind::NotFound, Some(after)) => Problem::not_found(format!("there is no run {after} to go on after")),
        _ => e.into(),
    })?;
    items.retain(|w| page.items.iter().all(|row| row.id != w.id));
    items.extend(page.items.into_iter().map(RunSummary::of_row));
    Ok(Json(List { items, next: page.next.map(|id| id.to_string()) }))
}

fn filter(params: &Params, caller: Caller) -> Result<RunFilter, Problem> {
    let states = params.all("state").flat_map(|s| s.split(',')).map(str::parse::<RunState>);
    let labels = params.all("label").map(|label| match label.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err(Problem::invalid(format!("query parameter label is '{label}'; it has the form NAME=VALUE"))),
    });
    Ok(RunFilter {
        project: caller.project,
        states: states.collect::<Result<_, _>>().map_err(Problem::invalid)?,
        plan: params.one("plan")?.map(str::to_owned),
        labels: labels.collect::<Result<_, _>>()?,
    })
}

/// The newest runs whose starts wait in the inbox, at most `limit`.
async fn waiting(api: &Api, filter: &RunFilter, limit: u32) -> Result<Vec<RunSummary>, ReadError> {
    let mut found = Vec::new();
    if limit == 0 || !(filter.states.is_empty() || filter.states.contains(&RunState::Created)) {
        return Ok(found);
    }
    for partition in (0..api.store.run_log.partitions()).map(PartitionId) {
        for row in api.store.inbox.inbox(partition, 0, limit).await? {
            if row.project != filter.project {
                continue;
            }
            let Some(run) = accepted(&row)? else { continue };
            let graph = api.graphs.get(&*api.store.catalog, run.id, run.start.snapshot).await?;
            let summary = RunSummary::of_accepted(run, &graph);
            if fits(&summary, filter) {
                found.push(summary);
            }
        }
    }
    found.sort_by_key(|run| Reverse(run.id));
    found.truncate(limit as usize);
    Ok(found)
}

fn fits(run: &RunSummary, filter: &RunFilter) -> bool {
    filter.plan.as_ref().is_none_or(|plan| *plan == run.plan)
        && filter.labels.iter().all(|(name, value)| run.labels.get(name) == Some(value))
}

#[cfg(test)]
mod tests {
    use crate::testing::{TestApp, plan};
    use serde_json::{Value, json};

    async fn ids(app: &TestApp, query: &str) -> Vec<Value> {
        let list = app.get(&format!("/v1/runs{query}")).await.ok();
        list["items"].as_array().unwrap().iter().map(|run| run["id"].clone()).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn newest_first_with_those_that_still_wait() {
        let app = TestApp::new();
        let (first, second) = (app.running().await, app.running().await);
        let third = app.submit().await;
        assert_eq!(ids(&app, "").await, [json!(third), json!(second), json!(first)]);
        let list = app.get("/v1/runs").await.ok();
        assert_eq!((&list["items"][0]["state"], &list["items"][1]["state"]), (&json!("created"), &json!("running")));
        assert_eq!(list["next"], json!(null));
    }

    #[tokio::test(start_paused = true)]
    async fn pages_have_no_gap_and_nothing_twice() {
        let app = TestApp::new();
        let mut runs = Vec::new();
        for _ in 0..7 {
            runs.push(json!(app.running().await));
        }
        runs.reverse();
        let (mut seen, mut after) = (Vec::new(), String::new());
        loop {
            let list = app.get(&format!("/v1/runs?limit=3{after}")).await.ok();
            seen.extend(list["items"].as_array().unwrap().iter().map(|run| run["id"].clone()));
            match list["next"].as_str() {
                Some(next) => after = format!("&after={next}"),
                None => break,
            }
        }
        assert_eq!(seen, runs);
    }

    #[tokio::test(start_paused = true)]
    async fn filters_narrow() {
        let app = TestApp::new();
        let running = app.running().await;
        let labelled = app.post("/v1/runs", json!({"plan": plan(), "labels": {"env": "prod=1"}})).await.json();
        let (running, labelled) = (vec![json!(running)], vec![labelled["id"].clone()]);
        assert_eq!(ids(&app, "?state=running,failed").await, running);
        assert_eq!(ids(&app, "?state=created&state=done").await, labelled);
        assert_eq!(ids(&app, "?label=env=prod%3D1&label=team=core").await, labelled);
        assert_eq!(ids(&app, "?label=env=test").await, running);
        assert_eq!(ids(&app, "?plan=demo").await.len(), 2);
        assert!(ids(&app, "?plan=other").await.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn bad_queries_are_refused() {
        let app = TestApp::new();
        for query in ["stat=done", "state=finished", "label=x", "limit=0", "limit=501", "after=7", "state=%ff"] {
            app.get(&format!("/v1/runs?{query}")).await.problem(400, "invalid_argument");
        }
        app.get("/v1/runs?after=run_00000000000000000000000000000fff").await.problem(404, "not_found");
    }
}
