//! Grants: what lets a worker run one call, here, now.
//!
//! A step consumer holds [`RootKeys`], hands each worker the [`SessionKey`] of its own session, and
//! [`mint`]s a grant for every call. The worker [`verify`]s it, and asks its [`SeenCalls`] whether the call
//! is new. So no worker can make a grant for another, a grant dies with its session, and none is used
//! twice. What is signed is [`signing_string`]; `tests/vectors.json` holds it for implementers in other
//! languages.
//!
//! This crate never reads a clock, draws a random number or parses a message.

#![forbid(unsafe_code)]

mod claims;
mod key;
mod mac;
mod refusal;
mod sandbox;
mod seen;

pub use claims::{GrantClaims, signing_string};
pub use key::{KEY_BYTES, RootKeys, SessionKey};
pub use mac::{MAC_BYTES, START_WITHIN_MS, mint, verify};
pub use refusal::Refusal;
pub use sandbox::check_sandbox;
pub use seen::{CallRef, SeenCalls};
