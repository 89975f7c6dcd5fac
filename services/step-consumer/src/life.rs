//! One life of a service process: its heartbeat, its estimate of the store's clock, and which dispatches
//! it has asked to claim. Shared by all step consumers of the process.

use crate::Handle;
use crate::ledger::Ledger;
use aidt_domain::{DispatchNo, ProcessId, RunId, StepIx, Timestamp};
use aidt_store::{Processed, Processes};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// Without a written heartbeat for this long, the process stops working: a second later others may take
/// it for dead (protocol.md §6: dead after 4 s).
pub const FENCE_AFTER: Duration = Duration::from_secs(3);

/// Names a dispatch.
pub(crate) type Key = (RunId, StepIx, DispatchNo);

/// Whether this process may work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// Others take it for alive at least until then.
    Alive(Instant),
    /// It is not registered yet, or could not write its heartbeat for too long.
    Unsure,
    /// Its row is closed or gone: others have taken over what it held.
    Dead,
}

/// One life of a service process.
#[derive(Debug)]
pub struct Life {
    process: ProcessId,
    pulse: Mutex<Pulse>,
    ledger: Mutex<Ledger>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Pulse {
    /// When the last heartbeat that was written was asked for.
    alive_at: Option<Instant>,
    /// The store's clock, and when it was asked: it never showed more than this then.
    clock: Option<(Timestamp, Instant)>,
    dead: bool,
}

impl Life {
    /// A life that has not begun: it begins when a step consumer registers it.
    #[must_use]
    pub fn new(process: ProcessId) -> Arc<Self> {
        Arc::new(Self { process, pulse: Mutex::default(), ledger: Mutex::default() })
    }

    /// Its name.
    #[must_use]
    pub fn process(&self) -> ProcessId {
        self.process
    }

    /// Whether others have taken it for dead. It never works again.
    #[must_use]
    pub fn is_dead(&self) -> bool {
        self.pulse().dead
    }

    pub(crate) fn standing(&self, now: Instant) -> Standing {
        let pulse = *self.pulse();
        match pulse.alive_at.map(|at| at + FENCE_AFTER) {
            _ if pulse.dead => Standing::Dead,
            Some(until) if now < until => Standing::Alive(until),
            _ => Standing::Unsure,
        }
    }

    /// The store's clock, at most the time of one call ahead: ages come out too old rather than too young.
    pub(crate) fn store_time(&self, now: Instant) -> Timestamp {
        self.pulse().clock.map_or(Timestamp::default(), |(at, read)| at.plus(now.duration_since(read)))
    }

    /// The life was registered, which counts as a heartbeat, by a call made at `asked`.
    pub(crate) fn registered(&self, asked: Instant) {
        let mut pulse = self.pulse();
        pulse.alive_at = pulse.alive_at.max(Some(asked));
    }

    /// The store's clock was read by a call made at `asked`.
    pub(crate) fn clock_read(&self, asked: Instant, store: Timestamp) {
        self.pulse().clock = Some((store, asked));
    }

    fn is_registered(&self) -> bool {
        self.pulse().alive_at.is_some()
    }

    fn beaten(&self, asked: Instant, answer: &Processed) {
        let mut pulse = self.pulse();
        if answer.lost {
            pulse.dead = true;
            return;
        }
        pulse.alive_at = pulse.alive_at.max(Some(asked));
        pulse.clock = Some((answer.now, asked));
    }

    pub(crate) fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn pulse(&self) -> MutexGuard<'_, Pulse> {
        self.pulse.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What one beat came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Beat {
    /// Written.
    Written,
    /// Not written; the next may be. After [`FENCE_AFTER`] the step consumers stop by themselves.
    Missed,
    /// Others have taken the process for dead. Beating is over.
    Dead,
    /// Nothing to do yet: the process is not registered.
    Idle,
}

/// The heart of a process. Beat it once a second from a thread (in a simulation: a task) that does
/// nothing else, so that a blocked loop does not look like a dead process.
#[derive(Clone)]
pub struct Heart {
    life: Arc<Life>,
    processes: Arc<dyn Processes>,
    handles: Vec<Handle>,
}

impl Heart {
    /// A heart for a life and all its step consumers.
    #[must_use]
    pub fn new(life: Arc<Life>, processes: Arc<dyn Processes>, handles: Vec<Handle>) -> Self {
        Self { life, processes, handles }
    }

    /// Writes the heartbeat, and hands on the cancels that come back. Gives up after [`FENCE_AFTER`].
    /// Cancel safe: a beat that is dropped is a beat that was missed.
    pub async fn beat(&self) -> Beat {
        if !self.life.is_registered() {
            return Beat::Idle;
        }
        let asked = Instant::now();
        let written = tokio::time::timeout(FENCE_AFTER, self.processes.heartbeat(self.life.process())).await;
        let Ok(Ok(answer)) = written else {
            tracing::warn!(process = %self.life.process(), "the heartbeat could not be written");
            return Beat::Missed;
        };
        self.life.beaten(asked, &answer);
        for &(run, step, dispatch) in &answer.cancels {
            self.handles.iter().for_each(|handle| handle.cancel(run, step, dispatch));
        }
        self.handles.iter().for_each(Handle::wake);
        if answer.lost { Beat::Dead } else { Beat::Written }
    }
}

impl std::fmt::Debug for Heart {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Heart").field("life", &self.life).finish_non_exhaustive()
    }
}
