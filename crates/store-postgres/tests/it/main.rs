//! Against a real server.

mod common;
mod conformance;
mod connect;
mod faults;
mod owners;
mod restart;
mod takeover;
