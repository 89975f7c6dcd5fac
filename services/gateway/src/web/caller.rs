//! Who asks, for which project, as part of which trace.

use super::problem::Problem;
use crate::Api;
use aidt_domain::{Actor, Project};
use axum::extract::FromRequestParts;
use http::{HeaderMap, HeaderName, request::Parts};
use std::sync::Arc;

/// Names the project of a request; `default` when absent.
pub(crate) const PROJECT: HeaderName = HeaderName::from_static("x-aidt-project");
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// Who asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Caller {
    pub(crate) project: Project,
    pub(crate) actor: Actor,
    /// W3C trace context, if it is of its form; else the trace begins anew, as the standard has it.
    pub(crate) traceparent: Option<String>,
}

impl FromRequestParts<Arc<Api>> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, api: &Arc<Api>) -> Result<Self, Problem> {
        Ok(Self {
            project: project(&parts.headers)?,
            actor: Actor(api.config.actor.clone()),
            traceparent: traceparent(&parts.headers),
        })
    }
}

fn project(headers: &HeaderMap) -> Result<Project, Problem> {
    let Some(value) = headers.get(PROJECT) else { return Ok(Project::default()) };
    let name = value.to_str().map_err(|_| Problem::invalid(format!("header {PROJECT} is not text")))?;
    Project::new(name).map_err(|e| Problem::invalid(format!("header {PROJECT}: {e}")))
}

/// `00-<32 hex>-<16 hex>-<2 hex>`, ids not all zero (W3C Trace Context, 3.2).
fn traceparent(headers: &HeaderMap) -> Option<String> {
    let text = headers.get(TRACEPARENT)?.to_str().ok()?;
    let fields: Vec<&str> = text.split('-').collect();
    let [version, trace, parent, flags] = fields[..] else { return None };
    let hex = |s: &str, len| s.len() == len && s.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    let id = |s: &str, len| hex(s, len) && s.bytes().any(|b| b != b'0');
    (hex(version, 2) && version != "ff" && id(trace, 32) && id(parent, 16) && hex(flags, 2)).then(|| text.to_owned())
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
