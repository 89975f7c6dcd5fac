//! The port to what is shared for efficiency only: leases, token buckets, live fan-out.
//!
//! Correctness never rests on it: the store's epoch fences owners, the store's claims fence executors.
//! Flushing or stopping what is behind this port loses nothing and kills nobody.

#![forbid(unsafe_code)]

mod port;

pub use port::{Kind, Lease, Live, LockError, Locks, Permit};
