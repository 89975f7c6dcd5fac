//! A worker in another language, written from the published page alone.

#![expect(clippy::disallowed_methods, reason = "tests live outside: in real time, with real processes")]

use aidt_tests::{Home, PythonWorker, eventually, python_tools, repository, text};
use serde_json::{Value, json};
use std::time::Duration;

fn plan(tool: &str, ms: u64) -> Value {
    json!({"name": "python", "permissions": ["example.run"],
        "steps": [{"id": "call", "tool": tool, "with": {"value": "hi", "ms": ms}}]})
}

#[test]
fn it_serves_its_tools_over_a_server() {
    let home = Home::default();
    let server = home.serve(&["--tools", &python_tools()]);
    let run = server.submit(&plan("example.once", 0));
    eventually("the run waits for a worker", Duration::from_secs(10), || {
        let why = server.get(&format!("/v1/runs/{run}/explain")).json();
        why["reasons"].as_array().is_some_and(|r| r.iter().any(|r| r["code"] == "no_worker"))
    });
    let worker = PythonWorker::start(&home);
    let done = server.until(&run, &["done", "failed"]);
    assert_eq!(done["state"], "done", "{done}");
    let executed = worker.executed();
    assert_eq!(executed.len(), 1, "{executed:?}");
    assert_eq!((executed[0][0].as_str(), executed[0][1].as_str()), ("example.once", run.as_str()));
}

/// Runs a plan with a worker of its own, which executes one call.
fn run_with_worker(home: &Home) {
    let python = std::env::var("AIDT_PYTHON").unwrap_or_else(|_| "python3".to_owned());
    let worker = repository().join("docs/examples/python-worker/worker.py");
    let count = home.file("count", "");
    let command = format!("{python} {} --count {}", worker.display(), count.display());
    let plan = home.file("p.json", &plan("example.idempotent", 0).to_string());
    let output =
        home.run(&["run", plan.to_str().expect("a path in UTF-8"), "--tools", &python_tools(), "--worker", &command]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output));
    assert_eq!(std::fs::read_to_string(count).expect("the worker counts").lines().count(), 1);
}

#[test]
fn run_starts_it() {
    run_with_worker(&Home::default());
}

#[test]
fn run_lends_it_to_who_holds_the_home() {
    let home = Home::default();
    let _server = home.serve(&["--tools", &python_tools()]);
    run_with_worker(&home);
}

#[test]
fn an_ambiguous_once_is_unknown_until_a_person_settles_it() {
    let home = Home::default();
    let server = home.serve(&["--tools", &python_tools()]);
    let worker = PythonWorker::start(&home);
    let run = server.submit(&plan("example.once", 60_000));
    eventually("the call runs", Duration::from_secs(20), || !worker.executed().is_empty());
    drop(worker);
    eventually("the outcome is unknown", Duration::from_secs(40), || {
        let why = server.get(&format!("/v1/runs/{run}/explain")).json();
        why["reasons"].as_array().is_some_and(|r| r.iter().any(|r| r["code"] == "unknown_outcome"))
    });
    let settled =
        server.post(&format!("/v1/runs/{run}/steps/call/resolve"), &json!({"resolve": "done", "output": {"ok": 1}}));
    assert_eq!(settled.status, 200, "{}", settled.body);
    server.until(&run, &["done"]);
}
