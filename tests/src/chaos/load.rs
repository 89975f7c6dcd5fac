//! Somebody who submits runs all the time, and insists: what was not accepted is sent again under the same key.

use crate::verify::plan;
use crate::{Dice, request_within};
use serde_json::json;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Between two runs: many are open all the time, and two cores are far from busy.
const EVERY: Duration = Duration::from_millis(200);
/// A fault mostly meets one or two such calls.
const ONCE_MS: u64 = 600;
/// An API that is silent for so long is left for another, for a while.
const SILENCE: Duration = Duration::from_secs(5);
const LEFT: Duration = Duration::from_secs(10);
/// Before it is sent again.
const AGAIN: Duration = Duration::from_millis(100);

/// Submits until it is told to stop, or dropped.
pub(super) struct Load {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

/// A run that was answered with 202.
#[derive(Clone, Debug)]
pub(super) struct Accepted {
    /// Its id.
    pub(super) run: String,
    /// When, in milliseconds since 1970.
    pub(super) at: i64,
}

#[derive(Default)]
struct Shared {
    doors: Vec<String>,
    accepted: Mutex<Vec<Accepted>>,
    stop: AtomicBool,
    dropped: AtomicBool,
}

impl Drop for Load {
    fn drop(&mut self) {
        self.shared.dropped.store(true, Ordering::Relaxed);
    }
}

impl Load {
    /// Begins. The doors serve the same API.
    #[must_use]
    pub(super) fn start(doors: Vec<String>, dice: Dice) -> Self {
        let shared = Arc::new(Shared { doors, ..Shared::default() });
        let working = Arc::clone(&shared);
        let thread = std::thread::spawn(move || working.submit(dice));
        Self { shared, thread: Some(thread) }
    }

    /// What was accepted, from the so-maniest on.
    #[must_use]
    pub(super) fn accepted(&self, from: usize) -> Vec<Accepted> {
        self.shared.accepted.lock().unwrap_or_else(PoisonError::into_inner)[from..].to_vec()
    }

    /// Ends, once the last submission is accepted.
    ///
    /// # Panics
    /// When a submission was refused.
    pub(super) fn stop(mut self) -> Vec<Accepted> {
        self.shared.stop.store(true, Ordering::Relaxed);
        self.thread.take().unwrap().join().expect("a submission was refused");
        std::mem::take(&mut self.shared.accepted.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Shared {
    fn submit(&self, mut dice: Dice) {
        let mut left: Option<(usize, Instant)> = None;
        for n in 0.. {
            if self.stop.load(Ordering::Relaxed) {
                return;
            }
            let next = Instant::now() + EVERY;
            let body = json!({"plan": plan(&mut dice, ONCE_MS)});
            let key = format!("run-{n}");
            let run = loop {
                let turn = n % self.doors.len();
                let is_left = left.is_some_and(|(door, at)| door == turn && at.elapsed() < LEFT);
                let door = (turn + usize::from(is_left)) % self.doors.len();
                let address = &self.doors[door];
                let headers = [("idempotency-key", key.as_str())];
                let reply = request_within(SILENCE, address, "POST", "/v1/runs", &headers, Some(&body));
                match reply.status {
                    202 => break reply.json()["id"].as_str().unwrap().to_owned(),
                    _ if self.dropped.load(Ordering::Relaxed) => return,
                    0 | 408 | 503 => left = Some((door, Instant::now())),
                    _ => panic!("{reply:?}"),
                }
                std::thread::park_timeout(AGAIN);
            };
            let accepted = Accepted { run, at: super::recovery::now() };
            self.accepted.lock().unwrap_or_else(PoisonError::into_inner).push(accepted);
            std::thread::park_timeout(next.saturating_duration_since(Instant::now()));
        }
    }
}
