//! The client against a small server of the same shapes.

#![expect(clippy::unwrap_used, reason = "tests")]

use aidt_client::{Client, ClientError, Endpoint, Follow, RetryFrom, RunFilter, Submission, Update};
use aidt_domain::{ErrorCode, RunId, RunState, Seq};
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::response::sse::{Event, Sse};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use futures::{StreamExt, stream};
use serde_json::{Value, json};
use std::convert::Infallible;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

const RUN: &str = "run_00000000000000000000000000000007";

fn run() -> RunId {
    RUN.parse().unwrap()
}

/// What was asked, and how many events a stream gives before it breaks off.
#[derive(Default)]
struct Server {
    asked: Mutex<Vec<String>>,
    peers: Mutex<Vec<std::net::SocketAddr>>,
    per_stream: usize,
    total: u64,
}

impl Server {
    fn note(&self, line: impl Into<String>) {
        self.asked.lock().unwrap().push(line.into());
    }

    fn asked(&self) -> Vec<String> {
        std::mem::take(&mut *self.asked.lock().unwrap())
    }
}

fn problem(status: u16, code: &str) -> Response {
    let body = json!({ "code": code, "detail": "no", "help": "yes", "status": status });
    let status = StatusCode::from_u16(status).unwrap();
    (status, [(header::CONTENT_TYPE, "application/problem+json"), (header::RETRY_AFTER, "3")], Json(body))
        .into_response()
}

async fn submit(State(server): State<Arc<Server>>, headers: HeaderMap, Json(body): Json<Value>) -> Response {
    let key = headers.get("idempotency-key").and_then(|v| v.to_str().ok()).unwrap_or("-");
    server.note(format!("{key} {body}"));
    (StatusCode::ACCEPTED, Json(json!({ "id": RUN, "state": "created", "warnings": [] }))).into_response()
}

async fn command(
    State(server): State<Arc<Server>>,
    Path((_, verb)): Path<(String, String)>,
    Json(body): Json<Value>,
) -> Response {
    server.note(format!("{verb} {body}"));
    match verb.as_str() {
        "cancel" => Json(json!({
            "id": RUN, "state": "cancelling", "applied": true, "command": "cmd_00000000000000000000000000000001",
            "seq": 4, "kind": "run_cancelling", "at": "2026-11-21T13:18:06.000Z", "by": "local",
        }))
        .into_response(),
        "retry" => {
            let body = json!({ "id": RUN, "state": "failed", "applied": false, "command": "cmd_00000000000000000000000000000001" });
            (StatusCode::ACCEPTED, Json(body)).into_response()
        }
        _ => problem(409, "not_applicable"),
    }
}

async fn events(State(server): State<Arc<Server>>, headers: HeaderMap) -> Response {
    let after = headers.get("last-event-id").map_or(0, |v| v.to_str().unwrap().parse().unwrap());
    server.note(format!("events after {after}"));
    if after >= server.total {
        return StatusCode::NO_CONTENT.into_response();
    }
    let frames = (after + 1..=server.total).take(server.per_stream).map(|seq| {
        let data = json!({ "seq": seq, "kind": "step_progress", "at": "2026-11-21T13:18:06.000Z" });
        Ok::<_, Infallible>(Event::default().id(seq.to_string()).event("step_progress").data(data.to_string()))
    });
    let live = json!({ "step": "a", "dispatch": 1, "offset": 0, "text": "hi" }).to_string();
    let live = Ok(Event::default().event("step_output").data(live));
    Sse::new(stream::iter([live]).chain(stream::iter(frames.collect::<Vec<_>>()))).into_response()
}

async fn get_run(State(server): State<Arc<Server>>, uri: Uri) -> Response {
    server.note(uri.to_string());
    Json(json!({ "id": RUN, "state": "done", "error": null, "outputs": {}, "last_seq": server.total })).into_response()
}

async fn list(State(server): State<Arc<Server>>, uri: Uri) -> Response {
    server.note(uri.to_string());
    Json(json!({ "items": [], "next": 7 })).into_response()
}

async fn steps(State(server): State<Arc<Server>>, uri: Uri) -> Response {
    server.note(uri.to_string());
    let step = |path: &str| json!({ "path": path, "state": "done", "attempt": 1, "dispatch": 1, "output": 1 });
    Json(match uri.query() {
        None => json!({ "items": [step("a")], "next": "a" }),
        Some(_) => json!({ "items": [step("b[1]")], "next": null }),
    })
    .into_response()
}

fn router(server: Arc<Server>) -> Router {
    Router::new()
        .route("/v1/runs", post(submit).get(list))
        .route("/v1/runs/{run}", get(get_run))
        .route("/v1/runs/{run}/steps", get(steps))
        .route("/v1/runs/{run}/events", get(events))
        .route("/v1/runs/{run}/{verb}", post(command).get(get_run))
        .route("/ready", get(|| async { problem(503, "unavailable") }))
        .route("/v1/tools", get(|| async { (StatusCode::BAD_GATEWAY, "<html>") }))
        .with_state(server)
}

/// Serves on a free port until the set is dropped.
async fn serve(server: Arc<Server>) -> (Client, JoinSet<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
    let mut tasks = JoinSet::new();
    let (watched, app) = (server.clone(), router(server));
    tasks.spawn(async move {
        let app = app.into_make_service_with_connect_info::<std::net::SocketAddr>();
        let listener = axum::serve::ListenerExt::tap_io(listener, move |io: &mut tokio::net::TcpStream| {
            watched.peers.lock().unwrap().push(io.peer_addr().unwrap());
        });
        axum::serve(listener, app).await.unwrap();
    });
    (Client::new(endpoint), tasks)
}

#[tokio::test]
async fn calls_have_the_shapes_of_the_api() {
    let server = Arc::new(Server::default());
    let (client, _tasks) = serve(server.clone()).await;
    let submission = Submission { plan: Some(json!("notes@1")), ..Submission::default() };
    let accepted = client.submit(&submission, "k1").await.unwrap();
    assert_eq!((accepted.id, accepted.state), (run(), RunState::Created));
    assert_eq!(server.asked(), [r#"k1 {"inputs":{},"plan":"notes@1"}"#]);

    let filter = RunFilter {
        states: vec![RunState::Done, RunState::Failed],
        labels: vec!["team=a b".into()],
        limit: Some(3),
        after: Some("x/y".into()),
        ..RunFilter::default()
    };
    assert_eq!(client.runs(&filter).await.unwrap().next.as_deref(), Some("7"));
    assert_eq!(server.asked(), ["/v1/runs?state=done&state=failed&label=team%3Da%20b&limit=3&after=x%2Fy"]);

    let paths: Vec<String> = client.steps(run()).await.unwrap().iter().map(|s| s.path.to_string()).collect();
    assert_eq!(paths, ["a", "b[1]"]);
    server.asked();
    assert_eq!(client.wait(run(), Duration::from_millis(1500)).await.unwrap().state, RunState::Done);
    assert_eq!(server.asked(), [format!("/v1/runs/{RUN}/wait?timeout=1.5")]);
}

#[tokio::test]
async fn commands_answer_with_the_event_that_they_caused() {
    let server = Arc::new(Server::default());
    let (client, _tasks) = serve(server.clone()).await;
    let applied = client.cancel(run(), "why").await.unwrap();
    let event = applied.event.unwrap();
    assert_eq!((applied.state, applied.applied, event.kind.as_str()), (RunState::Cancelling, true, "run_cancelling"));
    assert_eq!(event.fields.keys().collect::<Vec<_>>(), ["by"]);

    let applied = client.retry(run(), &RetryFrom::Step("b".parse().unwrap())).await.unwrap();
    assert!(!applied.applied && applied.event.is_none());

    let refused =
        client.resolve(run(), &"b".parse().unwrap(), &aidt_domain::ResolveAs::Done(json!(1))).await.unwrap_err();
    assert_eq!(refused.code(), ErrorCode::NotApplicable);
    assert_eq!(
        server.asked(),
        [r#"cancel {"reason":"why"}"#, r#"retry {"step":"b"}"#, r#"resolve {"output":1,"resolve":"done","step":"b"}"#]
    );
}

#[tokio::test]
async fn problems_are_typed_also_where_something_else_answers() {
    let (client, _tasks) = serve(Arc::default()).await;
    let error = client.ready().await.unwrap_err();
    let problem = error.problem().unwrap();
    assert_eq!((problem.code, problem.help.as_str()), (ErrorCode::Unavailable, "yes"));
    assert_eq!(problem.retry_after, Some(Duration::from_secs(3)));
    assert!(!error.is_connection());
    assert_eq!(client.tools().await.unwrap_err().code(), ErrorCode::Unavailable);
}

#[tokio::test]
async fn one_connection_serves_many_calls() {
    let server = Arc::new(Server::default());
    let (client, _tasks) = serve(server.clone()).await;
    for _ in 0..5 {
        client.run(run()).await.unwrap();
        client.ready().await.unwrap_err();
    }
    assert_eq!(server.peers.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn nobody_there_is_told_from_a_lost_connection() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("aidt.sock");
    let client = Client::new(Endpoint::Unix(path.clone()));
    let error = client.run(run()).await.unwrap_err();
    assert!(matches!(error, ClientError::Connect { .. }) && error.is_connection(), "{error:?}");
    assert_eq!(error.code(), ErrorCode::Unavailable);

    // Takes a connection, and drops it.
    let listener = tokio::net::UnixListener::bind(&path).unwrap();
    let mut tasks = JoinSet::new();
    tasks.spawn(async move { drop(listener.accept().await) });
    let error = client.run(run()).await.unwrap_err();
    assert!(matches!(error, ClientError::Lost { .. }) && error.is_connection(), "{error:?}");
}

#[tokio::test]
async fn a_kept_connection_that_was_closed_is_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("aidt.sock");
    let client = Client::new(Endpoint::Unix(path.clone()));
    for _ in 0..2 {
        let listener = tokio::net::UnixListener::bind(&path).unwrap();
        let mut tasks = JoinSet::new();
        tasks.spawn(async move { axum::serve(listener, router(Arc::default())).await.unwrap() });
        client.run(run()).await.unwrap();
        tasks.shutdown().await;
        std::fs::remove_file(&path).unwrap();
    }
}

#[tokio::test]
async fn a_follower_gives_each_event_once_across_connections() {
    let server = Arc::new(Server { per_stream: 3, total: 8, ..Server::default() });
    let (client, _tasks) = serve(server.clone()).await;
    let mut follow = Follow::new(&client, run(), Seq(1), Duration::from_secs(5));
    let (mut seqs, mut outputs) = (Vec::new(), 0);
    while let Some(update) = follow.next().await.unwrap() {
        match update {
            Update::Event(event) => seqs.push(event.seq.0),
            Update::Output(_) => outputs += 1,
        }
    }
    assert_eq!(seqs, (2..=8).collect::<Vec<_>>());
    assert_eq!((outputs, follow.last()), (3, Seq(8)));
    let asked: Vec<String> = server.asked().into_iter().filter(|a| a.starts_with("events")).collect();
    assert_eq!(asked, ["events after 1", "events after 4", "events after 7"]);
}

#[tokio::test]
async fn a_follower_gives_up_when_nobody_comes_back() {
    let (client, mut tasks) = serve(Arc::new(Server { per_stream: 1, total: 2, ..Server::default() })).await;
    let mut follow = Follow::new(&client, run(), Seq(0), Duration::from_millis(50));
    while let Some(Update::Output(_)) = follow.next().await.unwrap() {}
    tasks.shutdown().await;
    let error = follow.next().await.unwrap_err();
    assert!(error.is_connection(), "{error:?}");
}

#[test]
fn its_futures_can_be_spawned() {
    fn send<T: Send>(_: &T) {}
    let client = Client::new("http://127.0.0.1:1".parse().unwrap());
    let mut follow = Follow::new(&client, run(), Seq(0), Duration::ZERO);
    send(&client.run(run()));
    send(&follow.next());
}
