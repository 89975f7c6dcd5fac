//! A shutdown: stop taking, hand back, wait, hand over.

use crate::support::rows::{end, once, step};
use crate::support::workers::stopped;
use crate::support::{World, ms, process};
use aidt_domain::{Effect, EffectHint, Outcome, PartitionId, StepIx, StepMessage};
use aidt_proto::decode_command;
use aidt_step_consumer::{Error, Settled};
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

#[tokio::test(start_paused = true)]
async fn a_drain_takes_nothing_more_and_waits_for_what_runs() {
    let mut world = World::new(2).await;
    world.run();
    world.dispatch(&step(1)).await;
    let call = world.workers.started().await;
    world.pass(ms(10)).await;
    world.shutdown.cancel();
    world.pass(ms(10)).await;
    world.dispatch(&step(2)).await;
    world.pass(Duration::from_secs(5)).await;
    assert_eq!(world.queued(), 1);
    world.workers.done(call.no).await;
    assert_eq!(world.finished().await.step, StepIx(1));
    end(&world.store, &step(1), world.now()).await;
    world.ended().await.unwrap();
    assert_eq!(world.queued(), 1);
}

#[tokio::test(start_paused = true)]
async fn what_has_not_started_is_handed_back_as_released() {
    let mut world = World::new(2).await;
    world.faults.claims_down.store(true, SeqCst);
    world.dispatch(&once(1)).await;
    world.run();
    world.pass(ms(100)).await;
    world.shutdown.cancel();
    world.pass(ms(100)).await;
    world.faults.claims_down.store(false, SeqCst);
    assert_eq!(world.finished().await.outcome, Outcome::Released);
    end(&world.store, &once(1), world.now()).await;
    world.ended().await.unwrap();
    assert_eq!(world.queued(), 0);
    assert!(world.workers.state().running.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_once_is_awaited_to_the_end_of_the_grace_and_then_left_to_its_worker() {
    let mut world = World::new(2).await;
    world.config.drain_grace = Duration::from_secs(10);
    world.run();
    let repeatable = StepMessage { effect: Effect::Idempotent, ..step(1) };
    world.dispatch(&repeatable).await;
    world.dispatch(&once(2)).await;
    world.workers.started().await;
    world.workers.started().await;
    world.pass(ms(100)).await;
    world.shutdown.cancel();
    let released = world.finished().await;
    assert_eq!((released.step, released.outcome), (StepIx(1), Outcome::Released));
    end(&world.store, &repeatable, world.now()).await;
    world.ended().await.unwrap();
    let cancelled = world.workers.state().cancelled.clone();
    assert_eq!(cancelled.len(), 1, "only what may be repeated is stopped: {cancelled:?}");
    world.silence().await;
}

#[tokio::test(start_paused = true)]
async fn what_a_drain_stops_is_settled_when_its_worker_says_so_and_its_claim_is_awaited() {
    let mut world = World::new(2).await;
    world.config.drain_grace = Duration::from_secs(1);
    world.run();
    world.dispatch(&step(1)).await;
    let call = world.workers.started().await;
    world.pass(ms(100)).await;
    world.shutdown.cancel();
    assert_eq!(world.finished().await.outcome, Outcome::Released);
    // Its claim is open until an owner has taken that; closed now, the life would be taken for lost.
    world.pass(ms(500)).await;
    assert!(world.tasks.try_join_next().is_none());
    world.workers.end(call.no, stopped(EffectHint::None)).await;
    world.finished().await;
    world.pass(ms(10)).await;
    assert_eq!(world.workers.state().settled, [Settled::Call(call.no)], "its worker may forget it");
    end(&world.store, &step(1), world.now()).await;
    world.ended().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn draining_while_the_broker_is_down_puts_results_into_the_inbox_once() {
    let mut world = World::new(2).await;
    world.run();
    world.dispatch(&step(1)).await;
    let call = world.workers.started().await;
    world.pass(ms(10)).await;
    world.queue.down.store(true, SeqCst);
    world.shutdown.cancel();
    world.workers.done(call.no).await;
    world.ended().await.unwrap();
    let rows = world.store.inbox.inbox(PartitionId(0), 0, 10).await.unwrap();
    assert_eq!(rows.len(), 1);
    let command = decode_command(&rows[0].command).unwrap();
    assert_eq!((command.run, command.body.name()), (step(1).run, "finished"));
    assert_eq!(world.workers.state().settled.len(), 1);
    assert_eq!(world.queued(), 0);
}

#[tokio::test(start_paused = true)]
async fn results_that_nobody_takes_are_named_and_left_to_the_workers() {
    let mut world = World::new(2).await;
    world.run();
    world.dispatch(&step(1)).await;
    let call = world.workers.started().await;
    world.pass(ms(10)).await;
    world.queue.down.store(true, SeqCst);
    world.faults.inbox_down.store(true, SeqCst);
    world.shutdown.cancel();
    world.workers.done(call.no).await;
    let error = world.ended().await.unwrap_err();
    assert!(matches!(error, Error::Undelivered { results: 1 }), "{error}");
    assert!(world.workers.state().settled.is_empty());
    assert_eq!(world.queued(), 1, "the broker has the message still, {:?}", process(1));
}

#[tokio::test(start_paused = true)]
async fn an_idle_consumer_ends_at_once() {
    let mut world = World::new(2).await;
    world.run();
    world.pass(ms(10)).await;
    world.shutdown.cancel();
    let before = world.now();
    world.ended().await.unwrap();
    assert!(world.now().since(before) < ms(10));
}

#[tokio::test(start_paused = true)]
async fn a_drain_waits_until_the_results_of_its_claims_are_recorded() {
    let mut world = World::new(2).await;
    world.run();
    world.dispatch(&once(1)).await;
    let call = world.workers.started().await;
    world.workers.done(call.no).await;
    world.finished().await;
    world.shutdown.cancel();
    world.pass(Duration::from_secs(2)).await;
    // Were its life closed now, its owner would take the step for lost.
    assert!(world.tasks.try_join_next().is_none());
    end(&world.store, &once(1), world.now()).await;
    let before = world.now();
    world.ended().await.unwrap();
    assert!(world.now().since(before) < ms(50));
}

#[tokio::test(start_paused = true)]
async fn a_drain_waits_for_owners_no_longer_than_a_flush_may_take() {
    let mut world = World::new(2).await;
    world.run();
    world.dispatch(&once(1)).await;
    let call = world.workers.started().await;
    world.workers.done(call.no).await;
    world.finished().await;
    world.shutdown.cancel();
    let before = world.now();
    let error = world.ended().await.unwrap_err();
    assert!(matches!(error, Error::Unrecorded { claims: 1 }), "whoever closes its life learns of it: {error}");
    assert_eq!(world.now().since(before).as_secs(), world.config.flush_grace.as_secs());
}
