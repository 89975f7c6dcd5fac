//! What a step consumer listens to for as long as it lives: cancels, and changes of the roster.

use crate::handle::Handle;
use crate::lane::pause;
use crate::workers::Workers;
use aidt_domain::{DispatchNo, ProcessId, RunId, StepIx};
use aidt_lock::Locks;
use serde::Deserialize;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::time::sleep;

/// A cancel, as an owner sends it on `cancel:{process}`.
#[derive(Deserialize)]
struct Cancel {
    run: RunId,
    step: StepIx,
    dispatch: DispatchNo,
}

/// Hands on the cancels that owners send. One that gets lost comes with the next heartbeat.
pub(crate) async fn listen_for_cancels(locks: Arc<dyn Locks>, process: ProcessId, handle: Handle) {
    let channel = format!("cancel:{process}");
    let mut failures = 0;
    loop {
        match locks.subscribe(&channel).await {
            Ok(mut live) => {
                failures = 0;
                while let Some(message) = live.next().await {
                    match serde_json::from_slice::<Cancel>(&message) {
                        Ok(cancel) => handle.cancel(cancel.run, cancel.step, cancel.dispatch),
                        Err(error) => tracing::warn!(%channel, %error, "a cancel cannot be read"),
                    }
                }
            }
            Err(error) => tracing::debug!(%channel, %error, "cannot subscribe; cancels come by heartbeat"),
        }
        sleep(pause(failures)).await;
        failures += 1;
    }
}

/// Sets `changed` and wakes the loop with each change of the roster.
pub(crate) async fn watch_roster(workers: Arc<dyn Workers>, changed: Arc<AtomicBool>, handle: Handle) {
    loop {
        let seen = workers.roster().version;
        changed.store(true, Ordering::Release);
        handle.wake();
        workers.changed(seen).await;
    }
}
