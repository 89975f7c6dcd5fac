//! `aidt run` and its neighbours on one home, with nothing else installed.

use aidt_tests::{Home, eventually, git, git_repository, repository, signal, text};
use serde_json::json;
use std::process::Stdio;
use std::time::Duration;

const HELLO: &str = "name: hello
inputs: { who: { type: string, default: world } }
steps:
  - { id: a, tool: debug.echo, with: { value: \"hello ${{ inputs.who }}\" } }
  - { id: b, tool: debug.echo, with: { value: \"${{ steps.a.output.value }}!\" } }
  - { id: c, tool: debug.echo, needs: [b], with: { value: 3 } }
outputs: { greeting: \"${{ steps.b.output.value }}\" }
";

#[test]
fn a_plan_runs_through_every_hop() {
    let home = Home::default();
    let plan = home.file("hello.yaml", HELLO);
    let done = home.json(&["run", plan.to_str().unwrap(), "--set", "who=aidt", "--output", "json"], 0);
    assert_eq!(done["state"], "done");
    assert_eq!(done["outputs"], json!({"greeting": "hello aidt!"}));
    let states: Vec<_> = done["steps"].as_array().unwrap().iter().map(|s| s["state"].clone()).collect();
    assert_eq!(states, ["done", "done", "done"]);
    let run = done["run"].as_str().unwrap();
    let events = home.run(&["events", run, "--output", "json"]);
    let kinds: Vec<String> = String::from_utf8_lossy(&events.stdout)
        .lines()
        .filter_map(|l| serde_json::from_str::<serde_json::Value>(l).ok())
        .filter_map(|e| Some(e["kind"].as_str()?.to_owned()))
        .collect();
    assert_eq!(kinds.first().map(String::as_str), Some("run_started"), "{}", text(&events));
    assert_eq!(kinds.last().map(String::as_str), Some("run_done"));
}

#[test]
fn the_shipped_example_commits_to_a_real_repository() {
    let home = Home::default();
    let repo = git_repository(&home);
    let plan = repository().join("docs/examples/release-notes.yaml");
    let output =
        home.command(&["run", plan.to_str().unwrap(), "--output", "json"]).current_dir(&repo).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", text(&output));
    let done: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let run = done["run"].as_str().unwrap();
    let bare = home.path().join("workspaces").join(format!("{run}.git"));
    let refs = git(&bare, &["for-each-ref", "--format=%(objectname)"]);
    let notes = refs.lines().any(|r| git(&bare, &["ls-tree", "--name-only", r]).contains("NOTES.md"));
    assert!(notes, "{refs}");
    assert_eq!(git(&repo, &["status", "--porcelain"]), "", "the checkout itself is left alone");
}

#[test]
fn exit_codes_are_a_contract() {
    let home = Home::default();
    let plan = |name: &str, body: &str| home.file(name, body).to_str().unwrap().to_owned();
    let failing = plan("fail.yaml", "name: f\nsteps: [{id: a, tool: debug.fail, with: {message: no}}]\n");
    let denied =
        plan("deny.yaml", "name: d\npermissions: [repo.read]\nsteps: [{id: a, tool: debug.echo, with: {value: 1}}]\n");
    let broken = plan("broken.yaml", "name: b\nsteps: [{id: a, tool: debug.eco, with: {value: 1}}]\n");
    assert_eq!(home.run(&["run", &failing]).status.code(), Some(1));
    let refused = home.run(&["run", &denied]);
    assert!([Some(2), Some(3)].contains(&refused.status.code()), "{}", text(&refused));
    let bad = home.run(&["run", &broken]);
    assert_eq!(bad.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&bad.stderr).contains("debug.echo"), "the nearest word: {}", text(&bad));
    let checked = home.json(&["plan", "check", &broken, "--output", "json"], 2);
    let first = checked.as_array().and_then(|l| l.first()).cloned().unwrap_or_default();
    assert_eq!((first["line"].as_u64(), first["nearest"].as_str()), (Some(2), Some("debug.echo")), "{checked}");
    assert_eq!(home.run(&["run", "--no-such-flag"]).status.code(), Some(2));
    let away = home.run(&["--server", "http://127.0.0.1:1", "runs", "ls"]);
    assert_eq!(away.status.code(), Some(69), "{}", text(&away));
    let slow = plan("slow.yaml", "name: s\nsteps: [{id: a, tool: debug.sleep, with: {ms: 20000}}]\n");
    let waited = home.run(&["run", &slow, "--timeout", "200ms"]);
    assert_eq!(waited.status.code(), Some(7), "{}", text(&waited));
}

#[test]
fn the_first_interrupt_cancels_cleanly() {
    let home = Home::default();
    let slow = home.file("slow.yaml", "name: s\nsteps: [{id: a, tool: debug.sleep, with: {ms: 60000}}]\n");
    let mut child =
        home.command(&["run", slow.to_str().unwrap()]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    eventually("the step runs", Duration::from_secs(20), || {
        let listed = home.run(&["runs", "ls", "--output", "json"]);
        String::from_utf8_lossy(&listed.stdout).contains("running")
    });
    signal(child.id(), "INT");
    let status = child.wait().unwrap();
    assert_eq!(status.code(), Some(130));
    let listed = home.run(&["runs", "ls", "--output", "json"]);
    assert!(String::from_utf8_lossy(&listed.stdout).contains("cancelled"), "{}", text(&listed));
}

#[test]
fn two_runs_share_a_home_and_a_killed_embedder_is_succeeded() {
    let home = Home::default();
    let plan = home.file("s.yaml", "name: s\nsteps: [{id: a, tool: debug.sleep, with: {ms: 1500}}, {id: b, needs: [a], tool: debug.echo, with: {value: 1}}]\n");
    let plan = plan.to_str().unwrap();
    let mut first = home.command(&["run", plan]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    eventually("the first embeds", Duration::from_secs(20), || home.path().join("aidt.sock").exists());
    let second =
        home.command(&["run", plan, "--output", "json"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    eventually("both are there", Duration::from_secs(20), || {
        let listed = home.run(&["runs", "ls", "--output", "json"]);
        String::from_utf8_lossy(&listed.stdout).matches("run_").count() >= 2
    });
    signal(first.id(), "KILL");
    first.wait().unwrap();
    let output = second.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", text(&output));
}
