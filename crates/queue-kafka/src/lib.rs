//! The queue on Apache Kafka.
//!
//! ```text
//! {prefix}.commands        a Kafka partition per partition of aidt; read by assignment, from the owner's cursor;
//!                          nudges travel in it, too
//! {prefix}.steps.{pool}    its partitions shared by those who read the pool, each message by itself
//! ```
//!
//! librdkafka has threads and calls of its own that block. What may block stays off the caller's runtime: a
//! thread for each stream (`pump`) and one for the topics (`keeper`); streams only look at what these put
//! on a desk. So a turn of an owner never waits for a broker, and dropping a stream costs nothing.
//!
//! In reading order: [`Options`], `lane` (what of a partition is acked), `desk` (what was fetched), `part` (of what),
//! `pump` (fetching), `steps` and `commands` (the streams), `topics` and `keeper` (topics, and noticing that
//! they are others: `docs/decisions/0007-lives-of-kafka-topics.md`), `lot` (where steps go), `publisher`, `queue`;
//! for benches: `limits` (what the broker can do alone) and `remove` (taking a stack away).

#![forbid(unsafe_code)]

mod commands;
mod desk;
mod error;
mod keeper;
mod lane;
mod limits;
mod lot;
mod options;
mod part;
mod publisher;
mod pump;
mod queue;
mod remove;
mod report;
mod steps;
mod topics;

pub use error::Error;
pub use limits::Limits;
pub use options::Options;
pub use queue::KafkaQueue;
pub use remove::remove;
