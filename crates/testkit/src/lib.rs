//! A deterministic simulation of the durable loop, for tests.
//!
//! A world runs the real owner and the real step consumer, in one to three processes that die, freeze and come
//! back, over the real in-memory store and locks, and the queue in memory or a simulated log (a broker as RabbitMQ
//! is one, or as Kafka is), behind ports that pause, fail before and after the effect, double and reorder. It holds what is committed, acked, executed and paid against the invariants of
//! the design, by name. Time, randomness and ids follow from the seed alone: the same seed is the same history.
//!
//! - [`run`] is one seed; [`sweep`] is many, over threads.
//! - [`Plant`] is a fault of the *protocol* put into a port on purpose, to see that it is caught.
//!
//! Nothing here is in production, and production knows nothing of it.

#![forbid(unsafe_code)]

mod agent;
mod calm;
mod chaos;
mod check;
mod fate;
mod fleet;
mod harm;
mod invariant;
mod ledger;
mod log;
mod notes;
mod people;
mod plans;
mod plant;
mod ports;
mod process;
mod rng;
mod scenario;
mod shared;
mod sweep;
mod tool;
mod truth;
mod world;

pub use invariant::Invariant;
pub use plant::Plant;
pub use sweep::{Caught, Summary, catch, sweep};
pub use world::{Options, Report, run};
