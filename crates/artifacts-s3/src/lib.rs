//! Artifacts in S3-compatible storage.
//!
//! An object is named by the digest of its bytes and replaced as a whole, so any number of writers of
//! the same artifact do no harm, and none needs a condition. Large ones go in parts, which appear
//! together. What a writer that died had uploaded of its parts stays until the bucket's own rule for
//! incomplete uploads removes it: have one.
//!
//! This crate exists apart from `aidt-artifacts` so that only who needs S3 builds an HTTP client and TLS.
//! It reads no environment and asks no metadata service: everything is in [`Options`].

#![forbid(unsafe_code)]

mod open;
mod options;

pub use open::{Bucket, open, open_unasked};
pub use options::{Keys, Options, OptionsError};
