//! Noticing that a run has changed: told by the live fan-out, and looking now and then in case it is down.

use aidt_domain::{RunId, RunState, Seq};
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
        self.told(|word| word.seq.is_none_or(|last| last > seen)).await;
    }

    /// Returns when the run has ended, or may have. Cancel safe.
    pub(crate) async fn ended(&mut self) {
        self.told(|word| word.state.is_none_or(RunState::is_terminal)).await;
    }

    /// Until a word that matters, or it is time to look anyway.
    async fn told(&mut self, matters: impl Fn(&Word) -> bool) {
        while let Some(live) = &mut self.live {
            tokio::select! {
                biased;
                message = live.next() => match message {
                    Some(text) if !matters(&Word::read(&text)) => {}
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

/// What an owner says after a commit: `SEQ STATE`, the run's last event and its state. What cannot be read
/// may mean anything.
struct Word {
    seq: Option<Seq>,
    state: Option<RunState>,
}

impl Word {
    fn read(message: &[u8]) -> Self {
        let mut words = std::str::from_utf8(message).unwrap_or_default().split(' ');
        Self {
            seq: words.next().and_then(|w| w.parse().ok()).map(Seq),
            state: words.next().and_then(|w| w.parse().ok()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_owners_say() {
        let word = Word::read(b"17 running");
        assert_eq!((word.seq, word.state), (Some(Seq(17)), Some(RunState::Running)));
        let word = Word::read(b"17");
        assert_eq!((word.seq, word.state), (Some(Seq(17)), None));
        assert!(Word::read(b"\xff").seq.is_none());
    }
}
