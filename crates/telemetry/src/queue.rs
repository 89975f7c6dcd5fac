//! Ended spans that wait for the thread that sends. The queue is bounded: what does not fit is dropped and
//! counted, and whoever ends a span never waits.

use crate::config::Limits;
use crate::instruments::instruments;
use crate::telemetry::Flushed;
use opentelemetry::Context;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{Span, SpanData, SpanProcessor};
use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;

static RECORDED: AtomicU64 = AtomicU64::new(0);

/// Spans that ended in this process so far, sent or not. 0 while spans go nowhere.
#[must_use]
pub fn spans_recorded() -> u64 {
    RECORDED.load(Ordering::Relaxed)
}

/// Ended spans that wait to be sent.
#[derive(Debug)]
pub(crate) struct Queue {
    waiting: Mutex<VecDeque<SpanData>>,
    limits: Limits,
    enough: Notify,
    ended: AtomicU64,
    sent: AtomicU64,
}

impl Queue {
    pub(crate) fn new(limits: Limits) -> Arc<Self> {
        let (ended, sent) = (AtomicU64::new(0), AtomicU64::new(0));
        Arc::new(Self { waiting: Mutex::default(), limits, enough: Notify::new(), ended, sent })
    }

    pub(crate) fn limits(&self) -> Limits {
        self.limits
    }

    /// Until a batch is full. Cancel safe.
    pub(crate) async fn enough(&self) {
        self.enough.notified().await;
    }

    fn push(&self, span: SpanData) {
        RECORDED.fetch_add(1, Ordering::Relaxed);
        self.ended.fetch_add(1, Ordering::Relaxed);
        let mut waiting = self.waiting();
        if waiting.len() >= self.limits.queue {
            drop(waiting);
            return self.lost(1, "queue_full");
        }
        waiting.push_back(span);
        let enough = waiting.len() == self.limits.batch;
        drop(waiting);
        if enough {
            self.enough.notify_one();
        }
    }

    /// The next batch; empty when nothing waits.
    pub(crate) fn take(&self) -> Vec<SpanData> {
        let mut waiting = self.waiting();
        let count = waiting.len().min(self.limits.batch);
        waiting.drain(..count).collect()
    }

    /// The collector took so many.
    pub(crate) fn sent(&self, count: usize) {
        self.sent.fetch_add(count as u64, Ordering::Relaxed);
    }

    /// So many are lost.
    pub(crate) fn lost(&self, count: usize, reason: &'static str) {
        if let Some(instruments) = instruments() {
            instruments.spans_dropped(reason, count as u64);
        }
    }

    /// What became of all spans, when nothing is sent any more.
    pub(crate) fn flushed(&self) -> Flushed {
        let sent = self.sent.load(Ordering::Relaxed);
        Flushed { sent, dropped: self.ended.load(Ordering::Relaxed).saturating_sub(sent) }
    }

    fn waiting(&self) -> MutexGuard<'_, VecDeque<SpanData>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Hands ended spans to the queue.
#[derive(Debug)]
pub(crate) struct ToQueue(pub(crate) Arc<Queue>);

impl SpanProcessor for ToQueue {
    fn on_start(&self, _span: &mut Span, _context: &Context) {}

    fn on_end(&self, span: SpanData) {
        self.0.push(span);
    }

    fn force_flush(&self) -> OTelSdkResult {
        Ok(())
    }

    fn shutdown_with_timeout(&self, _timeout: Duration) -> OTelSdkResult {
        Ok(())
    }
}
