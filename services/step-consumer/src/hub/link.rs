//! The way to one connected worker.

use super::frames::frame;
use aidt_grants::{GrantClaims, START_WITHIN_MS, SessionKey, mint};
use aidt_proto::v1::{HubFrame, hub_frame::Frame};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicI64, Ordering};
use tokio::sync::mpsc::Sender;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tonic::Status;

/// Frames that wait for a worker to read them. A worker that reads needs far fewer: it cannot have more
/// calls than slots, nor more acks than results.
pub(super) const FRAMES_WAITING: usize = 16 * 1024;

/// The way to one connected worker, for as long as its session lasts.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) session: u64,
    out: Sender<Result<HubFrame, Status>>,
    key: SessionKey,
    epoch: Instant,
    /// The worker's clock at `epoch`.
    clock_at_epoch: AtomicI64,
    silent_since: OnceLock<Instant>,
    /// Ends the session.
    pub(super) closed: CancellationToken,
}

impl Link {
    pub(super) fn new(session: u64, out: Sender<Result<HubFrame, Status>>, key: SessionKey, clock_ms: i64) -> Self {
        Self {
            session,
            out,
            key,
            epoch: Instant::now(),
            clock_at_epoch: AtomicI64::new(clock_ms),
            silent_since: OnceLock::new(),
            closed: CancellationToken::new(),
        }
    }

    /// Sends a frame. A worker that does not read is dropped rather than waited for.
    pub(super) fn send(&self, what: Frame) -> bool {
        let sent = self.out.try_send(Ok(frame(what))).is_ok();
        if !sent {
            self.closed.cancel();
        }
        sent
    }

    /// The worker told its clock.
    pub(super) fn set_clock(&self, clock_ms: i64, now: Instant) {
        self.clock_at_epoch.store(clock_ms.saturating_sub(self.elapsed(now)), Ordering::Relaxed);
    }

    /// Nothing was heard since then, and the session ends for it.
    pub(super) fn fell_silent(&self, since: Instant) {
        // Told once: the session is over then.
        let _ = self.silent_since.set(since);
    }

    /// Since when, if that is why the session ended.
    pub(super) fn silent_since(&self) -> Option<Instant> {
        self.silent_since.get().copied()
    }

    /// The worker's clock, at most one way behind.
    pub(super) fn worker_clock(&self, now: Instant) -> i64 {
        self.clock_at_epoch.load(Ordering::Relaxed).saturating_add(self.elapsed(now))
    }

    /// When a call that is sent now must have begun, in the worker's clock.
    pub(super) fn not_after(&self, now: Instant) -> i64 {
        self.worker_clock(now).saturating_add(START_WITHIN_MS)
    }

    /// The MAC of a grant; `None` when a field cannot be signed.
    pub(super) fn mint(&self, claims: &GrantClaims<'_>) -> Option<[u8; 32]> {
        mint(&self.key, claims).ok()
    }

    fn elapsed(&self, now: Instant) -> i64 {
        i64::try_from(now.duration_since(self.epoch).as_millis()).unwrap_or(i64::MAX)
    }
}
