//! What operators see of a request: its span and its duration.

use super::caller::TRACEPARENT;
use aidt_telemetry::{Scope, Span};
use axum::extract::{MatchedPath, Request};
use http::{HeaderMap, HeaderName, Method, StatusCode};
use tokio::time::Instant;

const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");

/// Asked each second by whoever watches: no traces are made of that.
const PROBES: [&str; 3] = ["/health", "/ready", "/metrics"];

/// A request under way.
pub(crate) struct Seen {
    span: Span,
    method: &'static str,
    route: Option<MatchedPath>,
    began: Instant,
}

/// The place of a request's span, for what follows from the request. Travels with the request.
#[derive(Clone)]
pub(crate) struct Place(pub(crate) String);

impl Seen {
    /// A request has arrived.
    pub(crate) fn begin(request: &mut Request) -> Self {
        let method = word(request.method());
        let route = request.extensions().get::<MatchedPath>().cloned();
        let pattern = route.as_ref().map_or("", MatchedPath::as_str);
        let span = if PROBES.contains(&pattern) { Span::none() } else { span(request, method, pattern) };
        if let Some(place) = span.traceparent() {
            request.extensions_mut().insert(Place(place));
        }
        Self { span, method, route, began: Instant::now() }
    }

    /// The head of the answer is known.
    pub(crate) fn answered(mut self, status: StatusCode) {
        let code = status.as_u16();
        self.span.set("http.response.status_code", u32::from(code));
        if status.is_server_error() {
            self.span.fail(status.as_str(), format_args!("answered {code}"));
        }
        if let Some(instruments) = aidt_telemetry::instruments() {
            let route = self.route.as_ref().map_or("", MatchedPath::as_str);
            instruments.http_request(self.method, route, code, self.began.elapsed());
        }
    }
}

fn span(request: &Request, method: &str, pattern: &str) -> Span {
    let space = if pattern.is_empty() { "" } else { " " };
    let (parent, state) = (text(request.headers(), &TRACEPARENT), text(request.headers(), &TRACESTATE));
    Span::incoming(Scope::Gateway, parent, state, format_args!("{method}{space}{pattern}"))
        .with("http.request.method", method)
        .with("http.route", pattern)
        .with("url.path", request.uri().path())
}

fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

/// Of the methods that there are; whoever asks must not make new series.
fn word(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::DELETE => "DELETE",
        Method::PATCH => "PATCH",
        Method::HEAD => "HEAD",
        Method::OPTIONS => "OPTIONS",
        _ => "_OTHER",
    }
}
