//! protocol.md §6: a process that may be taken for dead stops working.

use crate::support::rows::{again, once, step};
use crate::support::{World, ms, process};
use aidt_domain::Outcome;
use aidt_step_consumer::{Beat, Error, Heart, Life};
use aidt_step_consumer::{Handle, ToolResult};
use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

#[tokio::test(start_paused = true)]
async fn a_process_that_could_not_write_its_heartbeat_for_three_seconds_cancels_its_calls() {
    let mut world = World::new(4).await;
    let handle = world.run();
    world.dispatch(&step(1)).await;
    let call = world.workers.started().await;
    world.pass(ms(100)).await;
    world.faults.heart_down.store(true, SeqCst);
    world.pass(ms(1800)).await;
    assert!(world.workers.state().cancelled.is_empty());
    world.dispatch(&step(2)).await;
    let second = world.workers.started().await;
    world.pass(ms(2000)).await;
    assert_eq!(world.workers.state().cancelled.len(), 2);
    // It takes nothing and writes nothing.
    world.dispatch(&step(3)).await;
    world.workers.done(call.no).await;
    world.workers.end(second.no, ToolResult::Lost { started: true }).await;
    world.pass(Duration::from_secs(5)).await;
    assert_eq!((world.queued(), handle.stats().reported), (1, 0));
    // The row still stands: it goes on.
    world.faults.heart_down.store(false, SeqCst);
    assert!(matches!(world.finished().await.outcome, Outcome::Done { .. }));
    assert_eq!(world.finished().await.outcome, Outcome::Released);
    world.workers.started().await;
}

#[tokio::test(start_paused = true)]
async fn a_process_that_was_taken_for_dead_ends_and_writes_nothing() {
    let mut world = World::new(4).await;
    world.run();
    world.dispatch(&once(1)).await;
    let call = world.workers.started().await;
    world.pass(ms(100)).await;
    world.store.processes.close(process(1)).await.unwrap();
    let error = world.ended().await.unwrap_err();
    assert!(matches!(error, Error::TakenForDead(p) if p == process(1)), "{error}");
    assert_eq!(world.workers.state().cancelled.len(), 1, "{call:?}");
    assert!(world.life.is_dead());
}

#[tokio::test(start_paused = true)]
async fn what_was_claimed_before_a_fence_is_claimed_again_before_it_starts() {
    let mut world = World::new(4).await;
    world.faults.claims_down.store(true, SeqCst);
    let step = once(1);
    world.dispatch(&step).await;
    world.run();
    world.pass(ms(100)).await;
    world.faults.heart_down.store(true, SeqCst);
    world.pass(Duration::from_secs(4)).await;
    // Others took it over meanwhile.
    world.put(&again(&step)).await;
    world.faults.claims_down.store(false, SeqCst);
    world.faults.heart_down.store(false, SeqCst);
    world.workers.none_started().await;
    world.silence().await;
}

#[tokio::test(start_paused = true)]
async fn redis_down_or_flushed_kills_nobody() {
    let mut world = World::new(4).await;
    world.run();
    world.dispatch(&once(1)).await;
    let call = world.workers.started().await;
    world.locks.flush();
    world.pass(Duration::from_secs(20)).await;
    assert!(world.workers.state().cancelled.is_empty());
    world.workers.done(call.no).await;
    assert!(matches!(world.finished().await.outcome, Outcome::Done { .. }));
}

#[tokio::test(start_paused = true)]
async fn the_heart_is_idle_until_registered_and_gives_up_on_a_call_that_hangs() {
    let world = World::new(1).await;
    let life = Life::new(process(7));
    let heart = Heart::new(Arc::clone(&life), Arc::clone(&world.store.processes), Vec::<Handle>::new());
    assert_eq!(heart.beat().await, Beat::Idle);
}

#[tokio::test(start_paused = true)]
async fn what_waits_for_a_slot_at_a_fence_is_claimed_again_before_it_starts() {
    for step in [once(1), step(1)] {
        let mut world = World::new(4).await;
        world.config.place_patience = Duration::from_secs(60);
        world.workers.state().refuse = true;
        world.dispatch(&step).await;
        world.run();
        world.pass(ms(100)).await;
        world.faults.heart_down.store(true, SeqCst);
        world.pass(Duration::from_secs(4)).await;
        // Others took it over meanwhile.
        world.put(&again(&step)).await;
        world.workers.state().refuse = false;
        world.faults.heart_down.store(false, SeqCst);
        world.workers.none_started().await;
        world.silence().await;
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_still_current_after_a_fence_goes_on() {
    let mut world = World::new(4).await;
    world.config.place_patience = Duration::from_secs(60);
    world.workers.state().refuse = true;
    world.dispatch(&once(1)).await;
    world.run();
    world.pass(ms(100)).await;
    world.faults.heart_down.store(true, SeqCst);
    world.pass(Duration::from_secs(4)).await;
    world.workers.state().refuse = false;
    world.faults.heart_down.store(false, SeqCst);
    let call = world.workers.started().await;
    world.workers.done(call.no).await;
    assert!(matches!(world.finished().await.outcome, Outcome::Done { .. }));
}
