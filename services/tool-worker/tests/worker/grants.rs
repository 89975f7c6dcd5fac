//! What is refused, and what the refusal says of the effect.

use crate::hub::{Hub, NOW, dispatched, granted};
use aidt_proto::v1::{Call, Failed};
use serde_json::json;

async fn refusal(change: impl FnOnce(Call) -> Call) -> Failed {
    let mut hub = Hub::start();
    let (mut stream, _) = hub.welcomed().await;
    let call = change(hub.call("debug.echo", "a", &json!({"value": 1})));
    stream.call(&call).await;
    stream.failure().await
}

#[track_caller]
fn assert_refused(failed: &Failed, reason: &str, no_effect: bool) {
    assert_eq!((failed.code.as_str(), failed.reason.as_str()), ("grant_refused", reason), "{failed:?}");
    assert_eq!(failed.no_effect, no_effect);
}

#[tokio::test(start_paused = true)]
async fn another_mac_or_other_arguments() {
    let failed = refusal(|mut call| {
        call.grant.as_mut().unwrap().mac = vec![0; 32].into();
        call
    });
    assert_refused(&failed.await, "bad_mac", true);
    let failed = refusal(|call| Call { arguments: r#"{"value":2}"#.into(), ..call });
    assert_refused(&failed.await, "bad_mac", true);
    let failed = refusal(|mut call| {
        call.id.as_mut().unwrap().index = 1;
        call
    });
    assert_refused(&failed.await, "bad_mac", true);
}

#[tokio::test(start_paused = true)]
async fn too_late_or_too_weak_a_sandbox() {
    let failed = refusal(|mut call| {
        call.grant.as_mut().unwrap().not_after_ms = NOW - 1;
        granted(call)
    });
    assert_refused(&failed.await, "expired", true);
    let failed = refusal(|mut call| {
        call.grant.as_mut().unwrap().min_sandbox = "landlock".to_owned();
        granted(call)
    });
    assert_refused(&failed.await, "sandbox", true);
}

#[tokio::test(start_paused = true)]
async fn an_obligation_that_the_worker_does_not_know() {
    let failed = refusal(|mut call| {
        call.grant.as_mut().unwrap().obligations = r#"{"mask":["a"]}"#.to_owned();
        granted(call)
    });
    let failed = failed.await;
    assert_refused(&failed, "obligation", true);
    assert!(failed.message.contains("mask"), "{failed:?}");
}

#[tokio::test(start_paused = true)]
async fn no_grant_or_no_id() {
    let failed = refusal(|call| Call { grant: None, ..call }).await;
    assert_eq!(failed.code, "grant_refused");
    let failed = refusal(|call| Call { id: None, ..call }).await;
    assert_eq!(failed.code, "grant_refused");
}

#[tokio::test(start_paused = true)]
async fn a_call_is_run_once_and_a_lower_dispatch_not_at_all() {
    let mut hub = Hub::start();
    let (mut stream, _) = hub.welcomed().await;
    let call = dispatched(hub.call("debug.echo", "a", &json!({"value": 1})), 2);
    stream.call(&call).await;
    assert_eq!(stream.output().await, json!({"value": 1}));
    stream.call(&call).await;
    assert_refused(&stream.failure().await, "seen_call", false);
    stream.call(&dispatched(call.clone(), 1)).await;
    assert_refused(&stream.failure().await, "stale_dispatch", false);
    stream.call(&dispatched(call, 3)).await;
    assert_eq!(stream.output().await, json!({"value": 1}));
}

#[tokio::test(start_paused = true)]
async fn a_replay_in_the_next_session_is_refused_too() {
    let mut hub = Hub::start();
    let (mut stream, _) = hub.welcomed().await;
    let call = hub.call("debug.echo", "a", &json!({"value": 1}));
    stream.call(&call).await;
    let result = stream.result().await;
    stream.ack(&result).await;
    drop(stream);
    let (mut stream, _) = hub.welcomed().await;
    stream.call(&call).await;
    assert_refused(&stream.failure().await, "seen_call", false);
}

#[tokio::test(start_paused = true)]
async fn a_tool_that_is_not_served_as_the_catalogue_has_it() {
    let failed = refusal(|mut call| {
        call.grant.as_mut().unwrap().entry_digest = aidt_domain::Digest::of(b"other").to_string();
        granted(call)
    });
    let failed = failed.await;
    assert_eq!((failed.code.as_str(), failed.no_effect), ("tool_changed", true));
}

#[tokio::test(start_paused = true)]
async fn more_calls_than_slots() {
    let mut hub = Hub::start();
    let (mut stream, _) = hub.welcomed().await;
    for step in ["a", "b", "c", "d"] {
        stream.call(&hub.call("test.deaf", step, &json!(null))).await;
    }
    let failed = stream.failure().await;
    assert_eq!((failed.code.as_str(), failed.no_effect, failed.retryable), ("overloaded", true, true));
}
