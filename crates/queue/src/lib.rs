//! The port to a broker: a queue of steps per pool, a queue of commands per partition, and nudges.
//!
//! The broker is a transport. Nothing is lost when it is wiped, because the store says what is owed;
//! this port therefore never promises more than: what is confirmed is delivered at least once, unless
//! the queue's incarnation changes.
//!
//! Bytes are envelopes (`aidt-proto`); this crate never looks into them.
//!
//! [`memory`] is the adapter of an embedded installation, not a mock. [`conformance`] is what every
//! adapter must pass.

#![forbid(unsafe_code)]

pub mod conformance;
pub mod memory;
mod port;

pub use port::{Commands, Delivery, Kind, Outgoing, Queue, QueueError, Readers, Steps, Tag};
