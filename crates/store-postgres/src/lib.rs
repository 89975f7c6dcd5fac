//! The store of a production stack: all ports of `aidt-store` over one schema of a Postgres database (15 to 18).
//!
//! - Each operation is one statement, so one round trip and a transaction of its own. The owner's turn, too: a
//!   statement of writable CTEs whose first is the fence (`commit`).
//! - Time is the database's. Nothing here trusts the clock of the machine that it runs on.
//! - A connection belongs to the runtime that opened it, so no blocked thread holds up another's statement, and
//!   heartbeats have connections of their own (`pool`).
//! - What was answered as committed is on the server's disk, and on its synchronous standbys', if it has some:
//!   a failover needs one. A store that finds an epoch lower than it has seen says `Corrupt` and stops.
//!
//! Read in this order: `migrations/`, `store`, `commit`, `ports`, `pool`, `error`. This crate never decides
//! anything about a run, and nothing outside it knows its SQL.

#![forbid(unsafe_code)]

mod clock;
mod commit;
mod counters;
mod detail;
mod error;
mod limits;
mod options;
mod pool;
mod ports;
mod remove;
mod rows;
mod schema;
mod statement;
mod store;

pub use counters::Counters;
pub use error::Error;
pub use limits::Limits;
pub use options::Options;
pub use remove::remove;
pub use store::PostgresStore;
