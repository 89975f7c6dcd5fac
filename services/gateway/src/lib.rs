//! The gateway: the REST API, and events as JSON and as a stream.
//!
//! It takes commands into the inbox and reads what is committed; it never writes a row of a run, and
//! it never decides: the run's owner does. [`Gateway::new`] takes a [`Config`] and [`Ports`] and hands
//! out routers; whoever calls it binds the listeners ([`serve`] runs one with limits on connections),
//! and binds nothing but loopback addresses and unix sockets.
//!
//! `docs/reference/api.md` describes every endpoint. In reading order: `gateway` (ports in, router out),
//! `endpoints` (the table of paths; one endpoint a file), `web` (who may come in, how requests fail),
//! `read` (runs, history, live changes), `write` (commands and their answers), `serve` (connections).

#![forbid(unsafe_code)]

mod config;
mod endpoints;
mod gateway;
mod lru;
mod read;
mod serve;
#[cfg(test)]
mod testing;
mod web;
mod write;

pub use config::{Config, ConfigError};
pub use gateway::{Gateway, Ids, Ports, Readiness};
pub use serve::{Limits, serve};

pub(crate) use gateway::Api;
