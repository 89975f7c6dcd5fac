//! Failed requests as RFC 9457 problem documents, from the one catalogue of error codes.

use aidt_domain::ErrorCode;
use aidt_store::{Kind, StoreError};
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use serde::Serialize;
use serde_json::{Map, Value};
use std::fmt::Display;

/// After how many seconds a refused request may be tried again, unless something better is known.
const RETRY_AFTER_SECS: u64 = 1;

/// A failed request. Every response of the gateway with a status of 400 or more is one of these.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Problem {
    pub(crate) code: ErrorCode,
    pub(crate) detail: String,
    /// What exactly is wrong, one entry a place; of the shape that plan diagnostics have.
    pub(crate) errors: Vec<Value>,
    /// Extension members.
    pub(crate) extra: Map<String, Value>,
}

impl Problem {
    pub(crate) fn new(code: ErrorCode, detail: impl Display) -> Self {
        Self { code, detail: detail.to_string(), errors: Vec::new(), extra: Map::new() }
    }

    /// An argument of the request is malformed.
    pub(crate) fn invalid(detail: impl Display) -> Self {
        Self::new(ErrorCode::InvalidArgument, detail)
    }

    pub(crate) fn not_found(detail: impl Display) -> Self {
        Self::new(ErrorCode::NotFound, detail)
    }

    pub(crate) fn with_errors(mut self, errors: Vec<Value>) -> Self {
        self.errors = errors;
        self
    }

    pub(crate) fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.extra.insert(name.to_owned(), value.into());
        self
    }

    pub(crate) fn status(&self) -> StatusCode {
        StatusCode::from_u16(self.code.http_status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    /// The document, its members in the order in which a person wants to read them.
    pub(crate) fn document(&self) -> Document<'_> {
        Document {
            kind: format!("/errors/{}", self.code),
            title: self.code.title(),
            status: self.status().as_u16(),
            code: self.code,
            detail: &self.detail,
            help: self.code.help(),
            errors: &self.errors,
            extra: &self.extra,
        }
    }
}

/// A problem document.
#[derive(Debug, Serialize)]
pub(crate) struct Document<'a> {
    #[serde(rename = "type")]
    kind: String,
    title: &'static str,
    status: u16,
    code: ErrorCode,
    detail: &'a str,
    help: &'static str,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    errors: &'a [Value],
    #[serde(flatten)]
    extra: &'a Map<String, Value>,
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let body = serde_json::to_vec(&self.document()).expect("a document of JSON values");
        let mut response = (self.status(), body).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if matches!(self.status(), StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS) {
            headers.insert(header::RETRY_AFTER, RETRY_AFTER_SECS.into());
        }
        response
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        let code = match error.kind {
            Kind::Unavailable | Kind::Unknown => ErrorCode::Unavailable,
            Kind::Conflict => ErrorCode::NotApplicable,
            Kind::NotFound | Kind::Corrupt | Kind::Invalid => ErrorCode::Internal,
        };
        tracing::warn!(%code, error = &error as &dyn std::error::Error, "a request failed in the store");
        Self::new(code, error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_has_the_members_of_rfc_9457_and_ours() {
        let problem = Problem::not_found("there is no run run_1").with("run", "run_1");
        let doc = serde_json::to_value(problem.document()).unwrap();
        assert_eq!(doc["type"], "/errors/not_found");
        assert_eq!(doc["status"], 404);
        assert_eq!(doc["code"], "not_found");
        assert_eq!(doc["detail"], "there is no run run_1");
        assert_eq!(doc["run"], "run_1");
        assert!(doc["title"].is_string() && doc["help"].is_string());
        assert!(doc.get("errors").is_none());
    }

    #[test]
    fn shed_load_says_when_to_come_back() {
        for code in [ErrorCode::RateLimited, ErrorCode::Overloaded, ErrorCode::Unavailable] {
            let response = Problem::new(code, "later").into_response();
            assert_eq!(response.headers()[header::RETRY_AFTER], "1", "{code}");
        }
        let response = Problem::invalid("no").into_response();
        assert!(response.headers().get(header::RETRY_AFTER).is_none());
        assert_eq!(response.headers()[header::CONTENT_TYPE], "application/problem+json");
    }

    #[test]
    fn a_store_that_cannot_be_reached_is_unavailable_and_never_a_500() {
        for kind in [Kind::Unavailable, Kind::Unknown] {
            let problem = Problem::from(StoreError::new("submit", kind, "gone"));
            assert_eq!(problem.code, ErrorCode::Unavailable);
        }
    }
}
