//! The loads of `aidt bench`, driven through the public API of a server in this very process.
//!
//! The binary hands in a [`Bed`]; this crate never names a service or an adapter. What it reports beside
//! times are counts per step and the disk's own limits, measured in the same run: they swing less.

#![forbid(unsafe_code)]

mod bed;
mod measure;
mod process;
mod raw;
mod report;
mod workload;

pub use bed::{Bed, BedError, Bedded, Counters};
pub use measure::{BenchError, measure};
pub use raw::Raw;
pub use report::{Counts, Ratios, Report};
pub use workload::{NoWorkload, Workload};
