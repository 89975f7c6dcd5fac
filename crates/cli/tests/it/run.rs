//! `aidt run`: what is submitted, what is shown, and who serves meanwhile.

use crate::aidt;
use crate::stage::{Act, RUN, Stage, event, step};
use crate::test_host::TestHost;
use aidt_cli::Exit;
use serde_json::{Value, json};
use std::sync::atomic::Ordering;

/// A run in which most things happen.
fn eventful() -> Act {
    let failure = json!({ "code": "tool_failed", "message": "the disk said no" });
    let decision = json!({
        "id": "d", "capability": "network.egress", "verdict": "deny", "reasons": ["no rule allows it"], "revision": "r",
    });
    let events = vec![
        event(1, 0, "run_started", "", json!({ "plan": "notes", "by": "local" })),
        event(2, 3, "step_dispatched", "@workspace", json!({ "tool": "workspace.prepare" })),
        event(3, 130, "step_finished", "@workspace", json!({ "commit": "aaaaaaaaaaaaaaaa", "paths": [] })),
        event(4, 131, "step_dispatched", "log", json!({ "tool": "git.log" })),
        event(5, 150, "step_started", "log", json!({})),
        event(6, 900, "step_progress", "log", json!({ "offset": 0, "text": "reading\nhalf" })),
        event(7, 1200, "step_finished", "log", json!({ "log": "reading\nhalf a line\n", "output": {} })),
        event(8, 1201, "step_dispatched", "write", json!({ "tool": "repo.write" })),
        event(9, 1300, "step_retrying", "write", json!({ "error": failure, "until": "2026-11-21T13:18:03.300Z" })),
        event(10, 2300, "step_dispatched", "write", json!({ "tool": "repo.write", "dispatch": 2, "attempt": 2 })),
        event(11, 2400, "step_requeued", "write", json!({ "reason": "process_dead", "dispatch": 2, "attempt": 2 })),
        event(12, 2401, "step_dispatched", "write", json!({ "tool": "repo.write", "dispatch": 3, "attempt": 2 })),
        event(
            13,
            2450,
            "step_finished",
            "write",
            json!({ "commit": "0123456789abcdef0123456789abcdef01234567", "paths": ["NOTES.md"], "dispatch": 3 }),
        ),
        event(14, 2451, "step_denied", "tell", json!({ "decision": decision })),
        event(15, 2452, "step_skipped", "after", json!({ "reason": "tell" })),
        event(16, 2453, "run_failed", "", json!({ "error": { "code": "denied", "message": "tell was denied" } })),
    ];
    Act {
        state: "failed".into(),
        error: json!({ "code": "denied", "message": "network.egress was denied", "step": "tell" }),
        outputs: Value::Null,
        events,
        steps: vec![
            step("log", "done", json!({})),
            step("write", "done", json!({})),
            step("tell", "denied", Value::Null),
        ],
        ..Act::default()
    }
}

fn plan_file() -> tempfile::NamedTempFile {
    let file = tempfile::Builder::new().suffix(".yaml").tempfile().unwrap();
    std::fs::write(file.path(), "name: notes\n").unwrap();
    file
}

#[tokio::test]
async fn shows_each_change_on_a_line() {
    let server = Stage::new(eventful()).serve().await;
    let plan = plan_file();
    let (exit, screen) = aidt(&TestHost::at(&server.endpoint), &["run", plan.path().to_str().unwrap()]).await;
    assert_eq!(exit, Exit::DENIED);
    insta::assert_snapshot!(screen.both());
}

#[tokio::test]
async fn prints_outputs_for_people() {
    let act = Act {
        state: "done".into(),
        outputs: json!({ "count": 3, "list": ["a"], "notes": "# Notes\n\n- one\n", "word": "x" }),
        events: vec![
            event(1, 0, "run_started", "", json!({ "plan": "notes" })),
            event(2, 5, "run_done", "", json!({})),
        ],
        ..Act::default()
    };
    let server = Stage::new(act).serve().await;
    let plan = plan_file();
    let (exit, screen) = aidt(&TestHost::at(&server.endpoint), &["run", plan.path().to_str().unwrap()]).await;
    assert_eq!(exit, Exit::DONE);
    insta::assert_snapshot!(screen.both());
}

#[tokio::test]
async fn submits_the_text_with_typed_inputs_and_labels() {
    let stage = Stage::new(eventful());
    let server = stage.serve().await;
    let (host, plan) = (TestHost::at(&server.endpoint), plan_file());
    let path = plan.path().to_str().unwrap();
    let args = [
        "run",
        path,
        "--detach",
        "--set",
        "count=12",
        "--set",
        "name=12",
        "--set",
        "deep=true",
        "--label",
        "team=core",
        "--worker",
        "./worker.py",
        "--tools",
        "./tools",
    ];
    let (exit, screen) = aidt(&host, &args).await;
    assert_eq!((exit, screen.out()), (Exit::DONE, format!("{RUN}\n")));
    let post = stage.posts().pop().unwrap();
    let (head, body) = post.split_at(post.find('{').unwrap());
    assert_eq!(head, "runs a-key ");
    let body: Value = serde_json::from_str(body).unwrap();
    assert_eq!(
        body,
        json!({
            "source": { "name": path, "text": "name: notes\n" }, "labels": { "team": "core" },
            "inputs": { "count": 12, "name": "12", "deep": true },
        })
    );
    let embed = host.embeds.lock().unwrap().pop().unwrap();
    assert_eq!((embed.workers, embed.tools), (vec!["./worker.py".to_owned()], Some("./tools".into())));
    assert_eq!(host.closed.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn an_input_of_the_wrong_type_is_refused_before_anything_is_submitted() {
    let stage = Stage::new(eventful());
    let server = stage.serve().await;
    let plan = plan_file();
    let args = ["run", plan.path().to_str().unwrap(), "--set", "count=many"];
    let (exit, screen) = aidt(&TestHost::at(&server.endpoint), &args).await;
    assert_eq!((exit, stage.posts()), (Exit::BAD_INPUT, vec![]));
    assert!(screen.err().contains("--set count: 'many' is not a whole number"), "{}", screen.err());
}

#[tokio::test]
async fn a_run_is_followed_from_one_server_to_the_next_and_submitted_once() {
    let whole = eventful();
    let mut act = whole.clone();
    act.state = "running".into();
    act.events.truncate(8);
    let stage = Stage::new(act);
    let (first, second) = (stage.serve().await, stage.serve().await);
    let (host, plan) = (TestHost::at(&first.endpoint), plan_file());
    let args = ["run", plan.path().to_str().unwrap(), "--output", "json"];
    let hand_over = async {
        stage.watched().await;
        host.hand_over(&second.endpoint, "resumed 1 run left by a kill");
        first.gone.cancel();
        stage.change(|act| *act = whole.clone());
    };
    let ((exit, screen), ()) = tokio::join!(aidt(&host, &args), hand_over);
    assert_eq!((exit, stage.posts().len()), (Exit::DENIED, 1), "{}", screen.both());
    assert_eq!(*stage.streams.borrow(), 2);
    assert!(screen.err().contains("resumed 1 run left by a kill"), "{}", screen.err());
    assert_eq!(screen.err().matches("git.log").count(), 2, "each event once:\n{}", screen.err());
}

#[tokio::test]
async fn a_plan_that_cannot_be_read_is_bad_input() {
    let host = TestHost::at(&"http://127.0.0.1:1".parse().unwrap());
    let (exit, screen) = aidt(&host, &["run", "no/such/plan.yaml", "--output", "json"]).await;
    assert_eq!(exit, Exit::BAD_INPUT);
    assert_eq!(screen.last_object()["error"]["code"], "invalid_argument");
    assert!(screen.err().contains("no/such/plan.yaml cannot be read"), "{}", screen.err());
}
