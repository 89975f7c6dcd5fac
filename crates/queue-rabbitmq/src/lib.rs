//! The queue on RabbitMQ, 3.10 and later: quorum queues, publisher confirms, shared messages.
//!
//! - [`Options`] says where the brokers are and how long to wait; [`RabbitQueue`] is the port's adapter.
//! - `link` keeps one connection up; there are two, since a broker in need stops reading from whoever
//!   publishes: `publish` and `nudge` use one, everything else the other.
//! - `frame` and `parcel`: several steps of one pool, or commands of one partition, share a message.
//! - `topology` declares queues and notices lost ones; `incarnation` keeps the mark that tells owners.
//! - `intake` is the consuming side, which `steps` and `commands` make streams of.
//! - `limits` and `remove` are for benches: what the broker can do alone, and taking a stack away.
//!
//! What it cannot see: a purged queue. What was in it is published again when it was unclaimed for a minute.

#![forbid(unsafe_code)]

mod commands;
mod error;
mod frame;
mod incarnation;
mod intake;
mod ledger;
mod limits;
mod link;
mod names;
mod nudge;
mod options;
mod parcel;
mod publish;
mod queue;
mod remove;
mod steps;
mod topology;
mod watch;

pub use error::Error;
pub use limits::Limits;
pub use options::Options;
pub use queue::RabbitQueue;
pub use remove::remove;
