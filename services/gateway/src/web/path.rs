//! Path parameters. What is not of its form names nothing, so it is answered with 404.

use super::problem::Problem;
use aidt_domain::{RunId, StepPath};
use axum::extract::{FromRequestParts, Path};
use http::request::Parts;

/// `/v1/runs/{run}…`
#[derive(Clone, Copy, Debug)]
pub(crate) struct RunOf(pub(crate) RunId);

/// `/v1/runs/{run}/steps/{step}…`
#[derive(Clone, Debug)]
pub(crate) struct StepOf(pub(crate) RunId, pub(crate) StepPath);

impl<S: Send + Sync> FromRequestParts<S> for RunOf {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let Path(run) = Path::<String>::from_request_parts(parts, state).await.map_err(bad_path)?;
        Ok(Self(run.parse().map_err(Problem::not_found)?))
    }
}

impl<S: Send + Sync> FromRequestParts<S> for StepOf {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let Path((run, step)) = Path::<(String, String)>::from_request_parts(parts, state).await.map_err(bad_path)?;
        Ok(Self(run.parse().map_err(Problem::not_found)?, step.parse().map_err(Problem::not_found)?))
    }
}

fn bad_path(rejection: axum::extract::rejection::PathRejection) -> Problem {
    Problem::invalid(format!("the path is not valid: {}", rejection.body_text()))
}
