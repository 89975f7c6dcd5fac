//! The plan that a request brings: as an object, as text, or by the name of a saved one.

use super::Prepared;
use crate::Api;
use crate::web::Problem;
use aidt_domain::ErrorCode;
use aidt_plan::{Diagnostic, Source};
use serde::Deserialize;
use serde_json::json;
use serde_json::value::RawValue;
use std::sync::Arc;

/// What errors call a plan that came as an object.
const UNNAMED: &str = "plan";

/// A plan's text: sent by those who have a file, so that errors name its lines.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct PlanText {
    name: String,
    text: String,
}

/// A plan's text, however it came.
#[derive(Debug)]
pub(crate) struct GivenPlan(Source);

#[derive(Debug, thiserror::Error)]
pub(crate) enum Refused {
    #[error("give a plan, as `plan` (an object) or as `source` (its name and text)")]
    None,
    #[error("give the plan as `plan` or as `source`, not both")]
    Both,
    #[error("`plan` must be a plan's object, or the name of a saved plan as a string")]
    Shape,
    #[error("there is no saved plan {0}: this server keeps none yet; send the plan itself")]
    Saved(String),
    #[error("the plan is not valid: {}", places(.0))]
    Invalid(Vec<Diagnostic>),
}

fn places(diagnostics: &[Diagnostic]) -> String {
    match diagnostics.len() {
        1 => "1 error".to_owned(),
        n => format!("{n} errors"),
    }
}

impl GivenPlan {
    pub(crate) fn of(plan: Option<Box<RawValue>>, source: Option<PlanText>) -> Result<Self, Refused> {
        match (plan, source) {
            (None, None) => Err(Refused::None),
            (Some(_), Some(_)) => Err(Refused::Both),
            (None, Some(PlanText { name, text })) => Ok(Self(Source { name, text })),
            (Some(raw), None) => match raw.get().as_bytes().first() {
                Some(b'{') => Ok(Self(Source { name: UNNAMED.to_owned(), text: raw.get().to_owned() })),
                Some(b'"') => Err(Refused::Saved(serde_json::from_str(raw.get()).unwrap_or_default())),
                _ => Err(Refused::Shape),
            },
        }
    }

    pub(crate) fn prepare(&self, api: &Api) -> Result<Arc<Prepared>, Refused> {
        api.plans.prepare(&self.0).map_err(Refused::Invalid)
    }
}

impl From<Refused> for Problem {
    fn from(refused: Refused) -> Self {
        match &refused {
            Refused::None | Refused::Both | Refused::Shape => Self::invalid(refused),
            Refused::Saved(_) => Self::not_found(refused),
            Refused::Invalid(diagnostics) => {
                let errors = diagnostics.iter().map(|d| json!(d)).collect();
                Self::new(ErrorCode::InvalidPlan, &refused).with_errors(errors)
            }
        }
    }
}
