//! What travels and what is stored: golden files, properties, refusals.

#![expect(clippy::unwrap_used, reason = "tests")]

mod golden;
mod properties;
mod refusals;
mod samples;
