//! The hub: workers dial in, say what they serve, and get calls as frames on one long stream each.
//!
//! - [`Hub`] makes the gRPC routes and one view of the workers per step consumer ([`Hub::line`]).
//! - [`HubDriver`] is the one future that all sessions live in.
//!
//! - [`state`]: who is connected and which call is where; sync, behind one mutex.
//! - [`place`], [`results`]: calls go out, results come back.
//! - [`hello`], [`session`]: one worker's stream, from hello to its end.
//! - [`frames`], [`json`], [`route`]: what crosses the stream, checked.
//! - [`admission`], [`config`]: who may come in, with which tools.

mod admission;
mod config;
mod frames;
mod hello;
mod json;
mod line;
mod link;
mod place;
mod results;
mod route;
mod serve;
mod session;
mod state;
mod throttle;

pub use admission::Admission;
pub use config::HubConfig;
pub use serve::{Hub, HubDriver};
pub use state::WorkerInfo;
