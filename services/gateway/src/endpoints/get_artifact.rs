//! `GET /v1/artifacts/{digest}`: a value that was too large for a row.

use crate::Api;
use crate::web::{Caller, Problem};
use aidt_artifacts::{ArtifactError, Kind};
use aidt_domain::{Digest, ErrorCode};
use axum::extract::{Path, State};
use bytes::Bytes;
use http::{HeaderName, header};
use std::sync::Arc;
use tokio::sync::OwnedSemaphorePermit;

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
    let permit = api.admit_artifact()?;
    let bytes = artifacts.get(&caller.project, &digest).await.map_err(failed)?;
    let headers = [
        (header::CONTENT_TYPE, "application/octet-stream"),
        (header::CACHE_CONTROL, "private, max-age=31536000, immutable"),
        (header::VARY, "x-aidt-project, authorization"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    Ok((headers, Bytes::from_owner(Held { bytes, _permit: permit })))
}

/// Makes room for another artifact when the last of it has been sent.
struct Held {
    bytes: Bytes,
    _permit: OwnedSemaphorePermit,
}

impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
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
    use crate::Config;
    use crate::testing::{TestApp, request};
    use aidt_domain::{Digest, Project};
    use axum::body::Body;
    use bytes::Bytes;
    use http_body_util::BodyExt as _;

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

    #[tokio::test(start_paused = true)]
    async fn only_so_many_are_in_memory_at_once() {
        let app = TestApp::with(Config { max_artifacts: 1, ..Config::default() });
        let kept = app.artifacts.put(&Project::default(), Bytes::from_static(b"[1,2]")).await.unwrap();
        let path = format!("/v1/artifacts/{}", kept.digest);
        let ask = || request("GET", &path).body(Body::empty()).unwrap();
        // A client that takes its time.
        let slow = app.send(ask()).await;
        app.get(&path).await.problem(503, "overloaded");
        let mut body = slow.into_body();
        let frame = body.frame().await.unwrap().unwrap().into_data().unwrap();
        app.get(&path).await.problem(503, "overloaded");
        assert_eq!(frame, "[1,2]");
        drop((frame, body));
        assert_eq!(app.get(&path).await.status, 200);
    }
}
