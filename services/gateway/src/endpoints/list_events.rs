//! `GET /v1/runs/{id}/events`: its history, as a list or as a stream.

use super::stream_events;
use crate::Api;
use crate::read::history::events_after;
use crate::read::{List, find};
use crate::web::{Caller, Params, Problem, RunOf};
use aidt_domain::Event;
use aidt_proto::write_event_json;
use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, Uri, header};
use serde_json::value::RawValue;
use std::sync::Arc;

const DEFAULT_LIMIT: u32 = 100;
const MAX_LIMIT: u32 = 1_000;
/// A page ends early once its payloads exceed this many bytes.
const MAX_BYTES: usize = 4 * 1024 * 1024;

/// `?after=SEQ`, `?limit=`: what follows that event. With `Accept: text/event-stream` a stream.
pub(crate) async fn handle(
    state: State<Arc<Api>>,
    caller: Caller,
    run: RunOf,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    if wants_stream(&headers) {
        return stream_events::handle(state, caller, run, uri, headers).await;
    }
    let (State(api), RunOf(run)) = (state, run);
    let params = Params::of(&uri, &["after", "limit"])?;
    let limit = params.limit(DEFAULT_LIMIT, MAX_LIMIT)?;
    let after = params.seq("after")?.unwrap_or_default();
    find(&api, &caller.project, run).await?;
    let piece = events_after(&*api.store.history, run, after, limit as usize, MAX_BYTES).await?;
    let next = piece.events.last().filter(|_| piece.more).map(|e| e.seq);
    let items: Vec<_> = piece.events.iter().map(raw_event).collect();
    Ok(Json(List { items, next }).into_response())
}

fn wants_stream(headers: &HeaderMap) -> bool {
    let accept = headers.get_all(header::ACCEPT).iter().filter_map(|v| v.to_str().ok());
    accept
        .flat_map(|v| v.split(','))
        .any(|kind| kind.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case("text/event-stream"))
}

/// An event's JSON on one line, with its payload's bytes as they are.
pub(crate) fn raw_event(event: &Event) -> Box<RawValue> {
    let mut json = Vec::new();
    write_event_json(event, &mut json);
    serde_json::from_slice(&json).expect("an event is written as JSON")
}

#[cfg(test)]
mod tests {
    use crate::testing::TestApp;
    use serde_json::json;

    #[tokio::test(start_paused = true)]
    async fn events_are_numbered_without_gaps_and_paged() {
        let app = TestApp::new();
        let run = app.running().await;
        for ix in 0..4 {
            app.owner().finish(run, ix, "1").await;
        }
        let first = app.get(&format!("/v1/runs/{run}/events?limit=2")).await.ok();
        assert_eq!((&first["items"][0]["seq"], &first["items"][0]["kind"]), (&json!(1), &json!("run_started")));
        assert_eq!(first["items"][1]["step"], "a");
        assert_eq!((&first["items"][1]["output"], &first["next"]), (&json!(1), &json!(2)));
        let rest = app.get(&format!("/v1/runs/{run}/events?after=2")).await.ok();
        let seqs: Vec<_> = rest["items"].as_array().unwrap().iter().map(|e| e["seq"].as_u64().unwrap()).collect();
        assert_eq!((seqs, &rest["next"]), (vec![3, 4, 5], &json!(null)));
    }

    #[tokio::test(start_paused = true)]
    async fn long_histories_are_read_in_pieces() {
        let app = TestApp::new();
        let run = app.running().await;
        for _ in 0..40 {
            app.owner().finish(run, 0, "1").await;
        }
        let list = app.get(&format!("/v1/runs/{run}/events?limit=1000")).await.ok();
        assert_eq!((list["items"].as_array().unwrap().len(), &list["next"]), (41, &json!(null)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_run_that_waits_has_no_events_and_an_unknown_one_is_not_found() {
        let app = TestApp::new();
        let run = app.submit().await;
        assert_eq!(app.get(&format!("/v1/runs/{run}/events")).await.ok()["items"], json!([]));
        app.get("/v1/runs/run_00000000000000000000000000000fff/events").await.problem(404, "not_found");
        app.get(&format!("/v1/runs/{run}/events?after=-1")).await.problem(400, "invalid_argument");
        let far = app.get(&format!("/v1/runs/{run}/events?after=9223372036854775806")).await.ok();
        assert_eq!(far["items"], json!([]));
        app.get(&format!("/v1/runs/{run}/events?follow=true")).await.problem(400, "invalid_argument");
    }
}
