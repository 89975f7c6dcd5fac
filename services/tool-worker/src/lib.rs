//! The tool worker: dials a step consumer, takes calls as frames on one stream, checks each call's grant,
//! runs the tool, reports the result until somebody has it safe.
//!
//! It serves whatever tools it is given, so a program can embed it with tools of its own. The whole of it
//! is one future: dropping [`ToolWorker::run`] is a hard stop. It never mints a grant, never runs a call
//! without one, never runs a call twice, and forgets a result only when it was acked or is ten minutes
//! old. `docs/reference/worker-protocol.md` says the same for other languages.
//!
//! In reading order: `worker` (connect, reconnect, drain), `session` (one stream), `calls` (admission),
//! `supervise` (one call), `ledger` (what runs, what is not acked yet).

#![forbid(unsafe_code)]

mod backoff;
mod calls;
mod config;
mod ledger;
mod outbox;
mod outcome;
mod session;
mod sink;
mod spans;
mod stop;
mod supervise;
mod worker;

pub use config::{Config, ConfigError, Error, Handle, Status, Token};
pub use worker::ToolWorker;
