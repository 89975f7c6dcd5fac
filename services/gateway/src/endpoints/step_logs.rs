//! `GET /v1/runs/{id}/steps/{path}/logs`: what a step printed.

use crate::Api;
use crate::read::{Found, List, ReadError, find};
use crate::web::params::seq;
use crate::web::{Caller, Params, Problem, StepOf};
use aidt_domain::DispatchNo;
use aidt_store::LogChunk;
use axum::Json;
use axum::extract::State;
use http::Uri;
use serde::Serialize;
use std::str::FromStr;
use std::sync::Arc;

const DEFAULT_LIMIT: u32 = 100;
const MAX_LIMIT: u32 = 1_000;

/// A piece of text, and where it stands in what its dispatch printed, in bytes.
#[derive(Debug, Serialize)]
pub(crate) struct LogView {
    dispatch: DispatchNo,
    offset: u64,
    text: String,
}

/// A place in a step's log, written `DISPATCH:OFFSET`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Place(DispatchNo, u64);

#[derive(Debug, thiserror::Error)]
#[error("'{0}' is not of the form DISPATCH:OFFSET")]
struct NoPlace(String);

impl FromStr for Place {
    type Err = NoPlace;

    fn from_str(s: &str) -> Result<Self, NoPlace> {
        let parts = s.split_once(':').and_then(|(d, o)| Some(Self(DispatchNo(d.parse().ok()?), seq(o)?.0)));
        parts.ok_or_else(|| NoPlace(s.chars().take(40).collect()))
    }
}

/// `?after=DISPATCH:OFFSET`, `?limit=` pieces.
pub(crate) async fn handle(
    State(api): State<Arc<Api>>,
    caller: Caller,
    StepOf(run, step): StepOf,
    uri: Uri,
) -> Result<Json<List<LogView>>, Problem> {
    let params = Params::of(&uri, &["after", "limit"])?;
    let limit = params.limit(DEFAULT_LIMIT, MAX_LIMIT)?;
    let Place(dispatch, offset) = params.parse("after")?.unwrap_or_default();
    let snapshot = match find(&api, &caller.project, run).await? {
        Found::Stored(row) => row.snapshot,
        Found::Accepted(accepted) => accepted.start.snapshot,
    };
    let graph = api.graphs.get(&*api.store.catalog, run, snapshot).await?;
    let ix = graph.find(&step).ok_or(ReadError::NoStep(run, step))?;
    let chunks = api.store.logs.logs(run, ix, (dispatch, offset), limit).await?;
    let next = chunks.last().filter(|_| chunks.len() == limit as usize).map(end);
    Ok(Json(List { items: chunks.into_iter().map(LogView::from).collect(), next }))
}

fn end(chunk: &LogChunk) -> String {
    format!("{}:{}", chunk.dispatch, chunk.offset + chunk.bytes.len() as u64)
}

impl From<LogChunk> for LogView {
    fn from(chunk: LogChunk) -> Self {
        let text = String::from_utf8_lossy(&chunk.bytes).into_owned();
        Self { dispatch: chunk.dispatch, offset: chunk.offset, text }
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::TestApp;
    use aidt_domain::{DispatchNo, StepIx};
    use aidt_store::LogChunk;
    use bytes::Bytes;
    use serde_json::json;

    #[tokio::test(start_paused = true)]
    async fn pieces_are_paged_by_place() {
        let app = TestApp::new();
        let run = app.running().await;
        let chunk = |dispatch, offset, text: &'static str| LogChunk {
            run,
            step: StepIx(1),
            dispatch: DispatchNo(dispatch),
            offset,
            bytes: Bytes::from(text),
        };
        app.store.logs.append_logs(vec![chunk(1, 0, "one "), chunk(1, 4, "two"), chunk(2, 0, "again")]).await.unwrap();
        let path = format!("/v1/runs/{run}/steps/b/logs");
        let page = app.get(&format!("{path}?limit=2")).await.ok();
        assert_eq!(page["items"][1], json!({"dispatch": 1, "offset": 4, "text": "two"}));
        assert_eq!(page["next"], "1:7");
        let page = app.get(&format!("{path}?after=1:7")).await.ok();
        assert_eq!(page, json!({"items": [{"dispatch": 2, "offset": 0, "text": "again"}], "next": null}));
        app.get(&format!("{path}?after=7")).await.problem(400, "invalid_argument");
        app.get(&format!("/v1/runs/{run}/steps/zzz/logs")).await.problem(404, "not_found");
    }
}
