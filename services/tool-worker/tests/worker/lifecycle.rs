//! Calls from start to end: outputs, signs of life, cancels, panics, time-outs.

use crate::hub::{Hub, NOW, RUN, dispatched, granted};
use aidt_proto::v1::result::Outcome;
use aidt_proto::v1::worker_frame::Frame as ToHub;
use aidt_proto::v1::{Call, Workspace};
use serde_json::json;
use std::time::Duration;
use tokio::time::Instant;

#[tokio::test(start_paused = true)]
async fn a_hello_says_who_the_worker_is() {
    let mut hub = Hub::start();
    let (_stream, hello) = hub.welcomed().await;
    assert_eq!((hello.pool.as_str(), hello.slots, hello.protocol), ("default", 3, 1));
    assert_eq!((hello.token.as_str(), hello.name.as_str(), hello.clock_ms), ("open sesame", "test@here", NOW));
    assert!(hello.running.is_empty() && hello.unreported.is_empty());
    let names: Vec<_> = hello.tools.iter().map(|t| t.name.as_str()).collect();
    assert!(names.is_sorted() && names.contains(&"debug.echo") && names.contains(&"test.panic"));
    assert!(hello.tools.iter().all(|t| t.entry_digest.starts_with("sha256:")));
    assert!(hub.handle.connected().await);
    assert_eq!(hub.handle.status().refused, ["test.other: not in the catalogue"]);
}

#[tokio::test(start_paused = true)]
async fn a_tool_learns_what_the_call_says_and_its_whole_answer_travels() {
    let mut hub = Hub::start();
    let (mut stream, _) = hub.welcomed().await;
    let workspace = Some(Workspace { commit: "abc".to_owned() });
    stream.call(&Call { workspace, ..hub.call("test.context", "build[3]", &json!(null)) }).await;
    let result = stream.result().await;
    assert_eq!((result.route.as_ref(), result.started_ms), (&b"route"[..], NOW));
    assert_eq!(result.id.unwrap().step, "build[3]");
    let Some(Outcome::Done(done)) = result.outcome else { panic!("not done") };
    let output: serde_json::Value = serde_json::from_slice(&done.output).unwrap();
    assert_eq!(
        output,
        json!({
            "run": RUN, "step": "build[3]", "dispatch": 1, "attempt": 1, "key": "key", "commit": "abc",
        })
    );
    assert_eq!(done.labels, ["repo"]);
    let change = done.workspace.unwrap();
    assert_eq!((change.base.as_str(), change.commit.as_str(), change.paths), ("b", "c", vec!["p".to_owned()]));
}

#[tokio::test(start_paused = true)]
async fn what_a_tool_prints_comes_before_its_result() {
    let mut hub = Hub::start();
    let (mut stream, _) = hub.welcomed().await;
    stream.call(&hub.call("test.print", "a", &json!(null))).await;
    let mut printed = Vec::new();
    loop {
        match stream.frame().await {
            ToHub::Output(output) => {
                assert_eq!(output.offset, printed.len() as u64);
                printed.extend_from_slice(&output.data);
            }
            ToHub::Result(_) => break,
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(printed.len(), 100_006);
    assert!(printed.starts_with(b"onetwox"));
}

#[tokio::test(start_paused = true)]
async fn a_cancelled_call_ends_as_cancelled() {
    let mut hub = Hub::start();
    let (mut stream, _) = hub.welcomed().await;
    let call = hub.call("debug.sleep", "a", &json!({"ms": 2_000}));
    stream.call(&call).await;
    let ToHub::Progress(progress) = stream.frame().await else { panic!("no sign of life") };
    assert!(progress.fraction > 0.0 && progress.fraction < 1.0);
    stream.cancel(&call).await;
    let Some(Outcome::Cancelled(failed)) = stream.result().await.outcome else { panic!("not cancelled") };
    assert_eq!((failed.code.as_str(), failed.no_effect), ("cancelled", true));
}

#[tokio::test(start_paused = true)]
async fn a_higher_dispatch_cancels_the_lower() {
    let mut hub = Hub::start();
    let (mut stream, _) = hub.welcomed().await;
    let call = hub.call("debug.sleep", "a", &json!({"ms": 60_000}));
    stream.call(&call).await;
    stream.call(&dispatched(call, 2)).await;
    let result = stream.result().await;
    assert_eq!(result.id.unwrap().dispatch, 1);
    assert!(matches!(result.outcome, Some(Outcome::Cancelled(_))));
}

#[tokio::test(start_paused = true)]
async fn a_tool_that_does_not_stop_is_dropped_and_its_effect_unknown() {
    let mut hub = Hub::start_with(|c| c.cancel_grace = Duration::from_secs(2));
    let (mut stream, _) = hub.welcomed().await;
    let call = hub.call("test.deaf", "a", &json!(null));
    stream.call(&call).await;
    stream.settled().await;
    stream.cancel(&call).await;
    let start = Instant::now();
    let Some(Outcome::Cancelled(failed)) = stream.result().await.outcome else { panic!("not cancelled") };
    assert!(!failed.no_effect);
    assert_eq!(start.elapsed(), Duration::from_secs(2));
}

#[tokio::test(start_paused = true)]
async fn a_call_that_nobody_ends_times_out_by_itself() {
    let mut hub = Hub::start_with(|c| c.cancel_grace = Duration::from_millis(100));
    let (mut stream, _) = hub.welcomed().await;
    let call = Call { run_timeout_ms: 500, ..hub.call("test.deaf", "a", &json!(null)) };
    stream.call(&granted(call)).await;
    let failed = stream.failure().await;
    assert_eq!((failed.code.as_str(), failed.no_effect), ("timeout_run", false));
}

#[tokio::test(start_paused = true)]
async fn a_panic_is_a_failure_of_the_call_alone() {
    let mut hub = Hub::start();
    let (mut stream, _) = hub.welcomed().await;
    stream.call(&hub.call("test.panic", "a", &json!("boo"))).await;
    let failed = stream.failure().await;
    assert_eq!((failed.code.as_str(), failed.reason.as_str()), ("tool_failed", "panic"));
    assert!(failed.message.contains("as told: \"boo\"") && !failed.no_effect);
    stream.call(&hub.call("debug.echo", "b", &json!({"value": 1}))).await;
    assert_eq!(stream.output().await, json!({"value": 1}));
}

#[tokio::test(start_paused = true)]
async fn arguments_that_do_not_fit_are_a_failure_without_effect() {
    let mut hub = Hub::start();
    let (mut stream, _) = hub.welcomed().await;
    stream.call(&hub.call("debug.echo", "a", &json!({"valeu": 1}))).await;
    let failed = stream.failure().await;
    assert_eq!((failed.code.as_str(), failed.no_effect), ("invalid_argument", true));
}

#[tokio::test(start_paused = true)]
async fn many_calls_run_side_by_side_through_a_narrow_pipe() {
    let mut hub = Hub::start_with(|c| c.slots = 300);
    let (mut stream, _) = hub.welcomed().await;
    let big = "x".repeat(10_000);
    for n in 0..300 {
        stream.call(&hub.call("debug.echo", &format!("s{n}"), &json!({"value": big}))).await;
    }
    for _ in 0..300 {
        assert_eq!(stream.output().await["value"], json!(big));
    }
}
