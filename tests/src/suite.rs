//! What holds on every stack: the bodies of the end-to-end tests. `suite!` makes tests of them; the same
//! run embedded, and with each service in a process of its own over real servers.

#![expect(clippy::missing_panics_doc, reason = "a test fails by panicking")]

use crate::{Stage, eventually, request, text};
use serde_json::{Value, json};
use std::time::Duration;

/// Makes a test of each body, on a fresh stage from this function.
#[macro_export]
macro_rules! suite {
    ($stage:path) => {
        $crate::suite!($stage:
            a_drain_lets_running_steps_end,
            a_failed_step_is_retried_by_policy_then_by_a_person,
            a_run_survives_kill_9,
            an_idempotency_key_makes_one_run,
            cancel_retry_and_explain_by_api,
            events_stream_and_resume,
            nobody_is_buried_by_a_burst,
            the_door_refuses_other_hosts_and_origins
        );
    };
    ($stage:path: $($name:ident),+) => {
        $(#[test]
        fn $name() {
            $crate::suite::$name(&$stage());
        })+
    };
}

/// So many steps, one after the other.
#[must_use]
pub fn chain(n: usize) -> Value {
    let steps: Vec<Value> = (0..n)
        .map(|i| {
            let needs: Vec<String> = if i == 0 { vec![] } else { vec![format!("s{}", i - 1)] };
            json!({"id": format!("s{i}"), "tool": "debug.echo", "needs": needs, "with": {"value": i}})
        })
        .collect();
    json!({"name": "chain", "steps": steps})
}

/// A step that sleeps, and one after it.
#[must_use]
pub fn sleeper(ms: u64) -> Value {
    json!({"name": "sleeper", "steps": [
        {"id": "a", "tool": "debug.sleep", "with": {"ms": ms}},
        {"id": "b", "tool": "debug.echo", "needs": ["a"], "with": {"value": 1}}
    ]})
}

/// History has no gaps.
///
/// # Panics
/// When it has.
pub fn assert_gapless(events: &[Value]) {
    let seqs: Vec<u64> = events.iter().map(|e| e["seq"].as_u64().unwrap()).collect();
    assert_eq!(seqs, (1..=seqs.len() as u64).collect::<Vec<_>>());
}

/// Every process is killed at once and started again.
pub fn a_run_survives_kill_9(stage: &Stage) {
    let server = stage.up();
    let runs: Vec<String> = (0..10).map(|_| server.submit(&sleeper(400))).collect();
    eventually("something runs", Duration::from_secs(20), || server.run(&runs[0])["state"] == "running");
    server.kill();
    let server = stage.up();
    for run in &runs {
        server.until(run, &["done"]);
        let events = server.events(run);
        assert_gapless(&events);
        let finished = events.iter().filter(|e| e["kind"] == "step_finished" && e["step"] == "a").count();
        assert_eq!(finished, 1, "{events:#?}");
    }
}

/// SIGTERM while a step runs.
pub fn a_drain_lets_running_steps_end(stage: &Stage) {
    let server = stage.up();
    let run = server.submit(&sleeper(700));
    eventually("it runs", Duration::from_secs(20), || server.events(&run).iter().any(|e| e["kind"] == "step_started"));
    assert_eq!(server.terminate(), Some(0));
    let server = stage.up();
    server.until(&run, &["done"]);
    let dispatched = server.events(&run).iter().filter(|e| e["kind"] == "step_dispatched" && e["step"] == "a").count();
    assert_eq!(dispatched, 1, "nothing that was done is redone");
}

/// The same key, twice.
pub fn an_idempotency_key_makes_one_run(stage: &Stage) {
    let server = stage.up();
    let body = json!({"plan": chain(2)});
    let post = |body: &Value| request(&server.address, "POST", "/v1/runs", &[("idempotency-key", "k1")], Some(body));
    let (first, again) = (post(&body), post(&body));
    assert_eq!((first.status, again.status), (202, 202));
    assert_eq!(first.json()["id"], again.json()["id"]);
    let other = post(&json!({"plan": chain(3)}));
    assert_eq!(other.status, 422, "{}", other.body);
    assert_eq!(other.json()["code"], "idempotency_key_reused");
}

/// Whom a gateway without keys lets in.
pub fn the_door_refuses_other_hosts_and_origins(stage: &Stage) {
    let server = stage.up();
    let get = |headers: &[(&str, &str)]| request(&server.address, "GET", "/v1/runs", headers, None).status;
    assert_eq!(get(&[]), 200);
    assert_eq!(get(&[("host", "evil.example")]), 403);
    assert_eq!(get(&[("origin", "http://evil.example")]), 403);
    let output = stage.home().run(&["serve", "--listen", "0.0.0.0:0"]);
    assert_eq!(output.status.code(), Some(2), "{}", text(&output));
}

/// Server-sent events, from the start and from the middle.
pub fn events_stream_and_resume(stage: &Stage) {
    let server = stage.up();
    let run = server.submit(&chain(3));
    server.until(&run, &["done"]);
    let path = format!("/v1/runs/{run}/events");
    let stream = |last: &str| {
        let headers = [("accept", "text/event-stream"), ("last-event-id", last)];
        request(&server.address, "GET", &path, &headers, None).body
    };
    let whole = stream("0");
    assert!(whole.contains("event: run_started") && whole.contains("event: run_done"), "{whole}");
    let rest = stream("3");
    assert!(!rest.contains("id: 3\n") && rest.contains("id: 4\n"), "{rest}");
}

/// What people do to a run.
pub fn cancel_retry_and_explain_by_api(stage: &Stage) {
    let server = stage.up();
    let run = server.submit(&sleeper(60_000));
    eventually("it runs", Duration::from_secs(20), || server.events(&run).iter().any(|e| e["kind"] == "step_started"));
    let why = server.get(&format!("/v1/runs/{run}/explain")).json();
    let codes: Vec<_> = why["reasons"].as_array().unwrap().iter().map(|r| r["code"].clone()).collect();
    assert!(codes.contains(&json!("running")) && codes.contains(&json!("dependency")), "{why}");
    let cancelled = server.post(&format!("/v1/runs/{run}/cancel"), &json!({"reason": "enough"}));
    assert_eq!(cancelled.status, 200, "{}", cancelled.body);
    server.until(&run, &["cancelled"]);
    let again = server.post(&format!("/v1/runs/{run}/cancel"), &json!({}));
    assert_eq!((again.status, again.json()["code"].clone()), (409, json!("not_applicable")));
    let unknown = server.post("/v1/runs/run_00000000000000000000000000000000/cancel", &json!({}));
    assert_eq!(unknown.status, 404);
}

/// Two roads to another attempt.
pub fn a_failed_step_is_retried_by_policy_then_by_a_person(stage: &Stage) {
    let server = stage.up();
    let plan = json!({"name": "r", "steps": [
        {"id": "a", "tool": "debug.fail", "with": {"message": "no"},
            "retry": {"max_attempts": 3, "initial": "10ms", "jitter": "none"}},
        {"id": "b", "tool": "debug.echo", "needs": ["a"], "with": {"value": 1}},
        {"id": "c", "tool": "debug.echo", "needs": ["a"], "if": "always()", "with": {"value": "${{ steps.a.state }}"}}
    ]});
    let run = server.submit(&plan);
    let failed = server.until(&run, &["failed"]);
    assert_eq!(failed["error"]["step"], "a");
    let kinds: Vec<_> = server.events(&run).iter().map(|e| e["kind"].as_str().unwrap().to_owned()).collect();
    assert_eq!(kinds.iter().filter(|k| *k == "step_retrying").count(), 2, "{kinds:?}");
    let steps = server.get(&format!("/v1/runs/{run}/steps")).json();
    let states: Vec<_> = steps["items"].as_array().unwrap().iter().map(|s| s["state"].clone()).collect();
    assert_eq!(states, ["failed", "skipped", "done"]);
    let retried = server.post(&format!("/v1/runs/{run}/retry"), &json!({}));
    assert_eq!(retried.status, 200, "{}", retried.body);
    server.until(&run, &["failed"]);
    assert!(server.events(&run).iter().any(|e| e["kind"] == "run_reopened"));
}

/// The slots of the built-in worker, unless it is told otherwise.
const SLOTS: usize = 64;

/// Another project's single step, and one of high priority, among 10,000 steps that came first.
pub fn nobody_is_buried_by_a_burst(stage: &Stage) {
    let server = stage.up();
    let steps = |n: usize| -> Vec<Value> {
        (0..n).map(|i| json!({"id": format!("s{i}"), "tool": "debug.sleep", "with": {"ms": 50}})).collect()
    };
    let burst: Vec<String> = (0..20).map(|_| server.submit(&json!({"name": "burst", "steps": steps(500)}))).collect();
    eventually("the burst runs", Duration::from_secs(60), || server.run(&burst[19])["state"] == "running");
    let urgent = server.submit(&json!({"name": "urgent", "priority": 100, "steps": steps(1)}));
    let header = [("x-aidt-project", "other")];
    let body = json!({"plan": {"name": "alone", "steps": steps(1)}});
    let alone = request(&server.address, "POST", "/v1/runs", &header, Some(&body));
    assert_eq!(alone.status, 202, "{}", alone.body);
    let alone = alone.json()["id"].as_str().unwrap().to_owned();
    server.until(&urgent, &["done"]);
    let get = |path: &str| request(&server.address, "GET", path, &header, None).json();
    eventually("the other project's run ends", Duration::from_secs(60), || {
        get(&format!("/v1/runs/{alone}"))["state"] == "done"
    });
    let waiting = |run: &String| !matches!(server.run(run)["state"].as_str(), Some("done" | "failed"));
    assert!(burst.iter().any(waiting), "the burst was over before: nothing was shown");
    for run in &burst {
        drop(server.post(&format!("/v1/runs/{run}/cancel"), &json!({})));
    }
    let at = |events: &[Value], kind: &str| {
        events.iter().find(|e| e["kind"] == kind).and_then(|e| e["at"].as_str()).map(str::to_owned).unwrap()
    };
    let dispatched = burst.iter().flat_map(|run| server.events(run)).filter(|e| e["kind"] == "step_dispatched");
    let dispatched: Vec<String> = dispatched.map(|e| e["at"].as_str().unwrap().to_owned()).collect();
    let others = get(&format!("/v1/runs/{alone}/events?limit=100"))["items"].as_array().unwrap().clone();
    for (who, events) in [("urgent", server.events(&urgent)), ("alone", others)] {
        let (from, to) = (at(&events, "run_started"), at(&events, "step_dispatched"));
        let before = dispatched.iter().filter(|at| **at > from && **at < to).count();
        println!("{who}: {before} steps of the burst were handed out before it");
        assert!(before <= 2 * SLOTS, "{who}: {before}");
    }
}
