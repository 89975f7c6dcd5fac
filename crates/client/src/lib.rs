//! The public client of aidt's HTTP API: typed calls, typed problems, and a reader of a run's events
//! that picks up where it lost its connection.
//!
//! It speaks to `http://HOST:PORT` or to a unix socket, keeps connections alive between calls, and owns
//! the tasks that drive them: dropping the last clone of a [`Client`] ends them all. It never repeats a
//! request that may have had an effect; a caller does that with an idempotency key.

#![forbid(unsafe_code)]

mod endpoint;

pub use endpoint::{Endpoint, EndpointError};
