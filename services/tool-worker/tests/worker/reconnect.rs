//! Sessions that break off, and the end of a worker's life.

use crate::hub::Hub;
use aidt_proto::v1::Ping;
use aidt_proto::v1::hub_frame::Frame as FromHub;
use aidt_proto::v1::result::Outcome;
use aidt_proto::v1::worker_frame::Frame as ToHub;
use aidt_tool_worker::{Error, Token};
use serde_json::json;
use std::time::Duration;
use tokio::time::Instant;
use tonic::Status;

#[tokio::test(start_paused = true)]
async fn a_call_outlives_its_session_and_its_result_is_kept_until_it_is_acked() {
    let mut hub = Hub::start();
    let (mut stream, _) = hub.welcomed().await;
    stream.call(&hub.call("debug.sleep", "a", &json!({"ms": 2_000}))).await;
    stream.settled().await;
    drop(stream);
    let (mut stream, hello) = hub.welcomed().await;
    assert_eq!(hello.running.len(), 1);
    assert_eq!(hello.running[0].step, "a");
    assert_eq!(stream.output().await, json!({"slept_ms": 2_000}));
    drop(stream);
    let (mut stream, hello) = hub.welcomed().await;
    assert!(hello.running.is_empty());
    assert_eq!(hello.unreported.len(), 1);
    assert_eq!(hello.unreported[0].route.as_ref(), b"route");
    stream.ack(&hello.unreported[0]).await;
    stream.settled().await;
    drop(stream);
    let (_stream, hello) = hub.welcomed().await;
    assert!(hello.unreported.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_result_that_nobody_acks_is_forgotten_in_the_end() {
    let mut hub = Hub::start_with(|c| c.keep_results = Duration::from_secs(60));
    let (mut stream, _) = hub.welcomed().await;
    stream.call(&hub.call("debug.echo", "a", &json!({"value": 1}))).await;
    stream.result().await;
    drop(stream);
    let (stream, hello) = hub.opened().await;
    assert_eq!(hello.unreported.len(), 1);
    tokio::time::sleep(Duration::from_secs(60)).await;
    drop(stream);
    // The worker gave that stream up after its connect timeout, and others since.
    let mut last = hub.opened().await.1;
    while !last.unreported.is_empty() {
        last = hub.opened().await.1;
    }
}

#[tokio::test(start_paused = true)]
async fn a_silent_hub_is_left() {
    let mut hub = Hub::start();
    let (mut silent, _) = hub.welcomed().await;
    silent.settled().await;
    let start = Instant::now();
    let (_stream, _) = hub.opened().await;
    assert!(start.elapsed() >= Duration::from_secs(3), "three missed pings");
    assert!(start.elapsed() < Duration::from_secs(4));
}

#[tokio::test(start_paused = true)]
async fn a_bad_token_is_tried_again_ever_more_slowly_and_a_bad_hello_is_not() {
    let mut hub = Hub::start();
    let start = Instant::now();
    for _ in 0..8 {
        hub.opened().await.0.end(Status::unauthenticated("no such token")).await;
    }
    assert!(start.elapsed() > Duration::from_secs(2), "{:?}", start.elapsed());
    let (stream, _) = hub.opened().await;
    let trouble = hub.handle.status().trouble.unwrap();
    assert!(trouble.contains("no such token"), "{trouble}");
    stream.end(Status::invalid_argument("protocol 1 is not spoken here")).await;
    let error = (&mut hub.worker).await.unwrap().unwrap_err();
    assert!(matches!(&error, Error::Refused(status) if status.message().contains("not spoken")));
}

#[tokio::test(start_paused = true)]
async fn a_token_file_is_read_anew() {
    let path = std::env::temp_dir().join(format!("aidt-worker-token-{}", std::process::id()));
    std::fs::write(&path, "first\n").unwrap();
    let mut hub = Hub::start_with(|c| c.token = Token::File(path.clone()));
    let (stream, hello) = hub.opened().await;
    assert_eq!(hello.token, "first");
    std::fs::write(&path, "second").unwrap();
    drop(stream);
    assert_eq!(hub.opened().await.1.token, "second");
    std::fs::remove_file(&path).unwrap();
}

#[tokio::test(start_paused = true)]
async fn draining_finishes_what_runs_and_delivers_it() {
    let mut hub = Hub::start();
    let (mut stream, _) = hub.welcomed().await;
    stream.call(&hub.call("debug.sleep", "a", &json!({"ms": 500}))).await;
    stream.settled().await;
    hub.shutdown.cancel();
    let mut frame = stream.frame().await;
    while matches!(frame, ToHub::Progress(_)) {
        frame = stream.frame().await;
    }
    assert!(matches!(frame, ToHub::Drain(_)));
    let result = stream.result().await;
    assert!(matches!(result.outcome, Some(Outcome::Done(_))));
    stream.ack(&result).await;
    assert!(stream.ended().await);
    drop(stream);
    assert!((&mut hub.worker).await.unwrap().is_ok());
}

#[tokio::test(start_paused = true)]
async fn draining_cancels_what_does_not_end() {
    let mut hub = Hub::start_with(|c| c.drain_grace = Duration::from_secs(2));
    let (mut stream, _) = hub.welcomed().await;
    stream.call(&hub.call("debug.sleep", "a", &json!({"ms": 600_000}))).await;
    stream.settled().await;
    hub.shutdown.cancel();
    loop {
        match stream.frame().await {
            ToHub::Result(result) => {
                assert!(matches!(result.outcome, Some(Outcome::Cancelled(_))));
                stream.ack(&result).await;
                break;
            }
            ToHub::Progress(_) => stream.say(FromHub::Ping(Ping::default())).await,
            _ => {}
        }
    }
    drop(stream);
    assert!((&mut hub.worker).await.unwrap().is_ok());
}

#[tokio::test(start_paused = true)]
async fn an_idle_worker_without_a_hub_stops_at_once() {
    let mut hub = Hub::start();
    drop(hub.opened().await);
    hub.shutdown.cancel();
    assert!((&mut hub.worker).await.unwrap().is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_worker_that_owes_a_result_and_finds_nobody_stops_in_time() {
    let grace = Duration::from_secs(2);
    let mut hub = Hub::start_with(|c| c.drain_grace = grace);
    let (mut stream, _) = hub.welcomed().await;
    stream.call(&hub.call("debug.echo", "a", &json!({"value": 1}))).await;
    stream.result().await;
    drop(stream);
    for _ in 0..12 {
        hub.opened().await.0.end(Status::unavailable("not here")).await;
    }
    // It has heard that by now, and waits for seconds before it looks again.
    tokio::time::sleep(Duration::from_millis(1)).await;
    let told = Instant::now();
    hub.shutdown.cancel();
    hub.opened().await.0.end(Status::unavailable("not here")).await;
    assert!(told.elapsed() < Duration::from_millis(100), "it looks once more at once: {:?}", told.elapsed());
    while hub.refuse().await {}
    assert!((&mut hub.worker).await.unwrap().is_ok());
    let took = told.elapsed();
    assert!(took >= grace && took < grace + Duration::from_millis(100), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn a_hub_that_never_answers_does_not_keep_a_worker_from_stopping() {
    let grace = Duration::from_secs(2);
    let mut hub = Hub::start_with(|c| c.drain_grace = grace);
    let (mut stream, _) = hub.welcomed().await;
    stream.call(&hub.call("debug.echo", "a", &json!({"value": 1}))).await;
    stream.result().await;
    drop(stream);
    let (_silent, hello) = hub.opened().await;
    assert_eq!(hello.unreported.len(), 1);
    let told = Instant::now();
    hub.shutdown.cancel();
    assert!((&mut hub.worker).await.unwrap().is_ok());
    assert!(told.elapsed() < grace + Duration::from_millis(100), "{:?}", told.elapsed());
}

#[tokio::test(start_paused = true)]
async fn more_or_fewer_slots_are_said_in_a_new_hello_and_what_runs_runs_on() {
    let mut hub = Hub::start();
    let (mut stream, hello) = hub.welcomed().await;
    stream.call(&hub.call("debug.sleep", "a", &json!({"ms": 2_000}))).await;
    stream.settled().await;
    hub.handle.set_slots(hello.slots);
    stream.settled().await;
    hub.handle.set_slots(hello.slots + 1);
    let (mut stream, renewed) = hub.welcomed().await;
    assert_eq!((renewed.slots, renewed.running.len()), (hello.slots + 1, 1));
    assert_eq!(stream.output().await, json!({"slept_ms": 2_000}));
}
