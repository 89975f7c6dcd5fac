//! What a process brings along: clock, ids and randomness, tasks and threads, signals, readiness.
//!
//! This is the only library crate that may read the real clock, draw from the operating system's
//! randomness or start a thread. It never decides anything about runs, and service logic never reaches
//! for it to learn the time: clock and ids are handed in, so that a simulation can hand in its own.
//!
//! Shutting down has two stages, as in `matrix-authentication-service`: [`Shutdown::drain`] asks
//! everybody to finish or hand over, [`Shutdown::kill`] to stop at once. A first signal drains, a second
//! kills; a task that fails or panics drains its [`TaskTree`], whose error then names it.

#![forbid(unsafe_code)]

mod clock;
mod error;
pub mod heartbeat;
mod ids;
mod readiness;
mod shutdown;
mod signals;
mod tasks;
mod thread;

pub use clock::SystemClock;
pub use error::{BoxError, TaskError};
pub use ids::Ids;
pub use readiness::{Component, ComponentReport, Readiness, Report};
pub use shutdown::Shutdown;
pub use signals::{Signal, Signals};
pub use tasks::{Grace, TaskTree};
pub use thread::Thread;
