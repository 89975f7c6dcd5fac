//! What can go wrong between a caller and a server.

use crate::Endpoint;
use aidt_domain::ErrorCode;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// A failed call.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Nobody answers there. The request was not sent: nothing happened.
    #[error("no server answers at {endpoint}")]
    Connect {
        /// Where.
        endpoint: Endpoint,
        /// What the system said.
        source: std::io::Error,
    },
    /// There is no server to call, as whoever was to find one says. Nothing happened.
    #[error("{source}")]
    Unlocated {
        /// The word of the error catalogue for it.
        code: ErrorCode,
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The connection broke after the request was sent: it may have been carried out.
    #[error("the connection to {endpoint} was lost during {request}")]
    Lost {
        /// Where.
        endpoint: Endpoint,
        /// Method and path.
        request: String,
        /// What broke it.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// No answer within the client's time: it may have been carried out.
    #[error("{endpoint} did not answer {request} within {} s", after.as_secs())]
    TimedOut {
        /// Where.
        endpoint: Endpoint,
        /// Method and path.
        request: String,
        /// The client's patience.
        after: Duration,
    },
    /// The server refused, and said why.
    #[error(transparent)]
    Refused(Box<Problem>),
    /// An answer that the API does not give.
    #[error("{endpoint} answered {request} with something that is not aidt's: {what}")]
    Protocol {
        /// Where.
        endpoint: Endpoint,
        /// Method and path.
        request: String,
        /// What was wrong with it.
        what: String,
    },
}

impl ClientError {
    /// The word of the error catalogue that fits it.
    #[must_use]
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::Connect { .. } | Self::Lost { .. } | Self::TimedOut { .. } => ErrorCode::Unavailable,
            Self::Unlocated { code, .. } => *code,
            Self::Refused(problem) => problem.code,
            Self::Protocol { .. } => ErrorCode::Internal,
        }
    }

    /// Whether the connection is at fault: asking again, perhaps of another process, may help. After
    /// anything but [`ClientError::Connect`] a request may have been carried out all the same.
    #[must_use]
    pub fn is_connection(&self) -> bool {
        matches!(self, Self::Connect { .. } | Self::Lost { .. } | Self::TimedOut { .. })
    }

    /// The server's own words, if it answered.
    #[must_use]
    pub fn problem(&self) -> Option<&Problem> {
        match self {
            Self::Refused(problem) => Some(problem),
            _ => None,
        }
    }
}

/// A problem document (RFC 9457), as the server sends it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, thiserror::Error)]
#[error("{detail}")]
pub struct Problem {
    /// The stable word. A word that this build does not know reads as `internal`.
    #[serde(deserialize_with = "known_code")]
    pub code: ErrorCode,
    /// What happened here.
    #[serde(default)]
    pub detail: String,
    /// What to do about it.
    #[serde(default)]
    pub help: String,
    /// Each place of a document that is at fault.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<Diagnostic>,
    /// When to try again, from `Retry-After`.
    #[serde(skip)]
    pub retry_after: Option<Duration>,
}

impl Problem {
    /// What is made of a refusal without a problem document (from something between us and the server).
    pub(crate) fn of_status(status: http::StatusCode) -> Self {
        let code = match status.as_u16() {
            401 => ErrorCode::Unauthenticated,
            403 => ErrorCode::Forbidden,
            404 => ErrorCode::NotFound,
            405 => ErrorCode::MethodNotAllowed,
            408 => ErrorCode::RequestTimeout,
            413 => ErrorCode::TooLarge,
            429 => ErrorCode::RateLimited,
            502..=504 => ErrorCode::Unavailable,
            400..=499 => ErrorCode::InvalidArgument,
            _ => ErrorCode::Internal,
        };
        Self {
            code,
            detail: format!("the server answered {status}"),
            help: code.help().to_owned(),
            errors: Vec::new(),
            retry_after: None,
        }
    }
}

fn known_code<'de, D: serde::Deserializer<'de>>(d: D) -> Result<ErrorCode, D::Error> {
    Ok(String::deserialize(d)?.parse().unwrap_or(ErrorCode::Internal))
}

/// One fault of a document, where it stands.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Diagnostic {
    /// The name of the document, as it was given.
    #[serde(default)]
    pub file: String,
    /// From 1; 0 when it has no place.
    #[serde(default)]
    pub line: u32,
    /// From 1, in characters.
    #[serde(default)]
    pub column: u32,
    /// The stable name of the rule that is broken.
    #[serde(default)]
    pub rule: String,
    /// What stands there.
    #[serde(default)]
    pub found: Option<String>,
    /// The nearest word that would be valid.
    #[serde(default)]
    pub nearest: Option<String>,
    /// What to do.
    #[serde(default)]
    pub help: Option<String>,
    /// What is wrong, in a sentence.
    #[serde(default)]
    pub message: Option<String>,
    /// Whatever else the server says of it.
    #[serde(flatten)]
    pub more: serde_json::Map<String, serde_json::Value>,
}
