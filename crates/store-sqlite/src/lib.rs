//! The embedded store: all ports of `aidt-store` over one SQLite file.
//!
//! - One writer connection. The owner's `commit` runs inline on the caller's thread and first takes along
//!   what others queued (commands, claims, journal entries, logs, heartbeats): one transaction, one fsync.
//!   While the owner is idle a thread of the store's commits what is queued.
//! - Whatever is queued is answered after the commit that holds it, and fails alone.
//! - Segments are appended and never clustered by run; rows of runs and steps are narrow: what costs is
//!   dirty pages per transaction.
//!
//! WAL, `synchronous=FULL`: what was answered as committed survives a kill and a power cut. This crate
//! never decides anything about a run, and nothing outside it knows SQL.

#![forbid(unsafe_code)]

mod clock;
mod counters;
mod error;
mod open;
mod ports;
mod queue;
mod read;
mod rows;
mod schema;
mod store;
mod write;
mod writer;

pub use counters::Counters;
pub use error::OpenError;
pub use open::Options;
pub use store::SqliteStore;
