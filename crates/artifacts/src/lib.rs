//! Payloads that are too large for a message or a row (claim checks): bytes by project and digest.
//!
//! An artifact never changes: its name is the digest of its bytes, so storing it twice is storing it
//! once, and what is read is checked against its name. Projects share nothing, not even equal bytes:
//! else one could learn by asking what another has. This crate never looks into the bytes, and never
//! decides who may read them.
//!
//! Beside them stand [`Files`]: what one host leaves under a name for another, whatever its size.
//!
//! [`open`] picks an adapter by URL. All are object stores; [`conformance`] is what each must pass.

#![forbid(unsafe_code)]

pub mod conformance;
mod files;
mod object;
mod port;

pub use object::{DEFAULT_LIMIT, ObjectArtifacts, open};
pub use port::{ArtifactError, ArtifactRef, Artifacts, Files, Kind};
