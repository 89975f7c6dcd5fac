//! gate.md §5 and protocol.md §6: workers dial in, are checked, get granted calls, and survive their step
//! consumer. Over a real gRPC connection in memory.

use crate::support::grpc::{Dial, config, done, echo, echo_step, hello, id};
use crate::support::{ms, pool};
use aidt_domain::{Digest, ErrorCode, StepMessage};
use aidt_grants::{GrantClaims, verify};
use aidt_proto::v1::hub_frame::Frame as ToWorker;
use aidt_proto::v1::worker_frame::Frame as FromWorker;
use aidt_proto::v1::{self, WorkerFrame};
use aidt_step_consumer::{CallNo, NoPlace, Report, Settled, ToolResult};
use std::time::Duration;
use tokio::time::{Instant, sleep};
use tonic::Code;
use tonic_health::pb::health_client::HealthClient;
use tonic_health::pb::{HealthCheckRequest, health_check_response::ServingStatus};

fn ended(report: Report) -> (CallNo, ToolResult) {
    match report {
        Report::Ended { call, ended } => (call, ended.result),
        other => panic!("{other:?} is no end"),
    }
}

#[tokio::test(start_paused = true)]
async fn only_a_known_token_lets_a_worker_in_and_only_to_its_pools() {
    let dial = Dial::new(config()).await;
    let knock = async |hello: v1::Hello| {
        let frame = WorkerFrame { frame: Some(FromWorker::Hello(hello)) };
        dial.knock(frame).await.map(|peer| peer.is_some()).map_err(|status| status.code())
    };
    assert_eq!(knock(hello(1, 1)).await, Ok(true));
    let wrong = v1::Hello { token: "let me in!".to_owned(), ..hello(2, 1) };
    assert_eq!(knock(wrong).await, Err(Code::Unauthenticated));
    let other_pool = v1::Hello { token: "only x".to_owned(), ..hello(2, 1) };
    assert_eq!(knock(other_pool).await, Err(Code::PermissionDenied));
    for bad in [
        v1::Hello { protocol: 2, ..hello(2, 1) },
        v1::Hello { slots: 0, ..hello(2, 1) },
        v1::Hello { slots: 100_000, ..hello(2, 1) },
        v1::Hello { worker: "me".to_owned(), ..hello(2, 1) },
        v1::Hello { pool: "No Pool".to_owned(), ..hello(2, 1) },
    ] {
        assert_eq!(knock(bad).await, Err(Code::InvalidArgument));
    }
    let pong = WorkerFrame { frame: Some(FromWorker::Pong(v1::Pong::default())) };
    assert_eq!(dial.knock(pong).await.err().map(|s| s.code()), Some(Code::InvalidArgument));
    assert!(dial.hub.workers().is_empty(), "nobody stayed");
}

#[tokio::test(start_paused = true)]
async fn what_a_worker_announces_is_checked_against_the_operators_entries() {
    let dial = Dial::new(config()).await;
    let tool = |name: &str, digest: String| v1::Tool { name: name.to_owned(), entry_digest: digest };
    let tools = vec![tool("debug.echo", Digest::of(b"another").to_string()), tool("not.listed", String::new())];
    let peer = dial.join(v1::Hello { tools, ..hello(1, 1) }).await;
    assert_eq!(peer.welcome.refused.len(), 2);
    assert!(peer.welcome.refused[0].contains(&echo().digest().to_string()));
    assert!(peer.welcome.refused[1].starts_with("not.listed: "));
    let mut line = dial.line();
    assert_eq!(line.start(echo_step(1)), Err(NoPlace::Unserved));
    let exact = vec![tool("debug.echo", echo().digest().to_string())];
    let _other = dial.join(v1::Hello { tools: exact, ..hello(2, 1) }).await;
    assert!(line.start(echo_step(1)).is_ok());
    assert_eq!(line.workers.roster().tools, [echo().digest()]);
}

#[tokio::test(start_paused = true)]
async fn a_call_carries_a_grant_for_exactly_this_call_in_the_workers_own_clock() {
    let dial = Dial::new(config()).await;
    let mut peer = dial.join(hello(1, 1)).await;
    let mut line = dial.line();
    sleep(Duration::from_secs(2)).await;
    line.start(echo_step(3)).unwrap();
    let call = peer.call().await;
    let (grant, id) = (call.grant.unwrap(), call.id.unwrap());
    let claims = GrantClaims {
        run: &id.run,
        step: &id.step,
        dispatch: id.dispatch,
        index: id.index,
        tool: &call.tool,
        entry_digest: &grant.entry_digest,
        arguments: &call.arguments,
        policy_revision: &grant.policy_revision,
        obligations: &grant.obligations,
        min_sandbox: &grant.min_sandbox,
        not_after_ms: grant.not_after_ms,
    };
    assert_eq!(grant.not_after_ms, 5_000_000 + 2_000 + 30_000);
    assert_eq!(verify(&peer.key, &claims, &grant.mac, 5_002_000), Ok(()));
    assert!(verify(&peer.key, &GrantClaims { arguments: b"{}", ..claims }, &grant.mac, 0).is_err());
    assert!(verify(&peer.key, &GrantClaims { dispatch: 2, ..claims }, &grant.mac, 0).is_err());
    let other = dial.join(hello(2, 1)).await;
    assert!(verify(&other.key, &claims, &grant.mac, 0).is_err(), "a grant is of one session");
    assert_eq!(call.arguments, echo_step(3).arguments);
    assert_eq!((call.run_timeout_ms, call.idempotency_key.as_str()), (60_000, "key-3"));
}

#[tokio::test(start_paused = true)]
async fn a_ping_learns_the_workers_clock_and_three_missed_ones_lose_it() {
    let dial = Dial::new(config()).await;
    let mut peer = dial.join(hello(1, 2)).await;
    let mut line = dial.line();
    let Some(ToWorker::Ping(_)) = peer.raw().await else { panic!("a ping after 3 s") };
    peer.say(FromWorker::Pong(v1::Pong { clock_ms: 9_000_000 })).await;
    sleep(ms(100)).await;
    let first = line.start(echo_step(1)).unwrap();
    let granted = peer.call().await.grant.unwrap().not_after_ms;
    assert_eq!(granted, 9_000_000 + 100 + 30_000);
    let silent_since = Instant::now();
    while peer.raw().await.is_some() {}
    assert!(silent_since.elapsed() <= Duration::from_secs(13), "{:?}", silent_since.elapsed());
    assert_eq!(line.workers.free(&pool()), 0);
    assert_eq!(ended(line.report().await), (first, ToolResult::Lost { started: true }));
    assert!(silent_since.elapsed() <= Duration::from_secs(15), "it is waited for twice: {:?}", silent_since.elapsed());
    assert!(dial.hub.workers().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_result_is_acked_only_after_it_was_published() {
    let dial = Dial::new(config()).await;
    let mut peer = dial.join(hello(1, 1)).await;
    let mut line = dial.line();
    let no = line.start(echo_step(1)).unwrap();
    assert_eq!(line.workers.free(&pool()), 0);
    let call = peer.call().await;
    peer.say(FromWorker::Progress(v1::Progress { id: id(&call), fraction: 0.5, message: "half".to_owned() })).await;
    assert_eq!(line.report().await, Report::Progress { call: no, message: "half".to_owned() });
    let output = v1::Output { id: id(&call), offset: 0, data: "text".into() };
    peer.say(FromWorker::Output(output)).await;
    assert_eq!(line.report().await, Report::Output { call: no, offset: 0, data: "text".into() });
    peer.result(done(&call, "{\"a\":1}")).await;
    let Report::Ended { call: reported, ended } = line.report().await else { panic!("ended") };
    assert_eq!((reported, &*ended.worker), (no, "worker-1"));
    assert!(ended.began_ago.is_some());
    assert_eq!(line.workers.free(&pool()), 1, "the slot is free at once");
    // A worker that says it again is not believed twice.
    peer.result(done(&call, "{\"a\":1}")).await;
    assert!(tokio::time::timeout(ms(100), peer.hear()).await.is_err(), "no ack yet");
    line.workers.settle(&[Settled::Call(no)]);
    let Some(ToWorker::ResultAck(ack)) = peer.hear().await else { panic!("an ack") };
    assert_eq!(ack.id, call.id);
    assert!(line.reports.try_recv().is_err());
}

#[tokio::test(start_paused = true)]
async fn a_cancel_reaches_the_worker() {
    let dial = Dial::new(config()).await;
    let mut peer = dial.join(hello(1, 1)).await;
    let mut line = dial.line();
    let no = line.start(echo_step(1)).unwrap();
    let call = peer.call().await;
    line.workers.cancel(no, "because");
    let Some(ToWorker::Cancel(cancel)) = peer.hear().await else { panic!("a cancel") };
    assert_eq!((cancel.id, cancel.reason.as_str()), (call.id.clone(), "because"));
    let failed = v1::Failed { no_effect: true, ..v1::Failed::default() };
    let outcome = Some(v1::result::Outcome::Cancelled(failed));
    peer.result(v1::Result { outcome, ..done(&call, "1") }).await;
    let (_, result) = ended(line.report().await);
    assert!(matches!(result, ToolResult::Cancelled(f) if f.code == ErrorCode::Cancelled));
}

#[tokio::test(start_paused = true)]
async fn calls_go_to_the_worker_with_most_free_slots_that_serves_the_tool() {
    let dial = Dial::new(config()).await;
    let mut small = dial.join(hello(1, 1)).await;
    let mut large = dial.join(hello(2, 3)).await;
    let _useless = dial.join(v1::Hello { tools: Vec::new(), ..hello(3, 50) }).await;
    let mut line = dial.line();
    for ix in 0..4 {
        line.start(echo_step(ix)).unwrap();
    }
    assert_eq!(line.start(echo_step(9)), Err(NoPlace::Full));
    for _ in 0..3 {
        large.call().await;
    }
    small.call().await;
    let other = StepMessage { entry: Digest::of(b"other"), ..echo_step(5) };
    assert_eq!(line.start(other), Err(NoPlace::Unserved));
}

#[tokio::test(start_paused = true)]
async fn slots_are_shared_out_among_the_consumers_of_a_process() {
    let dial = Dial::new(config()).await;
    let _peer = dial.join(hello(1, 5)).await;
    let (mut one, two) = (dial.line(), dial.line());
    let free = |line: &crate::support::grpc::Line| line.workers.free(&pool());
    assert_eq!((free(&one), free(&two)), (3, 2));
    one.start(echo_step(1)).unwrap();
    assert_eq!((free(&one), free(&two)), (2, 2));
    let roster = two.workers.roster();
    assert_eq!((roster.pools[&pool()].total, roster.pools[&pool()].share), (5, 2));
    drop(one);
    assert_eq!(free(&two), 4, "what a consumer that is gone started still runs");
}

#[tokio::test(start_paused = true)]
async fn a_worker_that_comes_back_keeps_its_calls_and_delivers_what_it_could_not() {
    let dial = Dial::new(config()).await;
    let mut peer = dial.join(hello(1, 4)).await;
    let mut line = dial.line();
    let running = line.start(echo_step(1)).unwrap();
    let reported = line.start(echo_step(2)).unwrap();
    let unknown = line.start(echo_step(3)).unwrap();
    let calls = [peer.call().await, peer.call().await, peer.call().await];
    drop(peer);
    sleep(Duration::from_secs(9)).await;
    assert!(line.reports.try_recv().is_err(), "it is waited for");
    assert_eq!(line.workers.free(&pool()), 0);
    let back =
        v1::Hello { running: vec![id(&calls[0]).unwrap()], unreported: vec![done(&calls[1], "2")], ..hello(1, 4) };
    let peer = dial.join(back).await;
    assert_eq!(ended(line.report().await), (unknown, ToolResult::Lost { started: false }));
    let (no, result) = ended(line.report().await);
    assert!(no == reported && matches!(result, ToolResult::Done { .. }));
    peer.result(done(&calls[0], "1")).await;
    assert_eq!(ended(line.report().await).0, running);
}

#[tokio::test(start_paused = true)]
async fn a_result_that_was_listed_as_running_takes_no_slot_for_ever() {
    let dial = Dial::new(config()).await;
    let mut peer = dial.join(hello(1, 2)).await;
    let mut line = dial.line();
    let no = line.start(echo_step(1)).unwrap();
    let call = peer.call().await;
    peer.result(done(&call, "1")).await;
    assert_eq!(ended(line.report().await).0, no);
    drop(peer);
    sleep(ms(10)).await;
    // It was never acked, and the hello was too small for it.
    let peer = dial.join(v1::Hello { running: vec![id(&call).unwrap()], ..hello(1, 2) }).await;
    peer.result(done(&call, "1")).await;
    sleep(ms(10)).await;
    assert_eq!(line.workers.free(&pool()), 2);
    assert!(line.reports.try_recv().is_err());
}

#[tokio::test(start_paused = true)]
async fn a_worker_that_does_not_come_back_in_time_has_lost_its_calls() {
    let dial = Dial::new(config()).await;
    let mut peer = dial.join(hello(1, 1)).await;
    let mut line = dial.line();
    let no = line.start(echo_step(1)).unwrap();
    peer.call().await;
    drop(peer);
    let since = Instant::now();
    assert_eq!(ended(line.report().await), (no, ToolResult::Lost { started: true }));
    assert!((10..=12).contains(&since.elapsed().as_secs()), "{:?}", since.elapsed());
}

#[tokio::test(start_paused = true)]
async fn workers_survive_their_step_consumer() {
    let before = Dial::new(config()).await;
    let mut peer = before.join(hello(1, 2)).await;
    let mut line = before.line();
    line.start(echo_step(1)).unwrap();
    line.start(echo_step(2)).unwrap();
    let calls = [peer.call().await, peer.call().await];
    drop((line, before));
    // Another process, with the same key for routes.
    let after = Dial::new(config()).await;
    let hello =
        v1::Hello { running: vec![id(&calls[0]).unwrap()], unreported: vec![done(&calls[1], "2")], ..hello(1, 2) };
    let mut peer = after.join(hello).await;
    let mut line = after.line();
    let Report::Orphan(orphan) = line.report().await else { panic!("an orphan") };
    let step = echo_step(2);
    assert_eq!((orphan.route.run, orphan.route.step), (step.run, step.step));
    assert_eq!((orphan.route.dispatch, orphan.route.effect), (step.dispatch, step.effect));
    assert_eq!(line.workers.free(&pool()), 1, "what runs for the earlier one takes a slot");
    line.workers.settle(&[Settled::Orphan(orphan.no)]);
    let Some(ToWorker::ResultAck(ack)) = peer.hear().await else { panic!("an ack") };
    assert_eq!(ack.id, calls[1].id);
    peer.result(done(&calls[0], "1")).await;
    let Report::Orphan(orphan) = line.report().await else { panic!("an orphan") };
    assert_eq!(orphan.route.step, echo_step(1).step);
    assert_eq!(line.workers.free(&pool()), 2);
}

#[tokio::test(start_paused = true)]
async fn no_worker_can_report_for_a_run_that_it_was_not_given() {
    let dial = Dial::new(config()).await;
    let mut peer = dial.join(hello(1, 2)).await;
    let mut thief = dial.join(hello(2, 1)).await;
    let mut line = dial.line();
    let no = line.start(echo_step(1)).unwrap();
    let call = peer.call().await;
    // Without a route, with a forged one, and by a worker that does not have the call.
    let forged = v1::Result { route: vec![0; call.route.len()].into(), ..done(&call, "0") };
    thief.result(forged).await;
    thief.result(v1::Result { route: bytes::Bytes::new(), ..done(&call, "0") }).await;
    assert!(tokio::time::timeout(ms(100), line.reports.recv()).await.is_err());
    assert!(tokio::time::timeout(ms(100), thief.hear()).await.is_err(), "nor is it acked");
    peer.result(done(&call, "1")).await;
    assert_eq!(ended(line.report().await).0, no);
}

#[tokio::test(start_paused = true)]
async fn a_call_that_was_left_is_acked_and_seen_by_nobody() {
    let dial = Dial::new(config()).await;
    let mut peer = dial.join(hello(1, 1)).await;
    let mut line = dial.line();
    let no = line.start(echo_step(1)).unwrap();
    let call = peer.call().await;
    line.workers.leave(no);
    peer.result(done(&call, "1")).await;
    assert!(matches!(peer.hear().await, Some(ToWorker::ResultAck(_))));
    assert!(line.reports.try_recv().is_err());
    assert_eq!(line.workers.free(&pool()), 1);
}

#[tokio::test(start_paused = true)]
async fn a_worker_that_floods_is_slowed_down_and_its_result_still_comes() {
    let mut config = config();
    (config.text_rate, config.text_burst) = (100_000, 100_000);
    let dial = Dial::new(config).await;
    let mut peer = dial.join(hello(1, 1)).await;
    let mut line = dial.line();
    let no = line.start(echo_step(1)).unwrap();
    let call = peer.call().await;
    let since = Instant::now();
    let flood = async {
        for n in 0..100 {
            let output = v1::Output { id: id(&call), offset: n * 10_000, data: vec![b'x'; 10_000].into() };
            peer.say(FromWorker::Output(output)).await;
        }
        peer.result(done(&call, "1")).await;
    };
    let read = async {
        let mut frames = 0;
        while let Report::Output { .. } = line.report().await {
            frames += 1;
        }
        frames
    };
    let ((), frames) = tokio::join!(flood, read);
    assert_eq!(frames, 100, "{no:?}");
    assert!(since.elapsed() >= Duration::from_secs(9), "{:?} for a megabyte", since.elapsed());
}

#[tokio::test(start_paused = true)]
async fn an_output_over_the_limit_fails_its_call_and_nothing_else() {
    let dial = Dial::new(config()).await;
    let mut peer = dial.join(hello(1, 2)).await;
    let mut line = dial.line();
    line.start(echo_step(1)).unwrap();
    line.start(echo_step(2)).unwrap();
    let calls = [peer.call().await, peer.call().await];
    let large = format!("\"{}\"", "x".repeat(300 * 1024));
    peer.result(done(&calls[0], &large)).await;
    peer.result(done(&calls[1], "2")).await;
    let (_, first) = ended(line.report().await);
    assert!(matches!(first, ToolResult::Failed(f) if f.code == ErrorCode::TooLarge));
    assert!(matches!(ended(line.report().await).1, ToolResult::Done { .. }));
}

#[tokio::test(start_paused = true)]
async fn a_worker_that_drains_gets_no_more_calls_and_its_stream_ends_with_its_last() {
    let dial = Dial::new(config()).await;
    let mut peer = dial.join(hello(1, 2)).await;
    let mut line = dial.line();
    let no = line.start(echo_step(1)).unwrap();
    let call = peer.call().await;
    peer.say(FromWorker::Drain(v1::Drain {})).await;
    sleep(ms(10)).await;
    assert_eq!(line.workers.free(&pool()), 0);
    assert_eq!(line.start(echo_step(2)), Err(NoPlace::Unserved));
    peer.result(done(&call, "1")).await;
    line.report().await;
    line.workers.settle(&[Settled::Call(no)]);
    assert!(matches!(peer.hear().await, Some(ToWorker::ResultAck(_))));
    assert!(peer.hear().await.is_none(), "the stream ends");
}

#[tokio::test(start_paused = true)]
async fn a_worker_that_connects_twice_has_one_session() {
    let dial = Dial::new(config()).await;
    let mut first = dial.join(hello(1, 2)).await;
    let mut line = dial.line();
    let no = line.start(echo_step(1)).unwrap();
    let call = first.call().await;
    let again = v1::Hello { running: vec![id(&call).unwrap()], ..hello(1, 2) };
    let mut second = dial.join(again).await;
    assert!(first.hear().await.is_none(), "the older stream ends");
    assert_eq!((dial.hub.workers().len(), line.workers.free(&pool())), (1, 1));
    line.start(echo_step(2)).unwrap();
    second.call().await;
    second.result(done(&call, "1")).await;
    assert_eq!(ended(line.report().await).0, no);
}

#[tokio::test(start_paused = true)]
async fn the_roster_says_when_it_changes() {
    let dial = Dial::new(config()).await;
    let line = dial.line();
    let before = line.workers.roster();
    assert!(before.pools.is_empty());
    let _peer = dial.join(hello(1, 2)).await;
    line.workers.changed(before.version).await;
    assert_eq!(line.workers.roster().pools[&pool()].total, 2);
    let workers = dial.hub.workers();
    assert_eq!((workers[0].name.as_str(), workers[0].slots, workers[0].connected), ("worker-1", 2, true));
}

#[tokio::test(start_paused = true)]
async fn the_health_service_answers_and_a_stopped_hub_ends_every_stream() {
    let dial = Dial::new(config()).await;
    let mut peer = dial.join(hello(1, 1)).await;
    let mut health = HealthClient::new(dial.channel.clone());
    let request = HealthCheckRequest { service: "aidt.v1.WorkerHub".to_owned() };
    let answer = health.check(request.clone()).await.unwrap().into_inner();
    assert_eq!(answer.status(), ServingStatus::Serving);
    dial.stop.cancel();
    assert!(peer.hear().await.is_none());
    let answer = health.check(request).await.unwrap().into_inner();
    assert_eq!(answer.status(), ServingStatus::NotServing);
    let frame = WorkerFrame { frame: Some(FromWorker::Hello(hello(2, 1))) };
    assert_eq!(dial.knock(frame).await.err().map(|s| s.code()), Some(Code::Unavailable));
}
