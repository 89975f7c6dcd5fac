//! Postgres, Redis, RabbitMQ and Apache Kafka for tests: started, asked, stopped, killed, frozen and wiped.
//!
//! Servers listen on loopback only, on ports of their own that are remembered, each in a folder of its own.
//! Without a Docker engine they are native processes; with one, containers of `deploy/compose/servers.yaml`.
//! Nothing here is async, and nothing of the product depends on it: `cargo xtask services` and tests do.
//!
//! To read: [`Instance`] is a set of servers, [`Server`] is one of them and what can be done to it; `native/`
//! is how each kind is configured and started, `probe` how it is asked whether it answers.

#![forbid(unsafe_code)]
#![expect(clippy::disallowed_methods, reason = "real servers are waited for by the wall clock and found by PATH")]

mod compose;
mod empty;
mod error;
mod install;
mod instance;
mod kind;
mod native;
mod ports;
mod probe;
mod process;
mod server;
mod state;
mod status;

pub use error::{Error, Result};
pub use instance::{Instance, base_folder};
pub use kind::Kind;
pub use server::{Server, Started};
pub use state::Engine;
pub use status::{Condition, Status};
