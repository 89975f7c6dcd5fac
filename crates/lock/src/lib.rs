//! The port to what is shared for efficiency only: leases, token buckets, live fan-out.
//!
//! Correctness never rests on it: the store's epoch fences owners, the store's claims fence executors.
//! Flushing or stopping what is behind this port loses nothing and kills nobody.
//!
//! [`memory`] is the adapter of an embedded installation, not a mock. [`conformance`] is what every
//! adapter must pass. [`gcra`] is the one rate limiter that all of them compute. [`LocalShare`] keeps rate
//! limits while what is behind an adapter is away, and a [`Mailbox`] holds what waits for a subscriber.

#![forbid(unsafe_code)]

pub mod conformance;
pub mod gcra;
mod local_share;
mod mailbox;
pub mod memory;
mod port;

pub use local_share::LocalShare;
pub use mailbox::{LIVE_BUFFER, LIVE_BYTES, Mailbox};
pub use port::{Kind, Lease, Live, LockError, Locks, Permit};
