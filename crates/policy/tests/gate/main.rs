//! The gate: the shipped policy, bundles that are refused, judging, and two engines held against each other.

#![expect(clippy::unwrap_used, reason = "tests")]

mod ask;
mod bundles;
mod differential;
mod judging;
mod shipped;
