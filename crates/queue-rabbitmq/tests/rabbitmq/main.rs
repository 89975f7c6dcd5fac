//! What the adapter promises beyond the port, and what it survives, on a real server.

#[path = "../support/mod.rs"]
mod support;

mod faults;
mod messages;
mod queues;
mod sharing;
