//! The binary under load with the Python worker, killed again and again: nothing is lost, nothing is
//! recorded twice, no effect that must happen once happens twice, and every doubt is on record.

#![expect(clippy::disallowed_methods, reason = "tests live outside: in real time, with real processes")]

use aidt_tests::verify::{self, plan};
use aidt_tests::{Dice, Home, PythonWorker, Server, eventually, holds_within, python_tools};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

const KILLS: usize = 50;
/// At least so many of them with a `once` call in flight.
const IN_FLIGHT: usize = 15;
/// From ready to the first progress.
const RESUME_WITHIN: Duration = Duration::from_secs(5);
const ONCE_MS: u64 = 120;
const ENDS_WITHIN: Duration = Duration::from_secs(120);

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
    let mut dice = Dice::new(seed);
    let home = Home::default();
    let tools = python_tools();
    let mut server = home.serve(&["--tools", &tools]);
    let worker = PythonWorker::start(&home);
    let mut runs = Vec::new();
    let (mut in_flight, mut slowest) = (0, Duration::ZERO);
    for kill in 0..KILLS {
        for _ in 0..4 {
            runs.push(server.submit(&plan(&mut dice, ONCE_MS)));
        }
        if in_flight < IN_FLIGHT && kill % 2 == 0 {
            eventually("a once call is in flight", Duration::from_secs(30), || {
                let flies = once_in_flight(&server, &runs);
                if !flies && !runs.iter().rev().take(4).any(|r| is_open(&server, r)) {
                    runs.push(server.submit(&plan(&mut dice, ONCE_MS)));
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
            let goes_on = holds_within(RESUME_WITHIN, || {
                open.iter().any(|r| server.run(r)["last_seq"].as_u64().unwrap_or(0) > before[r] || !is_open(&server, r))
            });
            let explain = || open.iter().map(|run| verify::explain(&server, run)).collect::<Vec<_>>();
            assert!(goes_on, "no progress within {RESUME_WITHIN:?} after a restart: {:#?}", explain());
            slowest = slowest.max(ready.elapsed());
        }
    }
    assert!(in_flight >= IN_FLIGHT, "only {in_flight} kills had a once call in flight");
    let unknown = runs.iter().flat_map(|run| verify::settle(&server, run, ENDS_WITHIN)).collect();
    let histories = runs.iter().map(|run| (run.clone(), verify::history(&server, run))).collect();
    verify::effects(&worker.executed(), &histories, &unknown);
    println!(
        "{KILLS} kills ({in_flight} with a once call in flight), {} runs, {} unknown outcomes, slowest resume {slowest:?}",
        runs.len(),
        unknown.len()
    );
}
