//! What travels and what is stored, as bytes: the worker protocol, the envelopes of steps and commands,
//! and the segments of history.
//!
//! The only crate that names prost. It converts between [`aidt_domain`]'s values and the messages of
//! `proto/aidt/v1`; it decides nothing and does no I/O. Everything written here begins with its format,
//! and what is newer than [`aidt_domain::FORMAT`] is refused as such ([`DecodeError::is_newer_format`]):
//! a reader leaves it to a newer process instead of burying it.

#![forbid(unsafe_code)]

mod address;
mod command;
mod error;
mod event;
mod event_json;
mod field;
mod secrets;
mod shared;
mod step;
mod wire;

/// The messages of `proto/aidt/v1`, and client and server of the worker protocol.
#[expect(missing_docs, reason = "generated; the comments stand in proto/aidt/v1")]
#[expect(clippy::allow_attributes_without_reason, reason = "generated")]
#[expect(clippy::large_enum_variant, reason = "generated; a frame is built once and moved into its stream")]
pub mod v1 {
    tonic::include_proto!("aidt.v1");
}

pub use address::{StepAddress, command_address, step_address};
pub use command::{NotAMessage, decode_command, encode_command};
pub use error::{DecodeError, DecodeErrorKind};
pub use event::{Segment, decode_segment, encode_segment};
pub use event_json::{event_json, write_event_json};
pub use shared::{decode_entries, encode_shared};
pub use step::{decode_step, encode_step};
