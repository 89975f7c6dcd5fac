//! The gate: judges each use of a capability by the operator's policy, written in Rego.
//!
//! A [`Bundle`] is a policy, compiled and checked; [`ActivePolicy`] holds the one in force; a [`Judge`]
//! belongs to one thread and answers each [`Ask`] with a [`Judgement`]. Judging is pure over the question
//! and the bundle: it reads no clock, draws no random number and does no I/O, and it fails closed. An error,
//! an undefined result or a verdict that is not known is a deny.
//!
//! The only crate that names regorus. The input and the verdict are described in
//! `docs/reference/policy.md`.

#![forbid(unsafe_code)]

mod active;
mod ask;
mod bundle;
mod ceiling;
mod disagree;
mod error;
mod input;
mod json;
mod judge;
mod load;
mod source;
mod verdict;

pub use active::ActivePolicy;
pub use ask::Ask;
pub use bundle::{Bundle, ENTRY_POINT, Module};
pub use error::{BundleError, Place};
pub use judge::{Judge, Judgement, MAX_INSTRUCTIONS};
