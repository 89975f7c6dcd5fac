//! JSON request bodies: limited in size, refused with the place and the nearest word.

use super::{nearest::nearest, problem::Problem};
use crate::Api;
use aidt_domain::ErrorCode;
use axum::extract::{FromRequest, Request};
use bytes::Bytes;
use http::{HeaderMap, header};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use std::sync::Arc;

/// A JSON body. No body at all reads as `{}`.
#[derive(Debug)]
pub(crate) struct Body<T> {
    pub(crate) value: T,
    /// As it came.
    pub(crate) bytes: Bytes,
}

impl<T: DeserializeOwned> FromRequest<Arc<Api>> for Body<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, api: &Arc<Api>) -> Result<Self, Problem> {
        let limit = api.config.max_body_bytes;
        let (parts, body) = request.into_parts();
        if content_length(&parts.headers).is_some_and(|n| n > limit as u64) {
            return Err(too_large(limit));
        }
        let bytes = match Limited::new(body, limit).collect().await {
            Ok(collected) => collected.to_bytes(),
            Err(error) if error.is::<LengthLimitError>() => return Err(too_large(limit)),
            Err(error) => return Err(Problem::invalid(format!("the body could not be read: {error}"))),
        };
        check_content_type(&parts.headers, bytes.is_empty())?;
        let text = if bytes.is_empty() { b"{}" } else { &bytes[..] };
        let value = parse(text)?;
        Ok(Self { value, bytes })
    }
}

fn content_length(headers: &HeaderMap) -> Option<u64> {
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

fn too_large(limit: usize) -> Problem {
    Problem::new(ErrorCode::TooLarge, format!("the body is larger than the limit of {limit} bytes"))
}

/// Only `application/json`: a web page can send the other types to any site without being asked, so
/// this is what keeps a foreign page from changing anything.
fn check_content_type(headers: &HeaderMap, empty: bool) -> Result<(), Problem> {
    let given = match headers.get(header::CONTENT_TYPE) {
        None if empty => return Ok(()),
        None => "none",
        Some(value) => value.to_str().unwrap_or("not readable"),
    };
    let essence = given.split(';').next().unwrap_or_default().trim();
    if essence.eq_ignore_ascii_case("application/json") {
        return Ok(());
    }
    let given: String = given.chars().take(80).collect();
    Err(Problem::new(ErrorCode::UnsupportedMediaType, format!("the Content-Type is {given}; send application/json")))
}

/// Parses a body; an error names line and column, and an unknown field the nearest known one.
pub(crate) fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    let text = std::str::from_utf8(bytes)
        .map_err(|e| Problem::invalid(format!("the body is not UTF-8: byte {} is not valid", e.valid_up_to())))?;
    serde_json::from_str(text)
        .map_err(|e| Problem::invalid(format!("the body is not valid: {e}")).with_errors(vec![place(&e)]))
}

/// The error at its place, of the shape that a plan's diagnostics have.
fn place(error: &serde_json::Error) -> Value {
    let message = error.to_string();
    let (rule, found, near, help) = match unknown_field(&message) {
        Some((found, known)) => {
            let help = format!("the fields here are {}", known.join(", "));
            ("unknown-key", Some(found), nearest(found, known), Some(help))
        }
        None if error.is_data() => ("invalid-value", None, None, None),
        None => ("syntax", None, None, None),
    };
    json!({
        "file": "body",
        "line": error.line(),
        "column": error.column(),
        "rule": rule,
        "found": found,
        "nearest": near,
        "help": help,
        "message": message,
    })
}

/// Takes serde's "unknown field `x`, expected one of `a`, `b`" apart.
fn unknown_field(message: &str) -> Option<(&str, Vec<&str>)> {
    let rest = message.strip_prefix("unknown field `")?;
    let (found, known) = rest.split_once("`, expected ")?;
    Some((found, known.split('`').skip(1).step_by(2).collect()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "only its shape matters here")]
    struct Doc {
        reason: Option<String>,
        step: Option<String>,
    }

    fn refused(body: &[u8]) -> Problem {
        parse::<Doc>(body).unwrap_err()
    }

    #[test]
    fn an_unknown_field_is_named_with_its_place_and_the_nearest_word() {
        let problem = refused(b"{\n  \"reson\": \"x\"}");
        let error = &problem.errors[0];
        assert_eq!((&error["rule"], &error["found"]), (&json!("unknown-key"), &json!("reson")));
        assert_eq!((&error["nearest"], &error["line"]), (&json!("reason"), &json!(2)));
    }

    #[test]
    fn what_is_not_json_not_utf8_or_of_another_shape_is_refused_by_name() {
        assert_eq!(refused(b"{").errors[0]["rule"], "syntax");
        assert_eq!(refused(b"{\"step\": 7}").errors[0]["rule"], "invalid-value");
        assert!(refused(b"{\"step\": \"\xff\"}").detail.contains("byte 10"));
        assert_eq!(refused(b"[]").code, ErrorCode::InvalidArgument);
    }

    #[test]
    fn only_json_is_taken_and_nothing_needs_no_type() {
        let mut headers = HeaderMap::new();
        assert!(check_content_type(&headers, true).is_ok());
        assert_eq!(check_content_type(&headers, false).unwrap_err().code, ErrorCode::UnsupportedMediaType);
        for (given, ok) in [
            ("application/json", true),
            ("Application/JSON; charset=utf-8", true),
            ("text/plain", false),
            ("application/x-www-form-urlencoded", false),
            ("text/plain; application/json", false),
        ] {
            headers.insert(header::CONTENT_TYPE, given.parse().unwrap());
            assert_eq!(check_content_type(&headers, true).is_ok(), ok, "{given}");
        }
    }
}
