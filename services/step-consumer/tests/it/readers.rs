//! Streams are told who reads their pool.

use crate::support::{World, ms, pool, process};
use aidt_domain::{FORMAT, ProcessId, Timestamp};
use aidt_step_consumer::Error;
use aidt_store::ProcessRow;
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

fn with_slots(id: ProcessId, slots: u32) -> ProcessRow {
    ProcessRow {
        id,
        service: "step-consumer".to_owned(),
        slots: [(pool(), slots)].into(),
        tools: Vec::new(),
        format: FORMAT,
        policy_revision: String::new(),
        heartbeat: Timestamp::default(),
        closed: false,
    }
}

impl World {
    async fn registers(&self, n: u128, slots: u32) {
        self.store.processes.register(with_slots(process(n), slots)).await.unwrap();
    }

    fn read_by(&self) -> Vec<ProcessId> {
        let told = self.queue.told();
        assert_eq!(told.me, process(1));
        told.all.into_iter().collect()
    }
}

#[tokio::test(start_paused = true)]
async fn a_stream_is_told_of_others_that_have_slots_and_of_one_that_falls_silent_before_it_is_dead() {
    let mut world = World::new(4).await;
    world.run();
    world.pass(ms(100)).await;
    assert_eq!(world.read_by(), [process(1)]);
    world.registers(2, 3).await;
    world.registers(3, 0).await;
    world.pass(ms(1_000)).await;
    assert_eq!(world.read_by(), [process(1), process(2)]);
    // It is killed as soon as it has written its heartbeat: the worst case.
    world.store.processes.heartbeat(process(2)).await.unwrap();
    world.pass(ms(2_400)).await;
    assert_eq!(world.read_by(), [process(1), process(2)], "late once and a half is not gone");
    world.pass(ms(1_200)).await;
    assert_eq!(world.read_by(), [process(1)]);
}

#[tokio::test(start_paused = true)]
async fn while_the_store_does_not_tell_who_is_there_nothing_changes() {
    let mut world = World::new(4).await;
    world.registers(2, 3).await;
    world.run();
    world.pass(ms(100)).await;
    assert_eq!(world.read_by(), [process(1), process(2)]);
    world.faults.looks_down.store(true, SeqCst);
    world.pass(Duration::from_secs(10)).await;
    assert_eq!(world.read_by(), [process(1), process(2)]);
    world.faults.looks_down.store(false, SeqCst);
    world.pass(ms(1_000)).await;
    assert_eq!(world.read_by(), [process(1)]);
}

#[tokio::test(start_paused = true)]
async fn one_that_never_learnt_who_is_there_reads_everything() {
    let mut world = World::new(4).await;
    world.registers(2, 3).await;
    world.faults.looks_down.store(true, SeqCst);
    world.run();
    world.pass(ms(100)).await;
    assert_eq!(world.read_by(), [process(1)]);
}

#[tokio::test(start_paused = true)]
async fn who_drains_has_no_slots_and_leaves_its_pools_to_the_others() {
    let mut world = World::new(4).await;
    world.registers(2, 3).await;
    world.run();
    world.dispatch(&crate::support::rows::step(1)).await;
    let call = world.workers.started().await;
    world.shutdown.cancel();
    world.pass(ms(1_100)).await;
    let (rows, _) = world.store.processes.live(4_000).await.unwrap();
    let mine = rows.into_iter().find(|row| row.id == process(1)).expect("it lives while it drains");
    assert!(mine.slots.is_empty());
    assert_eq!(world.read_by(), [process(2)]);
    world.workers.done(call.no).await;
    world.finished().await;
    // No owner is there to record it.
    assert!(matches!(world.ended().await, Err(Error::Unrecorded { claims: 1 })));
}
