//! The worker against a hub that the test plays, over an in-memory connection and paused time.

#![expect(clippy::unwrap_used, clippy::disallowed_methods, reason = "tests")]

mod grants;
mod hub;
mod lifecycle;
mod reconnect;
mod tools;
