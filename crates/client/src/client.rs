//! One request, one answer.

use crate::connection::{Connections, Sender};
use crate::{ClientError, Endpoint, Problem};
use bytes::Bytes;
use http::{Method, Request, Response, header};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::Incoming;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::sync::Arc;
use std::time::Duration;

/// Longer than the 5 s for which the server waits for a command to be applied.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);
/// A page of steps with their outputs is the largest answer.
const MAX_ANSWER: usize = 256 * 1024 * 1024;

/// A client of one server. Clones share its connections.
#[derive(Clone)]
pub struct Client {
    connections: Connections,
    traceparent: Option<Arc<str>>,
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client").field("endpoint", self.endpoint()).finish_non_exhaustive()
    }
}

/// A request, before it is sent.
pub(crate) struct Call {
    pub(crate) method: Method,
    pub(crate) path: String,
    pub(crate) body: Option<Vec<u8>>,
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) patience: Duration,
}

impl Call {
    pub(crate) fn get(path: impl Into<String>) -> Self {
        Self { method: Method::GET, path: path.into(), body: None, headers: Vec::new(), patience: REQUEST_TIMEOUT }
    }

    pub(crate) fn post(path: impl Into<String>, body: &impl Serialize) -> Self {
        let body = serde_json::to_vec(body).expect("a request is made of JSON values with string keys");
        Self { method: Method::POST, body: Some(body), ..Self::get(path) }
    }

    pub(crate) fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// Adds `name=value` to the query, escaped.
    pub(crate) fn query(mut self, name: &str, value: impl std::fmt::Display) -> Self {
        self.path.push(if self.path.contains('?') { '&' } else { '?' });
        self.path.push_str(name);
        self.path.push('=');
        escape(&value.to_string(), &mut self.path);
        self
    }

    pub(crate) fn name(&self) -> String {
        format!("{} {}", self.method, self.path.split('?').next().unwrap_or_default())
    }
}

/// Percent-encodes all but the unreserved characters of RFC 3986.
pub(crate) fn escape(text: &str, out: &mut String) {
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => out.push(char::from(byte)),
            other => out.push_str(&format!("%{other:02X}")),
        }
    }
}

impl Client {
    /// A client of the server at `endpoint`; connects with the first call.
    #[must_use]
    pub fn new(endpoint: Endpoint) -> Self {
        Self { connections: Connections::new(endpoint), traceparent: None }
    }

    /// Requests that change something continue the trace that this `traceparent` (W3C) names.
    #[must_use]
    pub fn part_of(mut self, traceparent: Option<String>) -> Self {
        self.traceparent = traceparent.map(Arc::from);
        self
    }

    /// Where it calls.
    #[must_use]
    pub fn endpoint(&self) -> &Endpoint {
        self.connections.endpoint()
    }

    /// Sends and reads a JSON answer.
    pub(crate) async fn json<T: DeserializeOwned>(&self, call: Call) -> Result<T, ClientError> {
        let name = call.name();
        let (_, bytes) = self.call(call).await?;
        self.parse(name, &bytes)
    }

    pub(crate) fn parse<T: DeserializeOwned>(&self, request: String, bytes: &[u8]) -> Result<T, ClientError> {
        serde_json::from_slice(bytes).map_err(|e| self.protocol(request, e.to_string()))
    }

    /// Sends, and reads the whole answer; a status of 400 or more is an error.
    pub(crate) async fn call(&self, call: Call) -> Result<(http::StatusCode, Bytes), ClientError> {
        let (name, patience) = (call.name(), call.patience);
        let exchange = async {
            let (response, sender) = self.open(call).await?;
            let status = response.status();
            let bytes = self.read(response, &name).await?;
            self.connections.keep(sender);
            Ok((status, bytes))
        };
        match tokio::time::timeout(patience, exchange).await {
            Ok(result) => result,
            Err(_) => Err(ClientError::TimedOut { endpoint: self.endpoint().clone(), request: name, after: patience }),
        }
    }

    /// Sends, and leaves the answer's body to be read. The sender must live as long as the body.
    pub(crate) async fn open(&self, call: Call) -> Result<(Response<Incoming>, Sender), ClientError> {
        let name = call.name();
        let mut request =
            Request::builder().method(call.method).uri(&call.path).header(header::HOST, self.endpoint().host());
        for (key, value) in &call.headers {
            request = request.header(*key, value);
        }
        if call.body.is_some() {
            request = request.header(header::CONTENT_TYPE, "application/json");
            if let Some(traceparent) = &self.traceparent {
                request = request.header("traceparent", &**traceparent);
            }
        }
        let request = request
            .body(Full::from(call.body.unwrap_or_default()))
            .map_err(|e| self.protocol(name.clone(), format!("the request cannot be sent: {e}")))?;
        let (response, sender) = self.connections.send(request).await?;
        if response.status().as_u16() < 400 {
            return Ok((response, sender));
        }
        let (status, retry_after) = (response.status(), retry_after(&response));
        let bytes = self.read(response, &name).await?;
        self.connections.keep(sender);
        let mut problem = serde_json::from_slice(&bytes).unwrap_or_else(|_| Problem::of_status(status));
        problem.retry_after = retry_after;
        Err(ClientError::Refused(Box::new(problem)))
    }

    async fn read(&self, response: Response<Incoming>, request: &str) -> Result<Bytes, ClientError> {
        match Limited::new(response.into_body(), MAX_ANSWER).collect().await {
            Ok(body) => Ok(body.to_bytes()),
            Err(e) if e.is::<LengthLimitError>() => {
                Err(self.protocol(request.to_owned(), format!("more than {MAX_ANSWER} bytes")))
            }
            Err(e) => Err(self.connections.lost(request.to_owned(), e)),
        }
    }

    pub(crate) fn protocol(&self, request: String, what: String) -> ClientError {
        ClientError::Protocol { endpoint: self.endpoint().clone(), request, what }
    }

    pub(crate) fn lost(
        &self,
        request: String,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> ClientError {
        self.connections.lost(request, source)
    }
}

fn retry_after(response: &Response<Incoming>) -> Option<Duration> {
    let value = response.headers().get(header::RETRY_AFTER)?.to_str().ok()?;
    value.parse().ok().map(Duration::from_secs)
}
