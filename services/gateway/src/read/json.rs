//! How stored values show in JSON.

use aidt_domain::Timestamp;
use aidt_store::{History, PayloadAt, StoreError};
use serde::{Serialize, Serializer};
use serde_json::value::RawValue;

/// A list: `next` is what to give as `after` for the items that follow; null when there are none now.
#[derive(Debug, Serialize)]
pub(crate) struct List<T, Next = String> {
    pub(crate) items: Vec<T>,
    pub(crate) next: Option<Next>,
}

/// Shows a time as RFC 3339.
pub(crate) fn time<S: Serializer>(at: &Timestamp, s: S) -> Result<S::Ok, S::Error> {
    s.collect_str(at)
}

/// Shows a time as RFC 3339, or null.
pub(crate) fn time_or_null<S: Serializer>(at: &Option<Timestamp>, s: S) -> Result<S::Ok, S::Error> {
    match at {
        Some(at) => s.collect_str(at),
        None => s.serialize_none(),
    }
}

/// Stored bytes as they are if they are JSON (`1e400` and lone surrogates included), else as a string
/// of their text.
pub(crate) fn raw(bytes: &[u8]) -> Box<RawValue> {
    serde_json::from_slice(bytes).unwrap_or_else(|_| {
        let text = serde_json::to_string(&String::from_utf8_lossy(bytes)).expect("a string is JSON");
        RawValue::from_string(text).expect("a string is JSON")
    })
}

/// Reads a payload.
pub(crate) async fn payload(history: &dyn History, at: &PayloadAt) -> Result<Box<RawValue>, StoreError> {
    Ok(raw(&history.payload(at).await?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_bytes_show_and_never_break_the_document() {
        for text in ["1e400", r#""\ud800""#, r#"{"a":"\u0000"}"#, "[1,\n2]"] {
            assert_eq!(raw(text.as_bytes()).get(), text);
        }
        assert_eq!(raw(b"\xff{").get(), "\"\u{fffd}{\"");
        assert_eq!(raw(b"").get(), "\"\"");
    }
}
