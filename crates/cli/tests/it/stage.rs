//! A server that acts one run: its events are put in by the test.

use aidt_client::Endpoint;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::sse::{Event, Sse};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use futures::stream;
use serde_json::{Value, json};
use std::convert::Infallible;
use std::sync::{Arc, Mutex};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

pub(crate) const RUN: &str = "run_019500000000700080000000000000aa";

/// What the run is like at the moment.
#[derive(Clone, Default)]
pub(crate) struct Act {
    pub(crate) state: String,
    pub(crate) error: Value,
    pub(crate) outputs: Value,
    pub(crate) events: Vec<Value>,
    pub(crate) steps: Vec<Value>,
    pub(crate) reasons: Vec<Value>,
    /// The answer to a submission, if it is refused.
    pub(crate) refusal: Option<Value>,
}

/// The run, its servers, and what they were asked.
#[derive(Clone)]
pub(crate) struct Stage {
    act: Arc<watch::Sender<Act>>,
    posts: Arc<Mutex<Vec<String>>>,
    /// Streams that were opened.
    pub(crate) streams: Arc<watch::Sender<u32>>,
}

/// One server of it; the stage may have several, one after the other.
pub(crate) struct Server {
    pub(crate) endpoint: Endpoint,
    /// Ends its streams, as an embedder does that ends.
    pub(crate) gone: CancellationToken,
    _tasks: JoinSet<()>,
}

/// An event, at so many milliseconds.
pub(crate) fn event(seq: u64, ms: u64, kind: &str, step: &str, fields: Value) -> Value {
    let at = format!("2026-11-21T13:18:{:02}.{:03}Z", ms / 1000, ms % 1000);
    let mut event = json!({ "seq": seq, "kind": kind, "at": at });
    if !step.is_empty() {
        for (name, value) in
            [("step", json!(step)), ("dispatch", json!(1)), ("attempt", json!(1)), ("generation", json!(1))]
        {
            event[name] = value;
        }
    }
    for (name, value) in fields.as_object().unwrap() {
        event[name] = value.clone();
    }
    event
}

pub(crate) fn step(path: &str, state: &str, output: Value) -> Value {
    json!({ "path": path, "state": state, "attempt": 1, "dispatch": 1, "output": output, "tool": "debug.echo" })
}

impl Stage {
    pub(crate) fn new(act: Act) -> Self {
        let (act, streams) = (Arc::new(watch::Sender::new(act)), Arc::new(watch::Sender::new(0)));
        Self { act, posts: Arc::default(), streams }
    }

    /// Changes the run; streams notice.
    pub(crate) fn change(&self, change: impl FnOnce(&mut Act)) {
        self.act.send_modify(change);
    }

    /// What was posted: path, key, body.
    pub(crate) fn posts(&self) -> Vec<String> {
        self.posts.lock().unwrap().clone()
    }

    pub(crate) async fn serve(&self) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
        let gone = CancellationToken::new();
        let router = router(self.clone(), gone.clone());
        let mut tasks = JoinSet::new();
        tasks.spawn(async move { axum::serve(listener, router).await.unwrap() });
        Server { endpoint, gone, _tasks: tasks }
    }

    /// Waits until a stream was opened.
    pub(crate) async fn watched(&self) {
        self.streams.subscribe().wait_for(|n| *n > 0).await.unwrap();
    }
}

fn router(stage: Stage, gone: CancellationToken) -> Router {
    let read =
        |read: fn(&Act) -> Value| get(move |State(stage): State<Stage>| async move { Json(read(&stage.act.borrow())) });
    Router::new()
        .route("/v1/runs", post(submit).merge(read(|act| json!({ "items": [run_of(act)], "next": null }))))
        .route("/v1/runs/{run}", read(run_of))
        .route("/v1/runs/{run}/steps", read(|act| json!({ "items": act.steps, "next": null })))
        .route("/v1/runs/{run}/explain", read(|act| json!({ "id": RUN, "state": act.state, "reasons": act.reasons })))
        .route("/v1/runs/{run}/events", get(move |stage, headers| events(stage, headers, gone.clone())))
        .route("/v1/runs/{run}/steps/{step}/logs", read(|_| json!({ "items": [], "next": null })))
        .route("/v1/runs/{run}/{verb}", post(command))
        .route("/v1/plans/check", post(check))
        .route("/v1/tools", read(tools))
        .with_state(stage)
}

fn run_of(act: &Act) -> Value {
    let ended = act.state == "done" || act.state == "failed" || act.state == "cancelled";
    json!({
        "id": RUN, "state": act.state, "error": act.error, "outputs": act.outputs, "plan": "notes",
        "submitted_by": "local", "created_at": "2026-11-21T13:18:00.000Z",
        "ended_at": if ended { json!("2026-11-21T13:18:02.500Z") } else { Value::Null },
        "last_seq": act.events.len(), "head": null,
    })
}

fn tools(_: &Act) -> Value {
    let schema =
        json!({ "type": "object", "properties": { "path": { "type": "string" }, "deep": { "type": "boolean" } } });
    let tool = json!({
        "name": "repo.list", "capability": "repo.read", "effect": "read", "pool": "git", "description": "Lists files",
        "input_schema": schema, "digest": "sha256:…", "workers": 1,
    });
    json!({ "items": [tool], "next": null })
}

async fn submit(State(stage): State<Stage>, headers: HeaderMap, Json(body): Json<Value>) -> Response {
    let key = headers["idempotency-key"].to_str().unwrap();
    stage.posts.lock().unwrap().push(format!("runs {key} {body}"));
    let refusal = stage.act.borrow().refusal.clone();
    match refusal {
        Some(problem) => (StatusCode::BAD_REQUEST, Json(problem)).into_response(),
        None => (StatusCode::ACCEPTED, Json(json!({ "id": RUN, "state": "created" }))).into_response(),
    }
}

async fn check(State(stage): State<Stage>) -> Response {
    let refusal = stage.act.borrow().refusal.clone();
    match refusal {
        Some(problem) => (StatusCode::BAD_REQUEST, Json(problem)).into_response(),
        None => Json(json!({
            "valid": true, "name": "notes", "warnings": [],
            "inputs": { "count": { "type": "integer" }, "name": { "type": "string" }, "deep": { "type": "boolean" } },
        }))
        .into_response(),
    }
}

async fn command(
    State(stage): State<Stage>,
    Path((_, verb)): Path<(String, String)>,
    Json(body): Json<Value>,
) -> Response {
    stage.posts.lock().unwrap().push(format!("{verb} {body}"));
    if verb == "cancel" {
        stage.change(|act| {
            let next = act.events.len() as u64 + 1;
            act.events.push(event(next, 900, "run_cancelling", "", json!({ "by": "local", "reason": "interrupted" })));
            act.events.push(event(next + 1, 950, "run_cancelled", "", json!({})));
            act.state = "cancelled".into();
        });
    }
    let state = stage.act.borrow().state.clone();
    Json(json!({ "id": RUN, "state": state, "applied": true, "command": "cmd_00000000000000000000000000000001" }))
        .into_response()
}

/// JSON, or a stream that ends with the run or with its server. A `step_output` has no number.
async fn events(State(stage): State<Stage>, headers: HeaderMap, gone: CancellationToken) -> Response {
    if headers["accept"] != "text/event-stream" {
        return Json(json!({ "items": stage.act.borrow().events, "next": null })).into_response();
    }
    stage.streams.send_modify(|n| *n += 1);
    let after: u64 = headers.get("last-event-id").map_or(0, |v| v.to_str().unwrap().parse().unwrap());
    let place = (stage.act.subscribe(), usize::try_from(after).unwrap(), gone);
    let frames = stream::unfold(place, async |(mut act, at, gone)| {
        let next = tokio::select! {
            biased;
            () = gone.cancelled() => None,
            next = act.wait_for(|act| act.events.len() > at || run_of(act)["ended_at"].is_string()) => {
                next.ok().and_then(|act| act.events.get(at).cloned())
            }
        }?;
        let kind = next["kind"].as_str().unwrap().to_owned();
        let frame = Event::default().id(next["seq"].to_string()).event(kind).data(next.to_string());
        Some((Ok::<_, Infallible>(frame), (act, at + 1, gone)))
    });
    Sse::new(frames).into_response()
}
