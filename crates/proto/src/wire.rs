//! Writing protobuf straight from domain values.
//!
//! A step passes here three times on its way, so nothing is copied into a generated message first. The
//! generated types read what is written here, and the tests hold both to the same bytes.

use crate::DecodeError;
use aidt_domain::{FORMAT, Labels};
use bytes::{BufMut, Bytes};
use prost::encoding::{WireType, encode_key, encode_varint, encoded_len_varint};

/// A message that is being written, field after field.
pub(crate) struct Writer(Vec<u8>);

impl Writer {
    /// A message with no fields yet.
    pub(crate) fn with_capacity(bytes: usize) -> Self {
        Self(Vec::with_capacity(bytes))
    }

    /// An envelope: it begins with its format.
    pub(crate) fn envelope(bytes: usize) -> Self {
        let mut writer = Self::with_capacity(bytes + 2);
        writer.uint(1, u64::from(FORMAT));
        writer
    }

    /// A number; left out when 0, as proto3 has it.
    pub(crate) fn uint(&mut self, tag: u32, value: u64) {
        if value != 0 {
            self.uint_always(tag, value);
        }
    }

    /// A number that is there even when it is 0.
    pub(crate) fn uint_always(&mut self, tag: u32, value: u64) {
        encode_key(tag, WireType::Varint, &mut self.0);
        encode_varint(value, &mut self.0);
    }

    /// A signed number; left out when 0.
    pub(crate) fn int(&mut self, tag: u32, value: i64) {
        self.uint(tag, value.cast_unsigned());
    }

    /// A signed number that is there even when it is 0.
    pub(crate) fn int_always(&mut self, tag: u32, value: i64) {
        self.uint_always(tag, value.cast_unsigned());
    }

    /// Text or bytes; left out when empty.
    pub(crate) fn bytes(&mut self, tag: u32, value: impl AsRef<[u8]>) {
        if !value.as_ref().is_empty() {
            self.bytes_always(tag, value);
        }
    }

    /// Text, bytes or a nested message, there even when empty.
    pub(crate) fn bytes_always(&mut self, tag: u32, value: impl AsRef<[u8]>) {
        let value = value.as_ref();
        encode_key(tag, WireType::LengthDelimited, &mut self.0);
        encode_varint(value.len() as u64, &mut self.0);
        self.0.put_slice(value);
    }

    /// Text or bytes that may be absent, which differs from empty.
    pub(crate) fn optional(&mut self, tag: u32, value: Option<impl AsRef<[u8]>>) {
        if let Some(value) = value {
            self.bytes_always(tag, value);
        }
    }

    /// A value as JSON. Values of the domain have string keys and finite numbers, so they can be written.
    pub(crate) fn json<T: serde::Serialize>(&mut self, tag: u32, value: &T) {
        self.bytes_always(tag, json(value));
    }

    /// Labels, in order.
    pub(crate) fn labels(&mut self, tag: u32, labels: &Labels) {
        labels.iter().for_each(|label| self.bytes_always(tag, label));
    }

    /// A nested message.
    pub(crate) fn message(&mut self, tag: u32, message: &Self) {
        self.bytes_always(tag, &message.0);
    }

    /// A message after its own length, onto what is there.
    pub(crate) fn delimited(&mut self, message: &Self) {
        self.0.reserve(encoded_len_varint(message.0.len() as u64) + message.0.len());
        encode_varint(message.0.len() as u64, &mut self.0);
        self.0.put_slice(&message.0);
    }

    /// Forgets the fields and keeps the room.
    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }

    /// What was written.
    pub(crate) fn finish(self) -> Bytes {
        self.0.into()
    }
}

/// A domain value as JSON bytes.
pub(crate) fn json<T: serde::Serialize>(value: &T) -> Vec<u8> {
    serde_json::to_vec(value).expect("a domain value has string keys and finite numbers")
}

/// Key of the first field of every envelope: its format, a varint.
const FORMAT_KEY: u8 = 1 << 3;

/// Reads the format that an envelope begins with, before anything else of it is believed. Answers how
/// many bytes that took.
pub(crate) fn check_format(what: &'static str, envelope: &[u8]) -> Result<usize, DecodeError> {
    let [FORMAT_KEY, rest @ ..] = envelope else { return Err(DecodeError::malformed(what)) };
    let mut left = rest;
    let found = prost::encoding::decode_varint(&mut left).map_err(|e| DecodeError::malformed_by(what, e))?;
    match u32::try_from(found) {
        Ok(0) | Err(_) => Err(DecodeError::malformed(what)),
        Ok(found) if found > FORMAT => Err(DecodeError::newer(what, found)),
        Ok(_) => Ok(envelope.len() - left.len()),
    }
}
