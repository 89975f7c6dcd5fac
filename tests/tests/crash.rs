//! The binary under load with the Python worker, killed again and again: nothing is lost, nothing is
//! recorded twice, no effect that must happen once happens twice, and every doubt is on record.

use aidt_tests::{Home, PythonWorker, Server, eventually, python_tools};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

const KILLS: usize = 50;
/// At least so many of them with a `once` call in flight.
const IN_FLIGHT: usize = 15;
/// From ready to the first progress.
const RESUME_WITHIN: Duration = Duration::from_secs(5);

/// Draws numbers; the seed is printed, so that a failure can be repeated as far as real time allows.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, below: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % below
    }
}

fn plan(dice: &mut Dice) -> Value {
    let once = json!({"value": 1, "ms": dice.roll(120)});
    let idempotent = json!({"value": 2, "ms": dice.roll(60)});
    json!({"name": "crash", "permissions": ["example.run", "debug.run"], "steps": [
        {"id": "echo", "tool": "debug.echo", "with": {"value": 0}},
        {"id": "once", "tool": "example.once", "needs": ["echo"], "with": once},
        {"id": "again", "tool": "example.idempotent", "needs": ["echo"], "with": idempotent},
        {"id": "nap", "tool": "debug.sleep", "needs": ["echo"], "with": {"ms": dice.roll(150)}},
        {"id": "last", "tool": "example.once", "needs": ["once", "again", "nap"], "with": {"value": 3}}
    ]})
}

fn once_in_flight(server: &Server, runs: &[String]) -> bool {
    runs.iter().rev().take(8).any(|run| {
        let steps = server.get(&format!("/v1/runs/{run}/steps"));
        steps.status == 200
            && steps.json()["items"]
                .as_array()
                .is_some_and(|items| items.iter().any(|s| s["effect"] == "once" && s["state"] == "running"))
    })
}

fn last_seqs(server: &Server, runs: &[String]) -> BTreeMap<String, u64> {
    let open = runs.iter().rev().take(20);
    open.map(|r| (r.clone(), server.run(r)["last_seq"].as_u64().unwrap_or(0))).collect()
}

fn is_open(server: &Server, run: &str) -> bool {
    let run = server.run(run);
    let counts = &run["counts"];
    let waits_for_person = counts["unknown"].as_u64().unwrap_or(0) > 0
        && ["ready", "dispatched", "running", "backing_off"].iter().all(|s| counts[*s].as_u64().unwrap_or(0) == 0);
    matches!(run["state"].as_str(), Some("created" | "running")) && !waits_for_person
}

#[test]
fn fifty_kills_lose_nothing_and_repeat_nothing() {
    let seed = std::env::var("AIDT_SEED").ok().and_then(|s| s.parse().ok()).unwrap_or(2_611);
    println!("seed {seed} (AIDT_SEED)");
    let mut dice = Dice(seed);
    let home = Home::default();
    let tools = python_tools();
    let mut server = home.serve(&["--tools", &tools]);
    let worker = PythonWorker::start(&home);
    let mut runs = Vec::new();
    let (mut in_flight, mut slowest) = (0, Duration::ZERO);
    for kill in 0..KILLS {
        for _ in 0..4 {
            runs.push(server.submit(&plan(&mut dice)));
        }
        if in_flight < IN_FLIGHT && kill % 2 == 0 {
            eventually("a once call is in flight", Duration::from_secs(30), || {
                let flies = once_in_flight(&server, &runs);
                if !flies && !runs.iter().rev().take(4).any(|r| is_open(&server, r)) {
                    runs.push(server.submit(&plan(&mut dice)));
                }
                flies
            });
        } else {
            std::thread::park_timeout(Duration::from_millis(dice.roll(400)));
        }
        in_flight += usize::from(once_in_flight(&server, &runs));
        let before = last_seqs(&server, &runs);
        let open: Vec<String> = before.keys().filter(|r| is_open(&server, r)).cloned().collect();
        server.kill();
        server = home.serve(&["--tools", &tools]);
        let ready = Instant::now();
        if !open.is_empty() {
            eventually("progress after a restart", RESUME_WITHIN, || {
                open.iter().any(|r| server.run(r)["last_seq"].as_u64().unwrap_or(0) > before[r] || !is_open(&server, r))
            });
            slowest = slowest.max(ready.elapsed());
        }
    }
    assert!(in_flight >= IN_FLIGHT, "only {in_flight} kills had a once call in flight");
    let unknown = settle(&server, &runs);
    check_histories(&server, &runs);
    check_effects(&worker, &unknown);
    println!(
        "{KILLS} kills ({in_flight} with a once call in flight), {} runs, {} unknown outcomes, slowest resume {slowest:?}",
        runs.len(),
        unknown.len()
    );
}

/// Waits until nothing but doubts is left, settles each, and answers them.
fn settle(server: &Server, runs: &[String]) -> BTreeSet<(String, String)> {
    let mut unknown = BTreeSet::new();
    for run in runs {
        eventually(&format!("{run} ends"), Duration::from_secs(120), || {
            let steps = server.get(&format!("/v1/runs/{run}/steps")).json();
            for step in steps["items"].as_array().unwrap().iter().filter(|s| s["state"] == "unknown") {
                let path = step["path"].as_str().unwrap();
                assert_eq!(step["effect"], "once", "only once may be unknown: {step}");
                unknown.insert((run.clone(), path.to_owned()));
                let settled = server
                    .post(&format!("/v1/runs/{run}/steps/{path}/resolve"), &json!({"resolve": "done", "output": {}}));
                // It may just have been settled by a late result.
                assert!([200, 202, 409].contains(&settled.status), "{}", settled.body);
            }
            matches!(server.run(run)["state"].as_str(), Some("done" | "failed" | "cancelled"))
        });
        assert_eq!(server.run(run)["state"], "done", "{}", server.run(run));
    }
    unknown
}

fn check_histories(server: &Server, runs: &[String]) {
    for run in runs {
        let events = server.events(run);
        let seqs: Vec<u64> = events.iter().map(|e| e["seq"].as_u64().unwrap()).collect();
        assert_eq!(seqs, (1..=seqs.len() as u64).collect::<Vec<_>>(), "{run} has gaps");
        let mut recorded = BTreeSet::new();
        for e in events.iter().filter(|e| e["kind"] == "step_finished") {
            assert!(recorded.insert(e["step"].as_str().unwrap().to_owned()), "{run} recorded twice: {e}");
        }
        let dispatched: BTreeSet<_> = events
            .iter()
            .filter(|e| e["kind"] == "step_dispatched")
            .map(|e| (&e["step"], &e["dispatch"]))
            .map(|(s, d)| (s.to_string(), d.to_string()))
            .collect();
        for e in events.iter().filter(|e| e["kind"] == "step_started" || e["kind"] == "step_finished") {
            assert!(
                dispatched.contains(&(e["step"].to_string(), e["dispatch"].to_string())),
                "without a decision: {e}"
            );
        }
    }
}

fn check_effects(worker: &PythonWorker, unknown: &BTreeSet<(String, String)>) {
    let mut once: BTreeMap<(String, String), usize> = BTreeMap::new();
    for call in worker.executed().iter().filter(|c| c[0] == "example.once") {
        *once.entry((call[1].clone(), call[2].clone())).or_default() += 1;
    }
    let twice: Vec<_> = once.iter().filter(|(_, n)| **n > 1).collect();
    assert!(twice.is_empty(), "once happened twice: {twice:?}; unknown: {unknown:?}");
}
