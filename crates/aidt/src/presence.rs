//! The process's row in the store, and its heartbeat, from a thread that does nothing else.

use crate::adapters::Opener;
use crate::error::cannot;
use crate::kept::Kept;
use aidt_cli::HostError;
use aidt_domain::{ErrorCode, FORMAT, ProcessId, Timestamp};
use aidt_step_consumer::{Beat, FENCE_AFTER, Handle, Heart, Life};
use aidt_store::{ProcessRow, Processes};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::MissedTickBehavior;

const PERIOD: Duration = Duration::from_secs(1);

/// Beats for a process with a step consumer, which registers the row itself: it knows the slots.
pub(crate) async fn with_step_consumer(opener: Opener, life: Arc<Life>, handle: Handle) -> Result<Kept, HostError> {
    let made = Kept::start("heartbeat", move || async move {
        let processes = opener.store.processes;
        Ok(((), beat(Heart::new(life, processes, vec![handle]))))
    });
    Ok(made.await?.1)
}

/// Registers a process that has no workers, and beats for it.
pub(crate) async fn without(
    opener: Opener,
    process: ProcessId,
    service: String,
    policy_revision: String,
) -> Result<Kept, HostError> {
    let made = Kept::start("heartbeat", move || async move {
        let processes = opener.store.processes;
        let row = ProcessRow {
            id: process,
            service,
            slots: BTreeMap::new(),
            tools: Vec::new(),
            format: FORMAT,
            policy_revision,
            heartbeat: Timestamp::default(),
            closed: false,
        };
        let failed = |e| cannot(ErrorCode::Unavailable, "this process cannot be registered in the store", e);
        processes.register(row).await.map_err(failed)?;
        Ok(((), beat_alone(processes, process)))
    });
    Ok(made.await?.1)
}

async fn beat(heart: Heart) -> Result<(), String> {
    let mut ticks = ticks();
    // The first beats come fast: the life begins when the step consumer has registered it.
    loop {
        match heart.beat().await {
            Beat::Idle => tokio::time::sleep(Duration::from_millis(5)).await,
            Beat::Dead => return Err(taken_for_dead()),
            Beat::Written | Beat::Missed => drop(ticks.tick().await),
        }
    }
}

/// A process without claims gets no cancels, and its epochs fence it.
async fn beat_alone(processes: Arc<dyn Processes>, process: ProcessId) -> Result<(), String> {
    let mut ticks = ticks();
    loop {
        ticks.tick().await;
        match tokio::time::timeout(FENCE_AFTER, processes.heartbeat(process)).await {
            Ok(Ok(answer)) if answer.lost => return Err(taken_for_dead()),
            Ok(Ok(_)) => {}
            Ok(Err(error)) => tracing::warn!(%process, %error, "the heartbeat could not be written"),
            Err(_) => tracing::warn!(%process, "the heartbeat could not be written in time"),
        }
    }
}

fn ticks() -> tokio::time::Interval {
    let mut ticks = tokio::time::interval(PERIOD);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}

fn taken_for_dead() -> String {
    "others took this process for dead".to_owned()
}
