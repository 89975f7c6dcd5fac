//! A gateway over in-memory ports, with an owner that applies commands by the simplest of rules, so
//! that endpoints can be tested without the services behind them.

mod faulty;
mod owner;

use crate::{Config, Gateway, Ports};
use aidt_artifacts::{Artifacts, ObjectArtifacts};
use aidt_domain::{Clock, Digest, Effect, Pool, ProcessId, RunId, Timestamp, ToolEntry, ToolReads};
use aidt_lock::Locks;
use aidt_lock::memory::MemoryLocks;
use aidt_plan::Catalogue;
use aidt_queue::memory::MemoryQueue;
use aidt_store::memory::MemoryStore;
use aidt_store::{ProcessRow, Store};
use axum::Router;
use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
pub(crate) use faulty::Fault;
use faulty::FaultyInbox;
use http::{HeaderMap, Request, header};
use http_body_util::BodyExt;
pub(crate) use owner::{Owner, Write};
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;
use uuid::Uuid;

/// A clock that follows tokio's, which the tests pause.
#[derive(Debug)]
struct TestClock(Instant);

impl Clock for TestClock {
    fn now(&self) -> Timestamp {
        Timestamp(1_795_267_086_001).plus(self.0.elapsed())
    }
}

/// A gateway, what is behind it, and a way to call it.
pub(crate) struct TestApp {
    pub(crate) store: Store,
    pub(crate) locks: Arc<dyn Locks>,
    pub(crate) queue: Arc<MemoryQueue>,
    pub(crate) artifacts: Arc<dyn Artifacts>,
    pub(crate) shutdown: CancellationToken,
    router: Router,
    tasks: JoinSet<()>,
}

/// A response, read to its end.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) text: String,
}

impl Answer {
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|e| panic!("{e} in {self:?}"))
    }

    /// Asserts status and code of a problem document; gives its detail.
    #[track_caller]
    pub(crate) fn problem(&self, status: u16, code: &str) -> String {
        assert_eq!(self.status, status, "{self:?}");
        assert_eq!(self.headers[header::CONTENT_TYPE], "application/problem+json");
        let json = self.json();
        assert_eq!((&json["code"], &json["status"]), (&json!(code), &json!(status)));
        json["detail"].as_str().unwrap().to_owned()
    }

    #[track_caller]
    pub(crate) fn ok(&self) -> Value {
        assert_eq!(self.status, 200, "{self:?}");
        self.json()
    }
}

pub(crate) fn tool(name: &str) -> ToolEntry {
    ToolEntry {
        name: name.to_owned(),
        pool: Pool::new("builtin").unwrap(),
        capability: name.to_owned(),
        effect: Effect::Read,
        description: String::new(),
        input_schema: Value::Bool(true),
        output_schema: Value::Bool(true),
        reads: ToolReads::None,
        writes: ToolReads::None,
        min_sandbox: "none".to_owned(),
    }
}

/// Three steps, one after the other, and one beside them.
pub(crate) fn plan() -> Value {
    json!({
        "name": "demo",
        "inputs": {"who": {"type": "string", "default": "world"}},
        "labels": {"team": "core", "env": "test"},
        "steps": [
            {"id": "a", "tool": "debug.echo", "with": {"value": "${{ inputs.who }}"}},
            {"id": "b", "tool": "debug.echo", "with": {"value": 2}, "needs": ["a"]},
            {"id": "c", "tool": "debug.echo", "with": {"value": 3}, "needs": ["b"]},
            {"id": "beside", "tool": "debug.sleep", "with": {"ms": 5}},
        ],
    })
}

impl TestApp {
    pub(crate) fn new() -> Self {
        Self::with(Config::default())
    }

    pub(crate) fn with(config: Config) -> Self {
        let clock: Arc<dyn Clock> = Arc::new(TestClock(Instant::now()));
        let memory = MemoryStore::new(2, clock.clone());
        Self::over(config, Store::new(memory), clock, Vec::new())
    }

    pub(crate) fn not_ready(reason: &str) -> Self {
        let clock: Arc<dyn Clock> = Arc::new(TestClock(Instant::now()));
        let store = Store::new(MemoryStore::new(2, clock.clone()));
        Self::over(Config::default(), store, clock, vec![reason.to_owned()])
    }

    /// Its inbox fails so often, in this way, before it works.
    pub(crate) fn faulty(faults: &[Fault]) -> Self {
        let clock: Arc<dyn Clock> = Arc::new(TestClock(Instant::now()));
        let mut store = Store::new(MemoryStore::new(2, clock.clone()));
        store.inbox = Arc::new(FaultyInbox::new(store.inbox, faults));
        Self::over(Config::default(), store, clock, Vec::new())
    }

    fn over(config: Config, store: Store, clock: Arc<dyn Clock>, not_ready: Vec<String>) -> Self {
        let locks: Arc<dyn Locks> = Arc::new(MemoryLocks::new());
        let shutdown = CancellationToken::new();
        let queue = Arc::new(MemoryQueue::new(clock.clone(), "test".to_owned()));
        let artifacts: Arc<dyn Artifacts> = Arc::new(ObjectArtifacts::memory(1 << 20));
        let next = AtomicU64::new(1);
        let catalogue = Catalogue::new(vec![tool("debug.echo"), tool("debug.sleep")]);
        let ports = Ports {
            store: store.clone(),
            queue: queue.clone(),
            locks: locks.clone(),
            artifacts: Some(artifacts.clone()),
            catalogue: Arc::new(catalogue),
            clock,
            ids: Arc::new(move || Uuid::from_u128(u128::from(next.fetch_add(1, Ordering::Relaxed)))),
            readiness: Arc::new(move || not_ready.clone()),
            shutdown: shutdown.clone(),
        };
        let router = Gateway::new(config, ports).unwrap().router();
        Self { store, locks, queue, artifacts, shutdown, router, tasks: JoinSet::new() }
    }

    /// Applies what is in the inbox, once.
    pub(crate) fn owner(&self) -> Owner {
        Owner::new(self.store.clone(), self.locks.clone())
    }

    /// Applies what comes into the inbox from now on, each 10 ms.
    pub(crate) fn with_owner(mut self) -> Self {
        let owner = self.owner();
        self.tasks.spawn(async move {
            loop {
                owner.turn().await;
                tokio::time::sleep(std::time::Duration::from_millis(10)).await;
            }
        });
        self
    }

    /// Registers a process with workers that serve these tools.
    pub(crate) async fn worker(&self, tools: &[Digest]) {
        let process = ProcessRow {
            id: ProcessId(Uuid::from_u128(99)),
            service: "step-consumer,tool-worker".to_owned(),
            slots: [(Pool::new("builtin").unwrap(), 4)].into(),
            tools: tools.to_vec(),
            format: 1,
            policy_revision: "r1".to_owned(),
            heartbeat: Timestamp(0),
            closed: false,
        };
        self.store.processes.register(process).await.unwrap();
    }

    /// Sends a request and gives the response as it begins.
    pub(crate) async fn send(&self, request: Request<Body>) -> Response {
        self.router.clone().oneshot(request).await.unwrap()
    }

    pub(crate) async fn call(&self, request: Request<Body>) -> Answer {
        let response = self.send(request).await;
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let bytes: Bytes = response.into_body().collect().await.unwrap().to_bytes();
        Answer { status, headers, text: String::from_utf8(bytes.to_vec()).unwrap() }
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.call(request("GET", path).body(Body::empty()).unwrap()).await
    }

    pub(crate) async fn post(&self, path: &str, body: Value) -> Answer {
        self.post_with(path, &[], body.to_string()).await
    }

    pub(crate) async fn post_with(&self, path: &str, headers: &[(&str, &str)], body: impl Into<Body>) -> Answer {
        let mut request = request("POST", path).header(header::CONTENT_TYPE, "application/json");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.call(request.body(body.into()).unwrap()).await
    }

    /// Submits the plan; its start waits in the inbox.
    pub(crate) async fn submit(&self) -> RunId {
        let answer = self.post("/v1/runs", json!({"plan": plan()})).await;
        assert_eq!(answer.status, 202, "{answer:?}");
        answer.json()["id"].as_str().unwrap().parse().unwrap()
    }

    /// Submits the plan, and its owner takes it up.
    pub(crate) async fn running(&self) -> RunId {
        let run = self.submit().await;
        self.owner().turn().await;
        run
    }
}

pub(crate) fn request(method: &str, path: &str) -> http::request::Builder {
    Request::builder().method(method).uri(path).header(header::HOST, "localhost:7400")
}
