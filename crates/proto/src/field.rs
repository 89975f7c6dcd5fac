//! Reading single fields of a message.

use crate::DecodeError;
use aidt_domain::{Digest, Effect, Labels, ProcessId, RunId};
use bytes::Bytes;
use serde::de::DeserializeOwned;
use std::str::FromStr;
use uuid::Uuid;

/// The fields of one kind of message; it names that in errors.
#[derive(Clone, Copy)]
pub(crate) struct Fields(pub(crate) &'static str);

type Result<T> = std::result::Result<T, DecodeError>;

impl Fields {
    pub(crate) fn invalid(self, field: &'static str) -> DecodeError {
        DecodeError::invalid(self.0, field)
    }

    /// Text of a form.
    pub(crate) fn text<T>(self, field: &'static str, text: &str) -> Result<T>
    where
        T: FromStr<Err: std::error::Error + Send + Sync + 'static>,
    {
        text.parse().map_err(|e| DecodeError::invalid_by(self.0, field, e))
    }

    /// 16 bytes of a UUID.
    pub(crate) fn uuid(self, field: &'static str, bytes: &[u8]) -> Result<Uuid> {
        Uuid::from_slice(bytes).map_err(|e| DecodeError::invalid_by(self.0, field, e))
    }

    /// A run's id.
    pub(crate) fn run(self, bytes: &[u8]) -> Result<RunId> {
        self.uuid("run", bytes).map(RunId)
    }

    /// A process's id.
    pub(crate) fn process(self, bytes: &[u8]) -> Result<ProcessId> {
        self.uuid("process", bytes).map(ProcessId)
    }

    /// 32 bytes of a digest.
    pub(crate) fn digest(self, field: &'static str, bytes: &[u8]) -> Result<Digest> {
        bytes.try_into().map(Digest).map_err(|e| DecodeError::invalid_by(self.0, field, e))
    }

    /// A number of a smaller range than the wire's.
    pub(crate) fn number<T: TryFrom<u32>>(self, field: &'static str, number: u32) -> Result<T> {
        T::try_from(number).map_err(|_| self.invalid(field))
    }

    /// A domain value as JSON.
    pub(crate) fn json<T: DeserializeOwned>(self, field: &'static str, json: &Bytes) -> Result<T> {
        serde_json::from_slice(json).map_err(|e| DecodeError::invalid_by(self.0, field, e))
    }

    /// An effect's number.
    pub(crate) fn effect(self, number: u32) -> Result<Effect> {
        [Effect::Read, Effect::Idempotent, Effect::Once]
            .into_iter()
            .find(|&effect| effect_number(effect) == u64::from(number))
            .ok_or_else(|| self.invalid("effect"))
    }
}

/// An effect on the wire; never renumber.
pub(crate) fn effect_number(effect: Effect) -> u64 {
    match effect {
        Effect::Read => 1,
        Effect::Idempotent => 2,
        Effect::Once => 3,
    }
}

/// Labels from what was written.
pub(crate) fn labels(labels: &[String]) -> Labels {
    labels.iter().map(String::as_str).collect()
}
