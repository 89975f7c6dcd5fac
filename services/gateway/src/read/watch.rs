//! Noticing that a run has changed: told by the live fan-out, and looking now and then in case it is down.

use aidt_domain::{RunId, Seq};
use aidt_lock::{Live, Locks};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// Waits for changes of one run. Open it before reading the run: what changes after that is noticed.
pub(crate) struct Watch {
    locks: Arc<dyn Locks>,
    channel: String,
    live: Option<Box<dyn Live>>,
    every: Duration,
    /// Kept across calls, so that a caller who is interrupted often still looks in time.
    look_at: Instant,
}

impl Watch {
    /// Looks at least as often as `every`.
    pub(crate) async fn open(locks: &Arc<dyn Locks>, run: RunId, every: Duration) -> Self {
        let channel = format!("run:{run}");
        let live = subscribe(&**locks, &channel).await;
        Self { locks: locks.clone(), channel, live, every, look_at: Instant::now() + every }
    }

    /// Returns when the run has events after `seen`, or may have. Cancel safe.
    pub(crate) async fn changed(&mut self, seen: Seq) {
        while let Some(live) = &mut self.live {
            tokio::select! {
                biased;
                message = live.next() => match message {
                    Some(text) if last_seq(&text).is_some_and(|last| last <= seen) => {}
                    Some(_) => return,
                    None => self.live = None,
                },
                () = tokio::time::sleep_until(self.look_at) => {
                    self.look_at = Instant::now() + self.every;
                    return;
                }
            }
        }
        tokio::time::sleep_until(self.look_at).await;
        self.look_at = Instant::now() + self.every;
        self.live = subscribe(&*self.locks, &self.channel).await;
    }
}

/// Subscribes; without a fan-out there is still the looking.
pub(crate) async fn subscribe(locks: &dyn Locks, channel: &str) -> Option<Box<dyn Live>> {
    locks
        .subscribe(channel)
        .await
        .inspect_err(|e| tracing::debug!(channel, error = e as &dyn std::error::Error, "no live fan-out; polling"))
        .ok()
}

fn last_seq(message: &[u8]) -> Option<Seq> {
    std::str::from_utf8(message).ok()?.parse().ok().map(Seq)
}
