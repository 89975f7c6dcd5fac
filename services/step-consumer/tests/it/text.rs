//! Logs, live text and progress.

use crate::support::rows::{once, step};
use crate::support::{World, ms, run_id};
use aidt_domain::{CommandBody, DispatchNo, StepIx};
use aidt_lock::Locks;
use aidt_step_consumer::{CallNo, Report};
use bytes::Bytes;
use std::time::Duration;

async fn print(world: &World, call: CallNo, offset: u64, text: &str) {
    let data = Bytes::copy_from_slice(text.as_bytes());
    world.workers.say(Report::Output { call, offset, data }).await;
}

async fn stored(world: &World, step: u32) -> String {
    let chunks = world.store.logs.logs(run_id(1), StepIx(step), (DispatchNo(1), 0), 1000).await.unwrap();
    let mut end = 0;
    for chunk in &chunks {
        assert_eq!(chunk.offset, end, "no gap, no overlap");
        end += chunk.bytes.len() as u64;
    }
    chunks.iter().map(|chunk| String::from_utf8(chunk.bytes.to_vec()).unwrap()).collect()
}

#[tokio::test(start_paused = true)]
async fn a_fast_steps_log_travels_with_its_result_and_only_its_first_4_kib() {
    let mut world = World::new(1).await;
    world.run();
    world.dispatch(&step(1)).await;
    let call = world.workers.started().await.no;
    print(&world, call, 0, "hello").await;
    world.workers.done(call).await;
    assert_eq!(world.finished().await.log, "hello");
    world.pass(Duration::from_secs(1)).await;
    assert_eq!(stored(&world, 1).await, "", "appended only for a claimed step");
}

#[tokio::test(start_paused = true)]
async fn much_text_of_a_fast_step_makes_it_claimed_and_is_all_kept() {
    let mut world = World::new(1).await;
    world.run();
    world.dispatch(&step(1)).await;
    let call = world.workers.started().await.no;
    let text = "0123456789".repeat(1000);
    print(&world, call, 0, &text).await;
    world.pass(ms(1)).await;
    world.workers.done(call).await;
    assert_eq!(world.finished().await.log, &text.as_bytes()[..4096]);
    world.pass(ms(10)).await;
    assert_eq!(stored(&world, 1).await, text);
}

#[tokio::test(start_paused = true)]
async fn a_claimed_steps_log_is_written_each_200_ms_and_sent_live() {
    let mut world = World::new(1).await;
    let mut live = world.locks.subscribe(&format!("live:{}", run_id(1))).await.unwrap();
    world.run();
    world.dispatch(&once(1)).await;
    let call = world.workers.started().await.no;
    print(&world, call, 0, "one ").await;
    world.pass(ms(100)).await;
    print(&world, call, 4, "two ").await;
    assert_eq!(stored(&world, 1).await, "");
    world.pass(ms(120)).await;
    assert_eq!(stored(&world, 1).await, "one two ");
    let message: serde_json::Value = serde_json::from_slice(&live.next().await.unwrap()).unwrap();
    let expected = serde_json::json!({"step": "s1", "dispatch": 1, "offset": 0, "text": "one two "});
    assert_eq!(message, expected);
    print(&world, call, 8, "three").await;
    world.workers.done(call).await;
    world.finished().await;
    world.pass(ms(1)).await;
    assert_eq!(stored(&world, 1).await, "one two three", "the rest is written at the end");
}

#[tokio::test(start_paused = true)]
async fn a_claimed_steps_log_is_written_when_64_kib_wait() {
    let mut world = World::new(1).await;
    world.run();
    world.dispatch(&once(1)).await;
    let call = world.workers.started().await.no;
    let text = "x".repeat(64 * 1024);
    print(&world, call, 0, &text).await;
    world.pass(ms(1)).await;
    assert_eq!(stored(&world, 1).await.len(), text.len());
}

#[tokio::test(start_paused = true)]
async fn progress_is_an_event_at_most_once_a_second() {
    let mut world = World::new(1).await;
    world.run();
    world.dispatch(&once(1)).await;
    let call = world.workers.started().await.no;
    for n in 0..25 {
        let message = format!("part {n}");
        world.workers.say(Report::Progress { call, message }).await;
        world.pass(ms(100)).await;
    }
    world.workers.done(call).await;
    let (mut text, mut events) = (String::new(), 0);
    loop {
        match world.command().await.body {
            CommandBody::Progress { offset, text: more, .. } => {
                assert_eq!(offset, text.len() as u64);
                text.push_str(&more);
                events += 1;
            }
            CommandBody::Started { .. } => {}
            CommandBody::Finished(_) => break,
            other => panic!("{}", other.name()),
        }
    }
    assert!((2..=3).contains(&events), "{events} events in 2.5 s");
    assert_eq!(text.lines().count(), 25, "nothing is lost");
}
