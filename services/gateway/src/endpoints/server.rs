//! `GET /health`, `/ready`, `/metrics`, `/v1/version`, `/errors/{code}`: the server itself.

use crate::Api;
use crate::web::Problem;
use aidt_domain::{ErrorCode, FORMAT};
use axum::Json;
use axum::extract::{Path, State};
use http::{HeaderName, header};
use serde_json::{Value, json};
use std::sync::Arc;

/// Answers while the process lives.
pub(crate) async fn health() -> Json<Value> {
    Json(json!({"status": "ok"}))
}

/// 200 once everything that takes work runs; 503 with `reasons` while something does not.
pub(crate) async fn ready(State(api): State<Arc<Api>>) -> Result<Json<Value>, Problem> {
    let reasons = (api.readiness)();
    if reasons.is_empty() {
        return Ok(Json(json!({"ready": true, "reasons": []})));
    }
    let detail = format!("not ready: {}", reasons.join("; "));
    Err(Problem::new(ErrorCode::Unavailable, detail).with("ready", false).with("reasons", reasons))
}

/// What operators count, in the text format of Prometheus.
pub(crate) async fn metrics() -> ([(HeaderName, &'static str); 1], String) {
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], aidt_telemetry::metrics_text())
}

/// Of the program, of the API, and of what is stored.
pub(crate) async fn version() -> Json<Value> {
    Json(json!({"name": "aidt", "version": env!("CARGO_PKG_VERSION"), "api": "v1", "format": FORMAT}))
}

/// What an error code means: where the `type` of a problem document points to.
pub(crate) async fn error_page(Path(code): Path<String>) -> Result<Json<Value>, Problem> {
    let code: ErrorCode = code.parse().map_err(Problem::not_found)?;
    Ok(Json(json!({
        "code": code.as_str(),
        "title": code.title(),
        "help": code.help(),
        "status": code.http_status(),
        "exit_code": code.exit_code(),
    })))
}

/// No such path.
pub(crate) async fn no_such_path(uri: http::Uri) -> Problem {
    Problem::not_found(format!("there is nothing at {}", uri.path().chars().take(200).collect::<String>()))
}

/// Such a path, but not with this method.
pub(crate) async fn no_such_method(method: http::Method, uri: http::Uri) -> Problem {
    let path: String = uri.path().chars().take(200).collect();
    Problem::new(ErrorCode::MethodNotAllowed, format!("{path} does not take {method}"))
}

#[cfg(test)]
mod tests {
    use crate::testing::{TestApp, request};
    use axum::body::Body;
    use serde_json::json;

    #[tokio::test(start_paused = true)]
    async fn the_server_tells_of_itself() {
        let app = TestApp::new();
        assert_eq!(app.get("/health").await.ok()["status"], "ok");
        assert_eq!(app.get("/ready").await.ok(), json!({"ready": true, "reasons": []}));
        assert_eq!(app.get("/v1/version").await.ok()["api"], "v1");
        assert_eq!(app.get("/errors/not_found").await.ok()["status"], 404);
        app.get("/errors/no_such").await.problem(404, "not_found");
    }

    #[tokio::test(start_paused = true)]
    async fn not_ready_says_why() {
        let app = TestApp::not_ready("owner: taking partitions");
        let answer = app.get("/ready").await;
        answer.problem(503, "unavailable");
        assert_eq!(answer.json()["reasons"], json!(["owner: taking partitions"]));
        assert_eq!(app.get("/health").await.status, 200);
    }

    #[tokio::test(start_paused = true)]
    async fn other_paths_and_methods_are_problems_too() {
        let app = TestApp::new();
        assert!(app.get("/v2/runs").await.problem(404, "not_found").contains("/v2/runs"));
        let delete = request("DELETE", "/v1/runs").body(Body::empty()).unwrap();
        let answer = app.call(delete).await;
        answer.problem(405, "method_not_allowed");
        let allow = answer.headers["allow"].to_str().unwrap();
        assert!(allow.contains("GET") && allow.contains("POST"), "{allow}");
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_comes_in_by_a_foreign_name() {
        let app = TestApp::new();
        let mut rebound = request("GET", "/v1/runs").body(Body::empty()).unwrap();
        rebound.headers_mut().insert("host", "evil.example".parse().unwrap());
        app.call(rebound).await.problem(403, "forbidden");
        let mut hostless = request("GET", "/nowhere").body(Body::empty()).unwrap();
        hostless.headers_mut().remove("host");
        app.call(hostless).await.problem(403, "forbidden");
    }

    #[tokio::test(start_paused = true)]
    async fn answers_are_not_cached_or_sniffed() {
        let app = TestApp::new();
        for path in ["/health", "/nowhere"] {
            let headers = app.get(path).await.headers;
            assert_eq!(
                (&headers["cache-control"], &headers["x-content-type-options"]),
                (&"no-store".parse().unwrap(), &"nosniff".parse().unwrap())
            );
        }
    }
}
