//! protocol.md §9: cancels and timeouts.

use crate::support::rows::{once, step};
use crate::support::workers::{done, stopped};
use crate::support::{World, key, ms, process};
use aidt_domain::{Effect, EffectHint, ErrorCode, Outcome, StepMessage};
use aidt_lock::Locks;
use aidt_step_consumer::Report;
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

fn failure(outcome: Outcome) -> (&'static str, ErrorCode, EffectHint) {
    match outcome {
        Outcome::Failed(f) => ("failed", f.code, f.effect),
        Outcome::Cancelled(f) => ("cancelled", f.code, f.effect),
        other => panic!("{other:?}"),
    }
}

/// A claimed call that runs.
async fn running(world: &mut World, step: &StepMessage) -> aidt_step_consumer::CallNo {
    world.dispatch(step).await;
    let call = world.workers.started().await;
    world.pass(ms(100)).await;
    call.no
}

#[tokio::test(start_paused = true)]
async fn a_cancel_by_pub_sub_reaches_the_worker_and_what_happened_is_reported() {
    let mut world = World::new(4).await;
    let handle = world.run();
    let step = once(1);
    let call = running(&mut world, &step).await;
    let message = serde_json::json!({"run": step.run, "step": step.step, "dispatch": step.dispatch});
    let channel = format!("cancel:{}", process(1));
    world.locks.publish(&channel, message.to_string().into()).await.unwrap();
    world.pass(ms(10)).await;
    assert_eq!(world.workers.state().cancelled, [(call, "cancelled".to_owned())]);
    world.workers.end(call, stopped(EffectHint::None)).await;
    let told = failure(world.finished().await.outcome);
    assert_eq!(told, ("cancelled", ErrorCode::Cancelled, EffectHint::None));
    world.pass(ms(10)).await;
    assert_eq!(handle.stats().in_hand, 0);
}

#[tokio::test(start_paused = true)]
async fn a_cancel_that_was_lost_comes_with_the_heartbeat() {
    let mut world = World::new(4).await;
    world.run();
    let step = step(1);
    let call = running(&mut world, &step).await;
    world.store.run_log.ask_to_stop(&[key(&step)]).await.unwrap();
    world.pass(ms(1500)).await;
    assert_eq!(world.workers.state().cancelled.len(), 1, "once, however many heartbeats say it");
    world.workers.done(call).await;
    assert!(matches!(world.finished().await.outcome, Outcome::Done { .. }), "it finished anyway");
}

#[tokio::test(start_paused = true)]
async fn a_cancel_without_an_answer_ends_after_its_grace_as_maybe() {
    let mut world = World::new(4).await;
    let handle = world.run();
    let step = once(1);
    let call = running(&mut world, &step).await;
    handle.cancel(step.run, step.step, step.dispatch);
    world.pass(ms(4900)).await;
    assert_eq!(handle.stats().reported, 0);
    let told = failure(world.finished().await.outcome);
    assert_eq!(told, ("cancelled", ErrorCode::Cancelled, EffectHint::Maybe));
    // Its word after all settles what was unclear.
    world.workers.done(call).await;
    assert!(matches!(world.finished().await.outcome, Outcome::Done { .. }));
    world.pass(ms(10)).await;
    assert_eq!((handle.stats().in_hand, world.workers.state().settled.len()), (0, 1));
}

#[tokio::test(start_paused = true)]
async fn a_cancel_of_what_has_not_begun_had_no_effect() {
    let mut world = World::new(4).await;
    world.faults.claims_down.store(true, SeqCst);
    let step = once(1);
    world.dispatch(&step).await;
    let handle = world.run();
    world.pass(ms(100)).await;
    handle.cancel(step.run, step.step, step.dispatch);
    world.pass(ms(100)).await;
    world.faults.claims_down.store(false, SeqCst);
    let told = failure(world.finished().await.outcome);
    assert_eq!(told, ("cancelled", ErrorCode::Cancelled, EffectHint::None));
    assert!(world.workers.state().cancelled.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_cancel_of_another_process_call_is_nobodys_business() {
    let mut world = World::new(4).await;
    let handle = world.run();
    let call = running(&mut world, &step(1)).await;
    handle.cancel(step(2).run, step(2).step, step(2).dispatch);
    world.pass(ms(100)).await;
    assert!(world.workers.state().cancelled.is_empty());
    world.workers.done(call).await;
    world.finished().await;
}

#[tokio::test(start_paused = true)]
async fn the_run_timeout_cancels_waits_its_grace_and_fails_as_maybe() {
    for effect in [Effect::Read, Effect::Idempotent, Effect::Once] {
        let mut world = World::new(4).await;
        world.run();
        let step = StepMessage { effect, run_ms: 1000, ..step(1) };
        running(&mut world, &step).await;
        world.pass(ms(1000)).await;
        assert_eq!(world.workers.state().cancelled[0].1, "timeout_run");
        let told = failure(world.finished().await.outcome);
        assert_eq!(told, ("failed", ErrorCode::TimeoutRun, EffectHint::Maybe));
        let since = world.now().since(aidt_domain::Timestamp(1_800_000_000_000));
        assert!(since >= Duration::from_secs(6), "{since:?}: timeout and grace");
    }
}

#[tokio::test(start_paused = true)]
async fn only_the_worker_may_say_that_a_timed_out_call_had_no_effect() {
    let mut world = World::new(4).await;
    world.run();
    let call = running(&mut world, &StepMessage { run_ms: 1000, ..once(1) }).await;
    world.pass(ms(1000)).await;
    world.workers.end(call, stopped(EffectHint::None)).await;
    let told = failure(world.finished().await.outcome);
    assert_eq!(told, ("failed", ErrorCode::TimeoutRun, EffectHint::None));
}

#[tokio::test(start_paused = true)]
async fn silence_is_a_heartbeat_timeout_and_signs_of_life_are_not() {
    let mut world = World::new(4).await;
    world.run();
    let step = StepMessage { heartbeat_ms: Some(500), ..step(1) };
    let call = running(&mut world, &step).await;
    for _ in 0..10 {
        world.pass(ms(400)).await;
        world.workers.say(Report::Progress { call, message: String::new() }).await;
    }
    assert!(world.workers.state().cancelled.is_empty());
    world.pass(ms(600)).await;
    assert_eq!(world.workers.state().cancelled[0].1, "timeout_heartbeat");
    world.workers.end(call, stopped(EffectHint::Maybe)).await;
    let told = failure(world.finished().await.outcome);
    assert_eq!(told, ("failed", ErrorCode::TimeoutHeartbeat, EffectHint::Maybe));
}

#[tokio::test(start_paused = true)]
async fn a_timed_out_call_that_finished_anyway_reports_done() {
    let mut world = World::new(4).await;
    world.run();
    let call = running(&mut world, &StepMessage { run_ms: 1000, ..once(1) }).await;
    world.pass(ms(1000)).await;
    assert_eq!(world.workers.state().cancelled.len(), 1);
    world.workers.end(call, done()).await;
    assert!(matches!(world.finished().await.outcome, Outcome::Done { .. }));
    world.silence().await;
}
