//! A request that takes too long, or panics, still gets an answer.

use super::problem::Problem;
use super::seen::Seen;
use aidt_domain::ErrorCode;
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures::FutureExt;
use http::{HeaderValue, header};
use std::panic::AssertUnwindSafe;
use std::time::Duration;

/// Ends a request after `limit`. What it had begun in the store may have happened.
pub(crate) async fn time_limit(State(limit): State<Duration>, request: Request, next: Next) -> Response {
    tokio::time::timeout(limit, next.run(request)).await.unwrap_or_else(|_| {
        let detail = format!("the request took longer than {} s; it may still take effect", limit.as_secs());
        Problem::new(ErrorCode::RequestTimeout, detail).into_response()
    })
}

/// Answers for a handler that panicked, and sets what every response has.
pub(crate) async fn finish(mut request: Request, next: Next) -> Response {
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let seen = Seen::begin(&mut request);
    let mut response = AssertUnwindSafe(next.run(request)).catch_unwind().await.unwrap_or_else(|_| {
        tracing::error!(%method, path, "a request handler panicked");
        Problem::new(ErrorCode::Internal, "the handler of this request panicked").into_response()
    });
    seen.answered(response.status());
    tracing::debug!(%method, path, status = response.status().as_u16(), "answered");
    let headers = response.headers_mut();
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::{
        Router,
        body::Body,
        middleware::{from_fn, from_fn_with_state},
        routing::get,
    };
    use tower::ServiceExt;

    fn panics() -> &'static str {
        panic!("planted")
    }

    async fn status(path: &str) -> u16 {
        let router = Router::new()
            .route("/stuck", get(std::future::pending::<()>))
            .route("/panics", get(async || panics()))
            .layer(from_fn_with_state(Duration::from_secs(30), time_limit))
            .layer(from_fn(finish));
        let request = Request::get(path).body(Body::empty()).unwrap();
        let response = router.oneshot(request).await.unwrap();
        assert_eq!(response.headers()[header::CACHE_CONTROL], "no-store");
        response.status().as_u16()
    }

    #[tokio::test(start_paused = true)]
    async fn a_stuck_request_ends() {
        assert_eq!(status("/stuck").await, 408);
    }

    #[tokio::test(start_paused = true)]
    async fn a_panic_is_an_internal_error() {
        assert_eq!(status("/panics").await, 500);
    }
}
