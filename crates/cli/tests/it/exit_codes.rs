//! The exit code is a contract.

use crate::stage::{Act, Stage, event, step};
use crate::test_host::TestHost;
use crate::{aidt, aidt_with};
use aidt_cli::{Cli, Exit, Interrupts};
use clap::Parser;
use serde_json::{Value, json};
use tokio::sync::mpsc;

fn ended(state: &str, error: Value) -> Act {
    let end = match state {
        "done" => "run_done",
        "failed" => "run_failed",
        _ => "run_cancelled",
    };
    Act {
        state: state.into(),
        error: error.clone(),
        outputs: if state == "done" { json!({ "n": 1 }) } else { Value::Null },
        events: vec![
            event(1, 0, "run_started", "", json!({ "plan": "notes" })),
            event(2, 10, end, "", json!({ "error": error })),
        ],
        steps: vec![step("a", state, json!({ "value": 1 }))],
        ..Act::default()
    }
}

fn plan_file() -> tempfile::NamedTempFile {
    let file = tempfile::Builder::new().suffix(".yaml").tempfile().unwrap();
    std::fs::write(file.path(), "name: notes\nsteps:\n  - id: a\n    tool: debug.ecko\n").unwrap();
    file
}

async fn run_to(act: Act, more: &[&str]) -> (Exit, crate::Screen) {
    let stage = Stage::new(act);
    let server = stage.serve().await;
    let plan = plan_file();
    let mut args = vec!["run", plan.path().to_str().unwrap()];
    args.extend(more);
    aidt(&TestHost::at(&server.endpoint), &args).await
}

#[tokio::test]
async fn a_run_exits_with_what_it_came_to() {
    let failure = |code: &str| json!({ "code": code, "message": "no", "step": "a" });
    for (state, error, code) in [
        ("done", Value::Null, 0),
        ("failed", failure("tool_failed"), 1),
        ("failed", failure("invalid_argument"), 1),
        ("failed", failure("denied"), 3),
        ("failed", failure("budget_exhausted"), 5),
        ("cancelled", Value::Null, 130),
    ] {
        let (exit, screen) = run_to(ended(state, error.clone()), &["--output", "json"]).await;
        assert_eq!((exit.code, exit.at_once), (code, false), "{state} {error}\n{}", screen.both());
        let object = screen.last_object();
        assert_eq!(object["state"], state);
        let keys: Vec<&String> = object.as_object().unwrap().keys().collect();
        assert_eq!(keys, ["error", "outputs", "run", "state", "steps"]);
        assert_eq!(
            object["steps"],
            json!([{ "path": "a", "state": state, "attempt": 1, "dispatch": 1, "output": { "value": 1 } }])
        );
        assert!(screen.err().contains(exit.meaning()), "{}", screen.err());
    }
}

#[tokio::test]
async fn a_plan_that_is_refused_exits_2_and_shows_the_place() {
    let refusal = json!({
        "code": "invalid_plan", "detail": "the plan has 1 error", "help": "mend it", "errors": [{
            "file": "PLAN", "line": 4, "column": 11, "end_column": 21, "rule": "unknown-tool", "found": "debug.ecko",
            "nearest": "debug.echo", "help": null, "message": "there is no tool debug.ecko",
        }],
    });
    let (exit, screen) = run_to(Act { refusal: Some(refusal), ..Act::default() }, &["--output", "json"]).await;
    assert_eq!(exit, Exit::BAD_INPUT);
    let object = screen.last_object();
    assert_eq!((&object["run"], &object["error"]["code"]), (&Value::Null, &json!("invalid_plan")));
    assert_eq!(object["error"]["errors"][0]["nearest"], "debug.echo");
    assert!(screen.err().contains("there is no tool debug.ecko"), "{}", screen.err());
}

#[tokio::test]
async fn nothing_left_but_an_unknown_outcome_exits_6_and_says_how_to_settle_it() {
    let reason =
        |code: &str| json!({ "code": code, "since": null, "ends": "", "who": "", "step": "pay", "message": "" });
    let mut act = ended("done", Value::Null);
    act.state = "running".into();
    act.outputs = Value::Null;
    act.reasons = vec![reason("unknown_outcome"), reason("dependency")];
    let error = json!({ "code": "worker_lost", "message": "the worker was lost" });
    act.events[1] = event(2, 20, "step_unknown", "pay", json!({ "error": error }));
    let (exit, screen) = run_to(act, &[]).await;
    assert_eq!(exit, Exit::UNKNOWN_OUTCOME);
    let line = format!("aidt runs resolve {} pay done|failed|retry", crate::stage::RUN);
    assert!(screen.err().contains(&line), "{}", screen.err());
}

#[tokio::test]
async fn an_unknown_outcome_beside_work_that_goes_on_is_no_reason_to_leave() {
    let reason = |code: &str| json!({ "code": code, "since": null, "ends": "", "who": "" });
    let mut act = ended("done", Value::Null);
    act.state = "running".into();
    act.reasons = vec![reason("unknown_outcome"), reason("running")];
    act.events[1] = event(2, 20, "step_unknown", "pay", json!({}));
    let (exit, screen) = run_to(act, &["--timeout", "200ms"]).await;
    assert_eq!(exit, Exit::TIMED_OUT, "{}", screen.err());
}

#[tokio::test]
async fn waiting_that_takes_too_long_exits_7_and_the_run_goes_on() {
    let mut act = ended("done", Value::Null);
    act.state = "running".into();
    act.events.truncate(1);
    let (exit, screen) = run_to(act, &["--timeout", "50ms", "--output", "json"]).await;
    assert_eq!(exit, Exit::TIMED_OUT);
    assert_eq!(screen.last_object()["state"], "running");
    assert!(screen.err().contains("aidt runs watch"), "{}", screen.err());
}

#[tokio::test]
async fn a_server_that_is_not_there_exits_69_at_once() {
    // A port that was free a moment ago.
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let server = format!("http://{free}");
    let host = TestHost::at(&server.parse().unwrap());
    let plan = plan_file();
    for command in [vec!["runs", "ls"], vec!["run", plan.path().to_str().unwrap()], vec!["tools", "ls"]] {
        let args: Vec<&str> = command.iter().copied().chain(["--server", &server]).collect();
        let (exit, screen) = aidt(&host, &args).await;
        assert_eq!(exit, Exit::UNAVAILABLE, "{}", screen.err());
        assert!(screen.err().contains(&server), "{}", screen.err());
    }
}

#[tokio::test]
async fn the_first_interruption_cancels_and_the_second_ends_at_once() {
    let mut act = ended("done", Value::Null);
    act.state = "running".into();
    act.events.truncate(1);
    let stage = Stage::new(act);
    let server = stage.serve().await;
    let (host, plan) = (TestHost::at(&server.endpoint), plan_file());
    let args = ["run", plan.path().to_str().unwrap()];

    let (signal, interrupts) = mpsc::channel(2);
    let interrupt = async {
        stage.watched().await;
        signal.send(()).await.unwrap();
    };
    let ((exit, screen), ()) = tokio::join!(aidt_with(&host, &args, Interrupts::from_channel(interrupts)), interrupt);
    assert_eq!(exit, Exit::CANCELLED, "{}", screen.both());
    assert_eq!(stage.posts().last().unwrap(), r#"cancel {"reason":"interrupted"}"#);

    let (signal, interrupts) = mpsc::channel(2);
    signal.send(()).await.unwrap();
    signal.send(()).await.unwrap();
    let (exit, _) = aidt_with(&host, &args, Interrupts::from_channel(interrupts)).await;
    assert_eq!(exit, Exit::KILLED);
}

#[tokio::test]
async fn watching_is_left_without_a_cancel() {
    let mut act = ended("done", Value::Null);
    act.state = "running".into();
    act.events.truncate(1);
    let stage = Stage::new(act);
    let server = stage.serve().await;
    let (signal, interrupts) = mpsc::channel(2);
    signal.send(()).await.unwrap();
    let host = TestHost::at(&server.endpoint);
    let (exit, _) = aidt_with(&host, &["runs", "watch", crate::stage::RUN], Interrupts::from_channel(interrupts)).await;
    assert_eq!((exit, stage.posts()), (Exit::CANCELLED, vec![]));
}

#[tokio::test]
async fn serving_ends_with_0_when_it_is_told_to() {
    let host = TestHost::at(&"http://127.0.0.1:1".parse().unwrap());
    let (signal, interrupts) = mpsc::channel(2);
    signal.send(()).await.unwrap();
    let (exit, screen) = aidt_with(&host, &["serve"], Interrupts::from_channel(interrupts)).await;
    assert_eq!(exit, Exit::DONE);
    assert!(screen.err().contains("draining"), "{}", screen.err());
}

#[test]
fn a_command_line_that_is_not_one_exits_2() {
    for args in [
        vec!["aidt"],
        vec!["aidt", "fly"],
        vec!["aidt", "run"],
        vec!["aidt", "run", "p", "--timeout", "soon"],
        vec!["aidt", "run", "p", "--set", "novalue"],
        vec!["aidt", "run", "p", "--detach", "--timeout", "3s"],
        vec!["aidt", "runs", "get", "run_7"],
        vec!["aidt", "bench", "w2"],
        vec!["aidt", "runs", "ls", "--server", "https://x"],
    ] {
        assert_eq!(Cli::try_parse_from(&args).unwrap_err().exit_code(), 2, "{args:?}");
    }
}
