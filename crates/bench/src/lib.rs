//! The loads of `aidt bench`, driven through the public API of a server: in this very process, or in
//! processes of its own over a broker and a database.
//!
//! The binary hands in a [`Bed`]; this crate never names a service or an adapter. What it reports beside
//! times are counts per step and the limits of disk and servers, measured in the same run: they swing less.
//!
//! In reading order: `bed` (what is measured), `workload` (what is submitted), `measure` and `queued` (driving
//! it), `report`, `servers` and `raw` (what is told), `process` (what Linux knows).

#![forbid(unsafe_code)]

mod bed;
mod measure;
mod process;
mod queued;
mod raw;
mod report;
mod servers;
mod workload;

pub use bed::{Bed, BedError, Bedded, Counters, Party, Stack};
pub use measure::{BenchError, measure};
pub use queued::{Grown, Queued, queued};
pub use raw::Raw;
pub use report::{Counts, PerStep, Ratios, Report};
pub use servers::{Limits, Servers, Used};
pub use workload::{NoWorkload, Workload};
