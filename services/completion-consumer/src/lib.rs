//! The completion consumer: the owner of partitions, and so of the runs in them.
//!
//! One loop takes commands in batches, lets the pure engine decide, has each dispatch judged, writes the
//! batch in one transaction behind the partition's epoch, makes it visible, publishes what follows, and
//! acks last. It never writes outside that transaction, never answers before it, and never trusts a
//! lock: whoever holds the epoch in the store is the owner.
//!
//! In reading order: `owner` (the loop), `takeover` (taking a partition), `turn` (one turn:
//! `receive` what it takes up, `load` the runs concerned, `isolate` the one that fails),
//! `gate` (render and judge), `write` (the transaction), `publish` (what follows), `reconcile`
//! (what must happen even if nobody says so), and what they hold: `held`, `timers`, `backlog`,
//! `cache`. What operators see is made in `spans` and `measure`.

#![forbid(unsafe_code)]

mod backlog;
mod cache;
mod config;
mod gate;
mod held;
mod isolate;
mod load;
mod measure;
mod owner;
mod plans;
mod publish;
mod receive;
mod reconcile;
mod spans;
mod takeover;
mod timers;
mod turn;
mod write;

pub use config::{Config, Error, Handle, Ports, Status};
pub use owner::Owner;
