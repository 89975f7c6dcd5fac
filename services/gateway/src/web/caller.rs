//! Who asks, for which project, as part of which trace.

use super::problem::Problem;
use super::seen::Place;
use crate::Api;
use aidt_domain::{Actor, Project};
use aidt_telemetry::TraceContext;
use axum::extract::FromRequestParts;
use http::{HeaderMap, HeaderName, request::Parts};
use std::sync::Arc;

/// Names the project of a request; `default` when absent.
pub(crate) const PROJECT: HeaderName = HeaderName::from_static("x-aidt-project");
pub(crate) const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// Who asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Caller {
    pub(crate) project: Project,
    pub(crate) actor: Actor,
    /// W3C trace context: of the request's span; where none is recorded, the caller's, if it is of its form;
    /// else the trace begins anew, as the standard has it.
    pub(crate) traceparent: Option<String>,
}

impl FromRequestParts<Arc<Api>> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, api: &Arc<Api>) -> Result<Self, Problem> {
        let place = parts.extensions.get::<Place>();
        Ok(Self {
            project: project(&parts.headers)?,
            actor: Actor(api.config.actor.clone()),
            traceparent: place.map(|place| place.0.clone()).or_else(|| traceparent(&parts.headers)),
        })
    }
}

fn project(headers: &HeaderMap) -> Result<Project, Problem> {
    let Some(value) = headers.get(PROJECT) else { return Ok(Project::default()) };
    let name = value.to_str().map_err(|_| Problem::invalid(format!("header {PROJECT} is not text")))?;
    Project::new(name).map_err(|e| Problem::invalid(format!("header {PROJECT}: {e}")))
}

fn traceparent(headers: &HeaderMap) -> Option<String> {
    let text = headers.get(TRACEPARENT)?.to_str().ok()?;
    TraceContext::parse(text).map(|_| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_a_trace_context_of_the_right_form_only() {
        let of = |text: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(TRACEPARENT, text.parse().unwrap());
            traceparent(&headers)
        };
        let good = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        assert_eq!(of(good).as_deref(), Some(good));
        for bad in [
            "",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331",
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
            "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
        ] {
            assert_eq!(of(bad), None, "{bad}");
        }
    }

    #[test]
    fn the_project_is_default_or_of_its_form() {
        let mut headers = HeaderMap::new();
        assert_eq!(project(&headers).unwrap(), Project::default());
        headers.insert(PROJECT, "team-a".parse().unwrap());
        assert_eq!(project(&headers).unwrap().as_str(), "team-a");
        headers.insert(PROJECT, "Team A".parse().unwrap());
        assert!(project(&headers).unwrap_err().detail.contains("x-aidt-project"));
    }
}
