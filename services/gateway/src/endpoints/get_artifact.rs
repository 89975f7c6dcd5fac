//! `GET /v1/artifacts/{digest}`: a value that was too large for a row.

use crate::Api;
use crate::web::{Caller, Problem};
use aidt_artifacts::{ArtifactError, Kind};
use aidt_domain::{Digest, ErrorCode};
use axum::extract::{Path, State};
use bytes::Bytes;
use http::{HeaderName, header};
use std::sync::Arc;

/// The bytes as they are, of the caller's project. They never change, so they may be cached for ever, by each caller
/// for itself: a header says whose project they are of. And they are a tool's, so no browser is to make anything of
/// them.
pub(crate) async fn handle(
    State(api): State<Arc<Api>>,
    caller: Caller,
    Path(digest): Path<String>,
) -> Result<([(HeaderName, &'static str); 4], Bytes), Problem> {
    let digest: Digest = digest.parse().map_err(Problem::not_found)?;
    let Some(artifacts) = &api.artifacts else {
        return Err(Problem::not_found("this server keeps no artifacts"));
    };
    let bytes = artifacts.get(&caller.project, &digest).await.map_err(failed)?;
    let headers = [
        (header::CONTENT_TYPE, "application/octet-stream"),
        (header::CACHE_CONTROL, "private, max-age=31536000, immutable"),
        (header::VARY, "x-aidt-project, authorization"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    Ok((headers, bytes))
}

fn failed(error: ArtifactError) -> Problem {
    let code = match error.kind {
        Kind::NotFound => ErrorCode::NotFound,
        Kind::Unavailable | Kind::Unknown => ErrorCode::Unavailable,
        Kind::Invalid | Kind::Corrupt => ErrorCode::Internal,
    };
    if code != ErrorCode::NotFound {
        tracing::warn!(error = &error as &dyn std::error::Error, "an artifact cannot be read");
    }
    Problem::new(code, error)
}

#[cfg(test)]
mod tests {
    use crate::testing::{TestApp, request};
    use aidt_domain::{Digest, Project};
    use axum::body::Body;
    use bytes::Bytes;

    #[tokio::test(start_paused = true)]
    async fn a_project_reads_its_own_artifacts_and_no_others() {
        let app = TestApp::new();
        let kept = app.artifacts.put(&Project::default(), Bytes::from_static(b"[1,2]")).await.unwrap();
        let path = format!("/v1/artifacts/{}", kept.digest);
        let answer = app.get(&path).await;
        assert_eq!((answer.status, answer.text.as_str()), (200, "[1,2]"));
        assert_eq!(answer.headers["x-content-type-options"], "nosniff");
        assert_eq!(answer.headers["vary"], "x-aidt-project, authorization", "no cache gives it to another");
        let other = request("GET", &path).header("x-aidt-project", "other").body(Body::empty()).unwrap();
        app.call(other).await.problem(404, "not_found");
        app.get(&format!("/v1/artifacts/{}", Digest::of(b"other"))).await.problem(404, "not_found");
        app.get("/v1/artifacts/latest").await.problem(404, "not_found");
    }
}
