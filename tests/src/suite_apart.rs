//! What holds when each service has processes of its own: more of them, fewer, killed, drained.

#![expect(clippy::missing_panics_doc, reason = "a test fails by panicking")]

use crate::stage::{KILLED, PARTITIONS};
use crate::suite::{assert_gapless, chain, sleeper};
use crate::{Running, Server, Stage, eventually, git_repository};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// Makes a test of each body, on a fresh stage from this function.
#[macro_export]
macro_rules! suite_apart {
    ($stage:path) => {
        $crate::suite_apart!($stage:
            a_killed_owner_is_succeeded,
            a_killed_step_consumer_is_succeeded,
            a_second_owner_takes_its_share,
            a_step_consumer_without_workers_is_ready_and_says_so,
            each_service_drains_alone,
            a_run_goes_on_on_another_workers_disk
        );
    };
    ($stage:path: $($name:ident),+) => {
        $(#[test]
        fn $name() {
            $crate::suite_apart::$name(&$stage());
        })+
    };
}

/// A test's own machine is busy: what it measures may be late by so much.
const BUSY: Duration = Duration::from_secs(3);

fn held(owner: &Server) -> usize {
    let partitions = owner.get("/ready").json()["partitions"].as_u64().unwrap_or(0);
    usize::try_from(partitions).unwrap()
}

/// Runs that take about two seconds each, spread over all partitions.
fn load(server: &Running) -> Vec<String> {
    let plan = json!({"name": "load", "steps": [
        {"id": "a", "tool": "debug.sleep", "with": {"ms": 700}},
        {"id": "b", "tool": "debug.sleep", "needs": ["a"], "with": {"ms": 700}},
        {"id": "c", "tool": "debug.sleep", "needs": ["b"], "with": {"ms": 700}},
        {"id": "d", "tool": "debug.echo", "needs": ["c"], "with": {"value": 1}}
    ]});
    (0..4 * PARTITIONS).map(|_| server.submit(&plan)).collect()
}

/// All end well, each step recorded once.
fn assert_all_done(server: &Running, runs: &[String]) {
    for run in runs {
        server.until(run, &["done"]);
        let events = server.events(run);
        assert_gapless(&events);
        let finished = events.iter().filter(|e| e["kind"] == "step_finished").count();
        let steps: std::collections::BTreeSet<String> =
            events.iter().filter(|e| e["kind"] == "step_finished").map(|e| e["step"].to_string()).collect();
        assert_eq!(finished, steps.len(), "a step was recorded twice: {events:#?}");
    }
}

/// The longest time in which no event was added to any of the runs, while one of them was open.
fn longest_silence(server: &Running, runs: &[String]) -> Duration {
    let count = || runs.iter().map(|run| server.run(run)["last_seq"].as_u64().unwrap_or(0)).sum::<u64>();
    let open = || runs.iter().any(|run| server.run(run)["state"] != "done");
    let (mut seen, mut at, mut longest) = (count(), Instant::now(), Duration::ZERO);
    while open() {
        let now = count();
        longest = longest.max(at.elapsed());
        if now != seen {
            (seen, at) = (now, Instant::now());
        }
        assert!(at.elapsed() < Duration::from_secs(60), "nothing happened for a minute");
    }
    longest
}

/// A second owner, started under load, gets partitions; no run notices.
pub fn a_second_owner_takes_its_share(stage: &Stage) {
    let server = stage.up();
    assert_eq!(held(&server.owners[0]), PARTITIONS);
    let runs = load(&server);
    let mut second = stage.spawn("completion-consumer");
    second.until_ready();
    eventually("the partitions are shared out", KILLED + BUSY, || {
        let (one, two) = (held(&server.owners[0]), held(&second));
        two > 0 && one > 0 && one + two == PARTITIONS
    });
    assert_all_done(&server, &runs);
    // Both work: runs of all partitions go through.
    let runs: Vec<String> = (0..2 * PARTITIONS).map(|_| server.submit(&chain(2))).collect();
    assert_all_done(&server, &runs);
}

/// One of two owners is killed: the other takes what it held.
pub fn a_killed_owner_is_succeeded(stage: &Stage) {
    let mut server = stage.up_with(2);
    let runs = load(&server);
    eventually("something runs", Duration::from_secs(20), || server.run(&runs[0])["state"] == "running");
    let killed = Instant::now();
    server.owners.remove(0).kill();
    eventually("the other owner holds all", KILLED + BUSY, || held(&server.owners[0]) == PARTITIONS);
    println!("taken over after {:?}", killed.elapsed());
    assert_all_done(&server, &runs);
}

/// One of two step consumers is killed, with calls in hand.
pub fn a_killed_step_consumer_is_succeeded(stage: &Stage) {
    let mut server = stage.up_with(2);
    let runs = load(&server);
    eventually("something runs", Duration::from_secs(20), || server.run(&runs[0])["state"] == "running");
    server.step_consumers.remove(0).kill();
    let silence = longest_silence(&server, &runs);
    println!("longest silence {silence:?}");
    assert!(silence < KILLED + BUSY, "{silence:?}");
    assert_all_done(&server, &runs);
}

/// Nothing is wrong with it; a run says what it waits for.
pub fn a_step_consumer_without_workers_is_ready_and_says_so(stage: &Stage) {
    let mut server = stage.up();
    server.workers.remove(0).kill();
    let notes = || server.step_consumers[0].get("/ready").json()["notes"].clone();
    eventually("it says so", Duration::from_secs(20), || {
        notes().as_array().is_some_and(|n| n.iter().any(|n| n.to_string().contains("no worker")))
    });
    assert_eq!(server.step_consumers[0].get("/ready").status, 200);
    let run = server.submit(&chain(1));
    eventually("explain names it", Duration::from_secs(20), || {
        let why = server.get(&format!("/v1/runs/{run}/explain")).json();
        why["reasons"].as_array().is_some_and(|r| r.iter().any(|r| r["code"] == "no_worker"))
    });
    let mut worker = stage.spawn_worker(&server.step_consumers);
    worker.until_ready();
    server.until(&run, &["done"]);
}

/// SIGTERM for one of each service in turn, under load: exit code 0 in time, and nothing is done twice.
pub fn each_service_drains_alone(stage: &Stage) {
    let mut server = stage.up_with(2);
    for service in ["owner", "step consumer", "worker"] {
        let runs: Vec<String> = (0..2 * PARTITIONS).map(|_| server.submit(&sleeper(600))).collect();
        eventually("something runs", Duration::from_secs(20), || server.run(&runs[0])["state"] == "running");
        let leaving = match service {
            "owner" => server.owners.remove(0),
            "step consumer" => server.step_consumers.remove(0),
            _ => server.workers.remove(0),
        };
        let told = Instant::now();
        assert_eq!(leaving.terminate(), Some(0), "{service}");
        assert!(told.elapsed() < Duration::from_secs(25), "{service} took {:?}", told.elapsed());
        println!("{service} drained in {:?}", told.elapsed());
        assert_all_done(&server, &runs);
        for run in &runs {
            assert_ran_once(&server.events(run), service);
        }
    }
}

/// A step that was started, and so was let end, was not handed out again.
fn assert_ran_once(events: &[Value], service: &str) {
    let of = |kind: &str| events.iter().filter(|e| e["kind"] == kind && e["step"] == "a").collect::<Vec<_>>();
    let started = of("step_started");
    assert!(started.len() <= 1, "the {service} drained, and a step was started twice: {events:#?}");
}

/// The worker that began a run leaves, and its disk with it.
pub fn a_run_goes_on_on_another_workers_disk(stage: &Stage) {
    let mut server = stage.up();
    let repository = git_repository(stage.home());
    let artifacts = format!("file:{}", stage.home().folder("artifacts").display());
    let worker = |disk: &str| {
        let mut command = stage.worker(&server.step_consumers);
        command.env("AIDT_WORKSPACES", stage.home().folder(disk)).env("AIDT_ARTIFACTS_URL", &artifacts);
        command.env("AIDT_WORKSPACE_ROOTS", &repository);
        let mut worker = Server::spawn(command);
        worker.until_ready();
        worker
    };
    let first = worker("first disk");
    assert_eq!(server.workers.remove(0).terminate(), Some(0));
    let run = server.submit(&json!({
        "name": "moves", "workspace": {"git": repository}, "permissions": ["repo.read", "repo.write", "debug.run"],
        "steps": [
            {"id": "write", "tool": "repo.write", "with": {"path": "a", "content": "by the first"}},
            {"id": "nap", "tool": "debug.sleep", "needs": ["write"], "with": {"ms": 1500}},
            {"id": "read", "tool": "repo.read", "needs": ["nap"], "with": {"path": "a"}},
            {"id": "again", "tool": "repo.write", "needs": ["read"], "with": {"path": "b", "content": "by the second"}}
        ],
        "outputs": {"text": "${{ steps.read.output.content }}"}
    }));
    let naps = || server.events(&run).iter().any(|e| e["kind"] == "step_started" && e["step"] == "nap");
    eventually("it naps", Duration::from_secs(30), naps);
    let second = worker("second disk");
    assert_eq!(first.terminate(), Some(0));
    std::fs::remove_dir_all(stage.home().folder("first disk")).unwrap();
    let done = server.until(&run, &["done", "failed"]);
    assert_eq!(done["outputs"]["text"], "by the first", "{done}");
    assert_eq!(second.terminate(), Some(0));
}
