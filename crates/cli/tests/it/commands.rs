//! The commands that look, and those that change a run.

use crate::aidt;
use crate::screen::{Broken, Screen};
use crate::stage::{Act, RUN, Stage, event, step};
use crate::test_host::TestHost;
use aidt_cli::{Cli, Exit, Interrupts, Terminal};
use clap::Parser;
use serde_json::{Value, json};

fn failed() -> Act {
    let error = json!({ "code": "tool_failed", "message": "the disk said no", "step": "b" });
    Act {
        state: "failed".into(),
        error: error.clone(),
        outputs: Value::Null,
        events: vec![
            event(1, 0, "run_started", "", json!({ "plan": "notes" })),
            event(
                2,
                1,
                "step_dispatched",
                "b",
                json!({ "tool": "debug.fail", "arguments": { "text": "x".repeat(300) } }),
            ),
            event(3, 9, "step_failed", "b", json!({ "error": error, "log": "one\ntwo\n" })),
            event(4, 9, "run_failed", "", json!({ "error": error })),
        ],
        steps: vec![step("a", "done", json!({ "value": 1 })), step("b", "failed", Value::Null)],
        reasons: vec![json!({
            "code": "no_worker", "since": "2026-11-21T13:18:01.000Z", "ends": "a worker for the pool connects",
            "who": "whoever runs the pool's workers", "step": "b", "message": "step b waits: pool x has no worker",
        })],
        refusal: None,
    }
}

async fn shown(args: &[&str]) -> (Exit, Screen, Stage) {
    let stage = Stage::new(failed());
    let server = stage.serve().await;
    let (exit, screen) = aidt(&TestHost::at(&server.endpoint), args).await;
    (exit, screen, stage)
}

#[tokio::test]
async fn commands_that_look_show_text() {
    for (name, args) in [
        ("ls", vec!["runs", "ls"]),
        ("get", vec!["runs", "get", RUN]),
        ("explain", vec!["runs", "explain", RUN]),
        ("events", vec!["events", RUN]),
        ("events_follow", vec!["events", RUN, "-f", "--after", "2"]),
        ("logs", vec!["logs", RUN]),
        ("tools", vec!["tools", "ls"]),
    ] {
        let (exit, screen, _) = shown(&args).await;
        assert_eq!(exit, Exit::DONE, "{}", screen.err());
        insta::assert_snapshot!(name, screen.both());
    }
}

#[tokio::test]
async fn commands_that_look_print_what_programs_read() {
    let json = ["--output", "json"];
    let (_, screen, _) = shown(&[&["runs", "ls"][..], &json].concat()).await;
    assert_eq!(screen.last_object()["items"][0]["id"], RUN);
    let (_, screen, _) = shown(&[&["runs", "get", RUN][..], &json].concat()).await;
    assert_eq!(screen.last_object()["steps"][1]["state"], "failed");
    let (_, screen, _) = shown(&[&["runs", "explain", RUN][..], &json].concat()).await;
    assert_eq!(screen.last_object()["reasons"][0]["code"], "no_worker");
    let (_, screen, _) = shown(&[&["events", RUN][..], &json].concat()).await;
    let seqs: Vec<Value> =
        screen.out().lines().map(|l| serde_json::from_str::<Value>(l).unwrap()["seq"].clone()).collect();
    assert_eq!(seqs, [1, 2, 3, 4]);
}

#[tokio::test]
async fn commands_that_change_a_run_post_once_and_answer() {
    for (args, post) in [
        (vec!["runs", "cancel", RUN, "--reason", "late"], r#"cancel {"reason":"late"}"#),
        (vec!["runs", "retry", RUN], "retry {}"),
        (vec!["runs", "retry", RUN, "--from", "b"], r#"retry {"step":"b"}"#),
        (vec!["runs", "resolve", RUN, "b", "done"], r#"resolve {"output":null,"resolve":"done","step":"b"}"#),
        (
            vec!["runs", "resolve", RUN, "b", "done", "--result", "{\"a\":1}"],
            r#"resolve {"output":{"a":1},"resolve":"done","step":"b"}"#,
        ),
        (vec!["runs", "resolve", RUN, "b", "retry"], r#"resolve {"resolve":"retry","step":"b"}"#),
        (
            vec!["runs", "resolve", RUN, "b", "failed", "--message", "no"],
            r#"resolve {"message":"no","resolve":"failed","step":"b"}"#,
        ),
    ] {
        let (exit, screen, stage) = shown(&args).await;
        assert_eq!((exit, stage.posts()), (Exit::DONE, vec![post.to_owned()]), "{}", screen.both());
        assert!(screen.out().starts_with(&format!("{RUN} is ")), "{}", screen.out());
    }
}

#[tokio::test]
async fn what_does_not_belong_together_is_refused() {
    for args in [
        vec!["runs", "resolve", RUN, "b", "retry", "--message", "x"],
        vec!["runs", "resolve", RUN, "b", "failed", "--result", "1"],
        vec!["runs", "resolve", RUN, "b", "done", "--result", "text"],
    ] {
        let (exit, _, stage) = shown(&args).await;
        assert_eq!((exit, stage.posts()), (Exit::BAD_INPUT, vec![]), "{args:?}");
    }
}

#[tokio::test]
async fn following_a_change_exits_as_the_run_does() {
    let (exit, screen, _) = shown(&["runs", "retry", RUN, "--wait", "--output", "json"]).await;
    assert_eq!(exit, Exit::FAILED);
    assert_eq!(screen.last_object()["error"]["code"], "tool_failed");
}

#[tokio::test]
async fn calling_a_tool_submits_a_plan_of_one_step_and_prints_its_output() {
    let mut act = failed();
    act.state = "done".into();
    act.error = Value::Null;
    act.steps = vec![step("call", "done", json!({ "files": ["a"] }))];
    act.events =
        vec![event(1, 0, "run_started", "", json!({ "plan": "tools-call" })), event(2, 1, "run_done", "", json!({}))];
    let stage = Stage::new(act);
    let server = stage.serve().await;
    let args = [
        "tools",
        "call",
        "repo.list",
        "--args",
        "{\"path\": \"x\"}",
        "--set",
        "path=7",
        "--set",
        "deep=true",
        "--git",
        ".",
    ];
    let (exit, screen) = aidt(&TestHost::at(&server.endpoint), &args).await;
    assert_eq!(
        (exit, screen.out().as_str()),
        (Exit::DONE, "{\n  \"files\": [\n    \"a\"\n  ]\n}\n"),
        "{}",
        screen.err()
    );
    let post = stage.posts().pop().unwrap();
    let body: Value = serde_json::from_str(&post[post.find('{').unwrap()..]).unwrap();
    assert_eq!(body["inputs"], json!({ "a0": true, "a1": "7", "git": "." }));
    assert_eq!(body["plan"]["steps"][0]["with"], json!({ "deep": "${{ inputs.a0 }}", "path": "${{ inputs.a1 }}" }));
    assert_eq!(body["plan"]["workspace"], json!({ "git": "${{ inputs.git }}" }));
}

#[tokio::test]
async fn a_tool_that_is_not_there_is_bad_input() {
    let (exit, screen, stage) = shown(&["tools", "call", "repo.lisp"]).await;
    assert_eq!((exit, stage.posts()), (Exit::BAD_INPUT, vec![]));
    assert!(screen.err().contains("aidt tools ls"), "{}", screen.err());
}

#[tokio::test]
async fn a_pipe_that_nobody_reads_is_no_error() {
    let server = Stage::new(failed()).serve().await;
    let host = TestHost::at(&server.endpoint);
    for (args, code) in [(vec!["aidt", "events", RUN], 0), (vec!["aidt", "runs", "watch", RUN, "--output", "json"], 1)]
    {
        let terminal = Terminal::of_streams(std::io::empty(), Broken, Broken);
        let cli = Cli::try_parse_from(args).unwrap();
        assert_eq!(aidt_cli::run(cli, &host, &terminal, Interrupts::none()).await.code, code);
    }
}
