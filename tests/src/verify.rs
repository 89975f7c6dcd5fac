//! What must hold for every accepted run, whatever happened: it ended, each step was recorded once, history has
//! no gaps, and effects are as classed.

use crate::{Dice, Server, holds_within};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// A step: run and path.
pub type StepOf = (String, String);

/// A run whose effects the Python worker counts. One that must happen once takes up to this time after it.
#[must_use]
pub fn plan(dice: &mut Dice, once_ms: u64) -> Value {
    let once = json!({"value": 1, "ms": dice.roll(once_ms)});
    let idempotent = json!({"value": 2, "ms": dice.roll(60)});
    json!({"name": "crash", "permissions": ["example.run", "debug.run"], "steps": [
        {"id": "echo", "tool": "debug.echo", "with": {"value": 0}},
        {"id": "once", "tool": "example.once", "needs": ["echo"], "with": once},
        {"id": "again", "tool": "example.idempotent", "needs": ["echo"], "with": idempotent},
        {"id": "nap", "tool": "debug.sleep", "needs": ["echo"], "with": {"ms": dice.roll(150)}},
        {"id": "last", "tool": "example.once", "needs": ["once", "again", "nap"], "with": {"value": 3}}
    ]})
}

/// Waits until the run has ended, and settles each doubt meanwhile as a person would. Answers what was in doubt.
///
/// # Panics
/// When it does not end within the time, does not end well, or doubts an effect that may be repeated.
pub fn settle(server: &Server, run: &str, within: Duration) -> BTreeSet<StepOf> {
    let mut unknown = BTreeSet::new();
    let mut last = Value::Null;
    let ends = || {
        let reply = server.get(&format!("/v1/runs/{run}"));
        if reply.status != 200 {
            return false;
        }
        last = reply.json();
        if last["counts"]["unknown"].as_u64().unwrap_or(0) > 0 {
            unknown.extend(resolve(server, run));
        }
        matches!(last["state"].as_str(), Some("done" | "failed" | "cancelled"))
    };
    let ended = holds_within(within, ends);
    assert!(ended, "{run} does not end within {within:?}: {last}; explain: {}", explain(server, run));
    assert_eq!(last["state"], "done", "{last}");
    unknown
}

/// What the run waits for, for a failing assertion.
#[must_use]
pub fn explain(server: &Server, run: &str) -> String {
    server.get(&format!("/v1/runs/{run}/explain")).body
}

/// Settles what is in doubt now.
fn resolve(server: &Server, run: &str) -> Vec<StepOf> {
    let steps = server.get(&format!("/v1/runs/{run}/steps")).json();
    let unknown = steps["items"].as_array().unwrap().iter().filter(|s| s["state"] == "unknown");
    unknown
        .map(|step| {
            assert_eq!(step["effect"], "once", "only once may be unknown: {step}");
            let path = step["path"].as_str().unwrap().to_owned();
            let done = json!({"resolve": "done", "output": {}});
            let settled = server.post(&format!("/v1/runs/{run}/steps/{path}/resolve"), &done);
            // It may just have been settled by a late result.
            assert!([200, 202, 409].contains(&settled.status), "{}", settled.body);
            (run.to_owned(), path)
        })
        .collect()
}

/// Reads and checks a run's history: no gaps, time does not run back, and each step was recorded once, under a
/// dispatch that was decided on before.
///
/// # Panics
/// When one of these does not hold.
#[must_use]
pub fn history(server: &Server, run: &str) -> Vec<Value> {
    let events = server.events(run);
    let seqs: Vec<u64> = events.iter().map(|e| e["seq"].as_u64().unwrap()).collect();
    assert_eq!(seqs, (1..=seqs.len() as u64).collect::<Vec<_>>(), "{run} has gaps");
    let (mut recorded, mut dispatched) = (BTreeSet::new(), BTreeSet::new());
    let mut at = "";
    for e in &events {
        let (step, dispatch) = (e["step"].to_string(), e["dispatch"].to_string());
        match e["kind"].as_str().unwrap() {
            "step_dispatched" => assert!(dispatched.insert((step, dispatch)), "{run} dispatched twice: {e}"),
            "step_started" => assert!(dispatched.contains(&(step, dispatch)), "without a decision: {e}"),
            "step_finished" => {
                assert!(dispatched.contains(&(step.clone(), dispatch)), "without a decision: {e}");
                assert!(recorded.insert(step), "{run} recorded twice: {e}");
            }
            _ => {}
        }
        // Of one form and length, so their order as texts is that in time.
        let now = e["at"].as_str().unwrap();
        assert!(at <= now, "{run}: time runs back at {e}");
        at = now;
    }
    events
}

/// Compares what the Python worker counted with what the histories of these runs say: no effect of class `once`
/// happened twice, and each that is recorded as done, and was never in doubt, happened.
///
/// # Panics
/// When not.
pub fn effects(executed: &[Vec<String>], histories: &BTreeMap<String, Vec<Value>>, unknown: &BTreeSet<StepOf>) {
    let mut counted: BTreeMap<StepOf, usize> = BTreeMap::new();
    for call in executed.iter().filter(|call| call.len() == 5) {
        *counted.entry((call[1].clone(), call[2].clone())).or_default() += 1;
    }
    // An idempotent call is counted once per key, and a step has one key.
    let twice: Vec<_> = counted.iter().filter(|(_, n)| **n > 1).collect();
    assert!(twice.is_empty(), "happened twice: {twice:?}; unknown: {unknown:?}");
    for (run, events) in histories {
        let of = |kind: &str, step: &str| events.iter().any(|e| e["kind"] == kind && e["step"] == step);
        for step in ["once", "again", "last"] {
            let name = (run.clone(), step.to_owned());
            let doubted = of("step_unknown", step);
            assert!(doubted || !of("step_resolved", step), "{name:?} was settled without a doubt on record");
            assert!(doubted || !unknown.contains(&name), "{name:?} was in doubt, and history does not say so");
            assert!(doubted || counted.contains_key(&name), "{name:?} is recorded as done and did not happen");
        }
    }
}
