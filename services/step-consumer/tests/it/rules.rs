//! protocol.md §5: how a step consumer takes, validates, runs and reports.

use crate::support::rows::{again, burn, end, once, step};
use crate::support::workers::done;
use crate::support::{World, key, ms, pool, process};
use aidt_domain::{CommandBody, Effect, EffectHint, ErrorCode, Failure, Outcome, StepIx, StepMessage, Timestamp};
use aidt_proto::{encode_shared, encode_step};
use aidt_step_consumer::{Settled, ToolResult};
use bytes::Bytes;
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

#[tokio::test(start_paused = true)]
async fn no_message_is_taken_without_a_free_slot_of_a_worker() {
    let mut world = World::new(2).await;
    for ix in 0..5 {
        world.dispatch(&step(ix)).await;
    }
    world.run();
    let first = world.workers.started().await;
    world.workers.started().await;
    world.pass(Duration::from_secs(1)).await;
    assert_eq!(world.queued(), 3);
    world.workers.done(first.no).await;
    world.workers.started().await;
    world.pass(ms(10)).await;
    assert_eq!(world.queued(), 2);
    assert_eq!(world.workers.state().most_running, 2);
}

#[tokio::test(start_paused = true)]
async fn a_pool_without_workers_gets_nothing_until_one_comes() {
    let mut world = World::new(0).await;
    world.dispatch(&step(1)).await;
    world.run();
    world.pass(ms(500)).await;
    assert_eq!(world.queued(), 1);
    world.workers.set_slots(1);
    world.workers.started().await;
}

#[tokio::test(start_paused = true)]
async fn a_fresh_fast_step_touches_no_store() {
    for effect in [Effect::Read, Effect::Idempotent] {
        let mut world = World::new(4).await;
        let handle = world.run();
        world.dispatch(&StepMessage { effect, ..step(1) }).await;
        let call = world.workers.started().await;
        world.workers.done(call.no).await;
        let finished = world.finished().await;
        assert!(matches!(finished.outcome, Outcome::Done { .. }));
        assert_eq!((finished.process, finished.worker.as_str()), (process(1), "fake"));
        assert!(finished.started_at.is_some());
        world.pass(ms(200)).await;
        assert_eq!(world.faults.claim_calls.load(SeqCst), 0);
        assert_eq!(handle.stats().in_hand, 0);
        assert_eq!(world.workers.state().settled, [Settled::Call(call.no)]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_claim_is_required_before_an_effect_of_class_once() {
    let mut world = World::new(4).await;
    world.faults.claims_down.store(true, SeqCst);
    world.dispatch(&once(1)).await;
    world.run();
    world.pass(Duration::from_secs(1)).await;
    assert!(world.workers.state().running.is_empty(), "the store could not be asked");
    world.faults.claims_down.store(false, SeqCst);
    world.workers.started().await;
    let CommandBody::Started { process: by, .. } = world.command().await.body else { panic!("started") };
    assert_eq!(by, process(1));
}

#[tokio::test(start_paused = true)]
async fn a_claim_is_required_when_the_delivery_is_doubtful() {
    let mut world = World::new(4).await;
    // Republished.
    world.dispatch(&StepMessage { republished: true, ..step(1) }).await;
    world.run();
    world.workers.started().await;
    assert_eq!(world.faults.claim_calls.load(SeqCst), 1);
    // Older than 2 s since it was published.
    world.workers.set_slots(0);
    world.pass(ms(10)).await;
    world.dispatch(&step(2)).await;
    world.pass(ms(2100)).await;
    world.workers.set_slots(4);
    let claims = world.faults.claim_calls.load(SeqCst);
    assert_eq!(world.workers.started().await.step.step, StepIx(2));
    assert_eq!(world.faults.claim_calls.load(SeqCst), claims + 1);
}

#[tokio::test(start_paused = true)]
async fn no_broker_message_is_held_open_while_a_long_step_runs() {
    let mut world = World::new(4).await;
    world.dispatch(&step(1)).await;
    world.run();
    let call = world.workers.started().await;
    world.pass(ms(40)).await;
    assert_eq!(world.faults.claim_calls.load(SeqCst), 0);
    world.pass(ms(20)).await;
    assert_eq!(world.faults.claim_calls.load(SeqCst), 1);
    assert!(matches!(world.command().await.body, CommandBody::Started { .. }));
    world.workers.done(call.no).await;
    world.finished().await;
    world.kill().await;
    assert_eq!(world.queued(), 0, "it was acked when it was claimed");
}

#[tokio::test(start_paused = true)]
async fn a_long_steps_message_is_acked_before_its_end() {
    let mut world = World::new(4).await;
    world.dispatch(&step(1)).await;
    world.run();
    world.workers.started().await;
    world.pass(ms(100)).await;
    world.kill().await;
    assert_eq!(world.queued(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_stale_or_burned_message_is_acked_and_dropped() {
    let mut world = World::new(4).await;
    let (stale, burned, ended) = (once(1), once(2), once(3));
    world.dispatch(&stale).await;
    world.put(&again(&stale)).await;
    world.dispatch(&burned).await;
    burn(&world.store, &burned, world.now()).await;
    world.dispatch(&ended).await;
    end(&world.store, &ended, world.now()).await;
    world.run();
    world.workers.none_started().await;
    world.silence().await;
    world.kill().await;
    assert_eq!(world.queued(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_late_claim_that_is_lost_cancels_the_call_and_drops_its_result() {
    let mut world = World::new(4).await;
    let step = step(1);
    world.dispatch(&step).await;
    let handle = world.run();
    let call = world.workers.started().await;
    burn(&world.store, &step, world.now()).await;
    world.pass(ms(100)).await;
    assert_eq!(world.workers.state().left, [call.no]);
    assert_eq!(world.workers.state().cancelled.len(), 1);
    world.workers.done(call.no).await;
    world.silence().await;
    assert_eq!(handle.stats().in_hand, 0);
    world.kill().await;
    assert_eq!(world.queued(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_result_waits_for_the_claim_that_was_asked_for_it() {
    let mut world = World::new(4).await;
    let step = step(1);
    world.dispatch(&step).await;
    world.run();
    let call = world.workers.started().await;
    world.faults.claims_down.store(true, SeqCst);
    world.pass(ms(100)).await;
    world.workers.done(call.no).await;
    world.pass(ms(100)).await;
    burn(&world.store, &step, world.now()).await;
    world.faults.claims_down.store(false, SeqCst);
    world.silence().await;
}

#[tokio::test(start_paused = true)]
async fn a_duplicate_delivery_after_completion_of_a_once_is_not_run_again() {
    let mut world = World::new(4).await;
    let step = once(1);
    world.dispatch(&step).await;
    world.run();
    let call = world.workers.started().await;
    world.workers.done(call.no).await;
    world.finished().await;
    // The owner has not applied the result: the store would say "won" to this process again.
    world.publish(&StepMessage { republished: true, ..step.clone() }).await;
    world.workers.none_started().await;
    world.silence().await;
    world.kill().await;
    assert_eq!(world.queued(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_dispatch_that_is_in_hand_and_comes_again_runs_once() {
    let mut world = World::new(4).await;
    for step in [step(1), once(2)] {
        world.put(&step).await;
        world.publish(&step).await;
        world.publish(&step).await;
        world.publish(&StepMessage { republished: true, ..step }).await;
    }
    world.run();
    let calls = [world.workers.started().await, world.workers.started().await];
    for call in calls {
        world.workers.done(call.no).await;
        world.finished().await;
    }
    world.silence().await;
    world.kill().await;
    assert_eq!(world.queued(), 0);
}

#[tokio::test(start_paused = true)]
async fn two_consumers_of_one_life_never_run_a_once_twice() {
    let mut world = World::new(4).await;
    let first = world.run();
    let call = {
        world.dispatch(&once(1)).await;
        world.workers.started().await
    };
    world.workers.done(call.no).await;
    world.finished().await;
    // The first is stopped, so the second gets the duplicate.
    world.tasks.shutdown().await;
    world.workers.restart();
    world.run();
    world.publish(&StepMessage { republished: true, ..once(1) }).await;
    world.workers.none_started().await;
    drop(first);
}

#[tokio::test(start_paused = true)]
async fn a_message_is_acked_only_after_its_result_is_published() {
    let mut world = World::new(4).await;
    world.dispatch(&step(1)).await;
    world.queue.down.store(true, SeqCst);
    world.run();
    let call = world.workers.started().await;
    world.workers.done(call.no).await;
    world.pass(ms(20)).await;
    assert!(world.workers.state().settled.is_empty(), "the worker must not forget it either");
    world.kill().await;
    assert_eq!(world.queued(), 1, "the broker delivers it again");
}

#[tokio::test(start_paused = true)]
async fn infrastructure_errors_never_nack_but_are_retried_in_place() {
    let mut world = World::new(4).await;
    world.queue.down.store(true, SeqCst);
    world.dispatch(&step(1)).await;
    world.dispatch(&step(2)).await;
    world.run();
    for _ in 0..2 {
        let call = world.workers.started().await;
        world.workers.done(call.no).await;
    }
    world.pass(Duration::from_secs(2)).await;
    world.queue.down.store(false, SeqCst);
    let results = [world.finished().await.step, world.finished().await.step];
    assert_eq!(results, [StepIx(1), StepIx(2)]);
    world.pass(ms(10)).await;
    assert_eq!(world.workers.state().settled.len(), 2);
}

#[tokio::test(start_paused = true)]
async fn several_results_share_one_publish() {
    let mut world = World::new(64).await;
    for ix in 0..50 {
        world.dispatch(&step(ix)).await;
    }
    world.run();
    let mut calls = Vec::new();
    for _ in 0..50 {
        calls.push(world.workers.started().await.no);
    }
    for call in calls {
        world.workers.done(call).await;
    }
    for _ in 0..50 {
        world.finished().await;
    }
    let publishes = world.queue.publishes.load(SeqCst);
    assert!(publishes <= 3, "{publishes} calls of the broker for 50 results");
}

#[tokio::test(start_paused = true)]
async fn claims_are_batched() {
    let mut world = World::new(64).await;
    for ix in 0..50 {
        world.dispatch(&once(ix)).await;
    }
    world.run();
    for _ in 0..50 {
        world.workers.started().await;
    }
    let calls = world.faults.claim_calls.load(SeqCst);
    assert!(calls <= 3, "{calls} calls of the store for 50 claims");
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_decoded_is_a_dead_letter_with_its_reason_and_bytes() {
    let mut world = World::new(4).await;
    let poison = Bytes::from_static(b"\x08\x01poison");
    world.publish_bytes(poison.clone(), false).await;
    world.dispatch(&step(1)).await;
    world.run();
    world.workers.started().await;
    world.pass(ms(10)).await;
    let letters = world.store.dead_letters.dead_letters(0, 10).await.unwrap();
    assert_eq!(letters.len(), 1);
    assert_eq!((&letters[0].bytes, letters[0].inlet.as_str()), (&poison, "steps:default"));
    assert!(!letters[0].reason.is_empty());
    world.pass(ms(100)).await;
    world.kill().await;
    assert_eq!(world.queued(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_step_that_cannot_be_decoded_fails_if_it_can_be_told_which_it_was() {
    let mut world = World::new(4).await;
    let step = step(1);
    world.put(&step).await;
    let broken = Bytes::from([&encode_step(&step)[..], b"\xff\xff"].concat());
    world.publish_bytes(broken.clone(), false).await;
    world.run();
    let finished = world.finished().await;
    assert_eq!((finished.step, finished.dispatch), (step.step, step.dispatch));
    let Outcome::Failed(failure) = finished.outcome else { panic!("{:?}", finished.outcome) };
    assert_eq!((failure.code, failure.effect), (ErrorCode::Internal, EffectHint::None));
    world.pass(ms(10)).await;
    let letters = world.store.dead_letters.dead_letters(0, 10).await.unwrap();
    assert_eq!((letters.len(), letters[0].run, &letters[0].bytes), (1, Some(step.run), &broken));
}

#[tokio::test(start_paused = true)]
async fn several_steps_of_a_pool_share_a_message_and_one_bad_one_spoils_none() {
    let mut world = World::new(4).await;
    let (one, two) = (step(1), step(2));
    world.put(&one).await;
    world.put(&two).await;
    let bad = Bytes::from_static(b"\x08\x01bad");
    let body = encode_shared(vec![encode_step(&one), bad, encode_step(&two)]);
    world.publish_bytes(body, false).await;
    world.run();
    let calls = [world.workers.started().await.no, world.workers.started().await.no];
    world.workers.done(calls[0]).await;
    world.finished().await;
    world.workers.done(calls[1]).await;
    world.finished().await;
    world.pass(ms(10)).await;
    assert_eq!(world.store.dead_letters.dead_letters(0, 10).await.unwrap().len(), 1);
    world.kill().await;
    assert_eq!(world.queued(), 0, "acked when the last of the three was done");
}

#[tokio::test(start_paused = true)]
async fn a_newer_format_is_left_to_a_newer_process() {
    let mut world = World::new(1).await;
    world.publish_bytes(Bytes::from_static(b"\x08\x63whatever"), false).await;
    world.run();
    world.pass(ms(100)).await;
    assert_eq!(world.queued(), 0, "it is held");
    world.dispatch(&step(1)).await;
    // With its only slot's message held, the pool goes on once that was given back.
    world.workers.started().await;
    assert!(world.store.dead_letters.dead_letters(0, 10).await.unwrap().is_empty());
    world.pass(ms(100)).await;
    world.kill().await;
    assert_eq!(world.queued(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_queue_deadline_that_passed_is_a_timeout_without_effect() {
    let mut world = World::new(0).await;
    let deadline = Some(world.now().plus(Duration::from_secs(1)));
    world.dispatch(&StepMessage { queue_deadline: deadline, ..step(1) }).await;
    world.run();
    world.pass(Duration::from_secs(3)).await;
    world.workers.set_slots(1);
    let Outcome::Failed(failure) = world.finished().await.outcome else { panic!("failed") };
    assert_eq!((failure.code, failure.effect), (ErrorCode::TimeoutQueue, EffectHint::None));
    world.workers.none_started().await;
}

#[tokio::test(start_paused = true)]
async fn a_step_that_runs_elsewhere_is_not_timed_out_here() {
    let mut world = World::new(0).await;
    let step = StepMessage { queue_deadline: Some(Timestamp(1)), republished: true, ..once(1) };
    world.dispatch(&step).await;
    let (run, ix, dispatch) = key(&step);
    let elsewhere =
        aidt_store::ClaimRequest { run, step: ix, dispatch, partition: step.partition, process: process(9) };
    world.store.claims.claim(&[elsewhere]).await.unwrap();
    world.run();
    world.workers.set_slots(1);
    world.silence().await;
}

#[tokio::test(start_paused = true)]
async fn a_tool_that_no_worker_here_serves_is_deferred() {
    let mut world = World::new(1).await;
    world.dispatch(&StepMessage { entry: aidt_domain::Digest::of(b"other"), ..step(1) }).await;
    world.run();
    let Outcome::Deferred(until) = world.finished().await.outcome else { panic!("deferred") };
    assert!(until > world.now());
}

#[tokio::test(start_paused = true)]
async fn a_consumer_lost_before_the_claim_leaves_its_message_to_the_broker() {
    let mut world = World::new(1).await;
    world.dispatch(&step(1)).await;
    world.run();
    world.workers.started().await;
    world.kill().await;
    assert_eq!(world.queued(), 1);
    world.reborn(2);
    let call = world.workers.started().await;
    assert_eq!(world.faults.claim_calls.load(SeqCst), 1, "delivered again: doubtful");
    world.workers.done(call.no).await;
    assert_eq!(world.finished().await.process, process(2));
}

#[tokio::test(start_paused = true)]
async fn a_lost_worker_spends_no_attempt_unless_the_outcome_is_ambiguous() {
    let mut world = World::new(4).await;
    world.run();
    let cases = [
        (step(1), true, Outcome::Released),
        (StepMessage { effect: Effect::Idempotent, ..step(2) }, true, Outcome::Released),
        (once(3), false, Outcome::Released),
    ];
    for (step, started, expected) in cases {
        world.dispatch(&step).await;
        let call = world.workers.started().await;
        world.workers.end(call.no, ToolResult::Lost { started }).await;
        assert_eq!(world.finished().await.outcome, expected);
    }
    world.dispatch(&once(4)).await;
    let call = world.workers.started().await;
    world.workers.end(call.no, ToolResult::Lost { started: true }).await;
    let Outcome::Failed(failure) = world.finished().await.outcome else { panic!("failed") };
    assert_eq!((failure.code, failure.effect), (ErrorCode::WorkerLost, EffectHint::Maybe));
}

#[tokio::test(start_paused = true)]
async fn a_message_that_finds_every_slot_busy_waits_a_little_and_is_then_deferred() {
    let mut world = World::new(1).await;
    world.workers.state().refuse = true;
    world.dispatch(&step(1)).await;
    world.run();
    world.pass(ms(1900)).await;
    assert_eq!(world.queue.publishes.load(SeqCst), 0);
    assert!(matches!(world.finished().await.outcome, Outcome::Deferred(_)));
}

#[tokio::test(start_paused = true)]
async fn a_call_that_its_worker_refused_before_it_began_is_deferred() {
    let mut world = World::new(1).await;
    world.run();
    world.dispatch(&once(1)).await;
    let call = world.workers.started().await;
    let failure = Failure { retryable: true, ..Failure::fatal(ErrorCode::GrantRefused, "expired") };
    world.workers.end(call.no, ToolResult::Failed(failure)).await;
    assert!(matches!(world.finished().await.outcome, Outcome::Deferred(_)));
}

#[tokio::test(start_paused = true)]
async fn the_process_row_says_what_there_is_and_owners_are_nudged_on_change() {
    let mut world = World::new(3).await;
    world.run();
    world.pass(ms(10)).await;
    let slots = |rows: &[aidt_store::ProcessRow]| rows[0].slots.get(&pool()).copied();
    let (rows, _) = world.store.processes.live(4000).await.unwrap();
    assert_eq!((slots(&rows), rows[0].tools.len()), (Some(3), 1));
    assert_eq!(rows[0].policy_revision, world.policy.revision());
    let nudges = world.queue.nudges.load(SeqCst);
    world.workers.set_slots(7);
    world.pass(ms(10)).await;
    let (rows, _) = world.store.processes.live(4000).await.unwrap();
    assert_eq!(slots(&rows), Some(7));
    assert_eq!(world.queue.nudges.load(SeqCst), nudges + 1);
}

#[tokio::test(start_paused = true)]
async fn a_broken_stream_is_opened_again_and_loses_nothing() {
    let mut world = World::new(1).await;
    world.dispatch(&step(1)).await;
    world.run();
    let first = world.workers.started().await;
    // More slots: the stream is opened with a larger prefetch, and what was not acked comes again.
    world.workers.set_slots(3);
    world.pass(ms(5)).await;
    world.dispatch(&step(2)).await;
    let second = world.workers.started().await;
    assert_eq!(second.step.step, StepIx(2));
    world.workers.end(first.no, done()).await;
    world.workers.end(second.no, done()).await;
    world.finished().await;
    world.finished().await;
    world.silence().await;
    world.kill().await;
    assert_eq!(world.queued(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_claimed_steps_result_outlives_a_wiped_broker() {
    let mut world = World::new(2).await;
    let step = once(1);
    world.dispatch(&step).await;
    world.run();
    let call = world.workers.started().await.no;
    world.pass(ms(10)).await;
    world.workers.done(call).await;
    world.pass(ms(10)).await;
    world.queue.memory.wipe();
    let finished = world.finished().await;
    assert_eq!((finished.step, finished.dispatch), (step.step, step.dispatch));
    assert!(matches!(finished.outcome, Outcome::Done { .. }));
    world.silence().await;
}
