//! Leases, token buckets and live fan-out on Redis (7 or newer; Valkey too; one server, not a cluster).
//!
//! Two connections a process, each supervised: it is made again in the background when it broke, and
//! while it is down every call fails at once. No call takes longer than [`Options::response_timeout`],
//! whatever Redis or the network does: who owns partitions keeps them while Redis is away.
//!
//! To read: [`Options`], `link` (a connection that is kept up), `locks` (the port), `scripts` (what
//! Redis runs), `outbox` (publishing), `fanout` and `live` (subscriptions).
//!
//! Every key and channel starts with the prefix and a colon, so several stacks share one Redis.

#![forbid(unsafe_code)]

mod fanout;
mod link;
mod live;
mod locks;
mod options;
mod outbox;
mod remove;
mod scripts;

pub use locks::RedisLocks;
pub use options::{Options, OptionsError};
pub use outbox::OUTBOX_BYTES;
pub use remove::{RemoveError, remove};
