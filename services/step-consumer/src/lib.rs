//! The step consumer: takes steps while workers have free slots, makes sure that a start is valid, grants
//! and places the call, and tells the run's owner what became of it. It also hosts the hub that gRPC
//! workers dial in to.
//!
//! - [`build`] makes a [`StepConsumer`] of [`Config`], [`Life`] and [`Ports`]; [`StepConsumer::run`] is one
//!   root future. Several may share a life and a [`Hub`].
//! - [`Heart`] beats for all of them, from a thread of its own.
//! - [`Workers`] is the seam to whoever runs calls: [`Hub`] in production.
//! - [`AgentJournal`] is what an agent step writes down.
//!
//! It never writes a run's state, never decides about a retry, and never acks a message whose effect is not
//! durable. It reads no wall clock and spawns no task.

#![forbid(unsafe_code)]

mod config;
mod consumer;
mod core;
mod error;
mod handle;
mod hub;
mod journal;
mod judge;
mod kept;
mod lane;
mod ledger;
mod life;
mod listen;
mod outcome;
mod pool;
mod presence;
mod readers;
mod run;
mod spans;
mod text;
mod work;
mod workers;

pub use config::Config;
pub use consumer::{Ports, StepConsumer, build};
pub use error::{ConfigError, Error};
pub use handle::{Handle, Stats};
pub use hub::{Admission, Hub, HubConfig, HubDriver, WorkerInfo};
pub use journal::{AgentJournal, Begun, CallSpec, Called, JournalError, Reply};
pub use life::{Beat, FENCE_AFTER, Heart, Life};
pub use workers::{
    CallNo, Ended, NoPlace, Orphan, PoolSlots, Report, Roster, Route, Settled, ToolCall, ToolResult, Workers,
};
