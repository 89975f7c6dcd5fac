//! Reads.

mod pool;
mod run;

pub(crate) use pool::{Documents, Readers};
pub(crate) use run::{load, payload, segments_from};
