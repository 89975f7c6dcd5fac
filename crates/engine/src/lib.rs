//! The pure engine: what follows from a command.
//!
//! [`Run::apply`] takes one command and the time and writes down what follows in [`Effects`]. It does
//! no I/O, reads no clock, draws no random number and never waits; the same commands in the same
//! order give the same history. The transition tables stand at the top of `run_states.rs` and
//! `step_states.rs`.
//!
//! In reading order: `effects`, `graph`, `run` (loading, counters), `apply` (one command), `advance`
//! (what became possible), `outcome` (what a dispatch ended with), `cancel`, `reopen` (retry,
//! resolve), `backoff`, `explain` (why a run waits).

#![forbid(unsafe_code)]

mod advance;
mod apply;
mod backoff;
mod cancel;
mod effects;
mod explain;
mod graph;
mod outcome;
mod reopen;
mod run;
mod run_states;
mod step_states;

pub use backoff::delay;
pub use effects::Effects;
pub use explain::{PoolView, Pools, Reason, explain};
pub use graph::Graph;
pub use run::{Broken, Run, Step};
pub use run_states::{RUN_TABLE, RunInput};
pub use step_states::{STEP_TABLE, StepInput};

/// Steps that one command starts or cancels at most; the rest follows at the run's own timer.
pub const CHUNK: usize = 1_000;

/// How long a running call has to report after a cancel, before the owner gives it up. The step
/// consumer's own grace (5 s) ends before.
pub const CANCEL_GRACE_MS: u64 = 7_000;

/// The owner's backstop behind the step consumer's enforcement of run time.
pub const BACKSTOP_MS: u64 = 10_000;
