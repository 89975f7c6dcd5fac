//! The commands of `aidt`, and what they print.
//!
//! The binary implements [`Host`] and hands it in: whatever a command does, it does as a client of the
//! HTTP API that [`Host::endpoint`] names, whether that is embedded in this process, in another one that
//! holds the home, or a server. This crate never names a service or an adapter.
//!
//! Results go to standard output, everything else to standard error; the exit code is a contract.

#![forbid(unsafe_code)]

mod host;

pub use host::{Embed, Host, HostError, Serve};
