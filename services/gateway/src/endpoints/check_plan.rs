//! `POST /v1/plans/check`: whether a plan could be run, without running it.

use crate::Api;
use crate::web::{Body, Problem};
use crate::write::Prepared;
use crate::write::plan_of::{GivenPlan, PlanText};
use axum::Json;
use axum::extract::State;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use std::sync::Arc;

/// The plan, as in a submission.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Check {
    plan: Option<Box<RawValue>>,
    source: Option<PlanText>,
}

/// 200 with what the plan would do; 400 with every error, each at its place.
pub(crate) async fn handle(
    State(api): State<Arc<Api>>,
    Body { value: Check { plan, source }, .. }: Body<Check>,
) -> Result<Json<Value>, Problem> {
    let plan = GivenPlan::of(plan, source).and_then(|given| given.prepare(&api))?;
    Ok(Json(describe(&plan)))
}

fn describe(plan: &Prepared) -> Value {
    let specs = &plan.snapshot.steps;
    let steps: Vec<Value> = specs
        .iter()
        .map(|step| {
            let needs: Vec<_> = step.needs.iter().map(|need| &specs[need.0 as usize].path).collect();
            let tool = step.kind.tool();
            json!({
                "path": step.path,
                "tool": tool.map(|t| &t.name),
                "capability": tool.map(|t| &t.capability),
                "effect": tool.map(|t| t.effect),
                "pool": tool.map(|t| &t.pool),
                "needs": needs,
            })
        })
        .collect();
    json!({
        "valid": true,
        "name": plan.snapshot.name,
        "digest": plan.digest,
        "warnings": plan.warnings,
        "inputs": plan.snapshot.inputs,
        "steps": steps,
    })
}

#[cfg(test)]
mod tests {
    use crate::testing::{TestApp, plan};
    use serde_json::json;

    #[tokio::test(start_paused = true)]
    async fn a_valid_plan_is_described_and_not_run() {
        let app = TestApp::new();
        let json = app.post("/v1/plans/check", json!({"plan": plan()})).await.ok();
        assert_eq!((&json["valid"], &json["name"]), (&json!(true), &json!("demo")));
        assert_eq!(json["steps"][1]["needs"], json!(["a"]));
        assert_eq!(json["steps"][3]["capability"], "debug.sleep");
        assert!(json["digest"].as_str().unwrap().starts_with("sha256:"));
        assert_eq!(app.get("/v1/runs").await.ok()["items"], json!([]));
    }

    #[tokio::test(start_paused = true)]
    async fn an_invalid_plan_is_refused_with_every_error() {
        let app = TestApp::new();
        let mut wrong = plan();
        wrong["steps"][0]["tool"] = json!("debug.ecko");
        let answer =
            app.post("/v1/plans/check", json!({"source": {"name": "p.json", "text": wrong.to_string()}})).await;
        answer.problem(400, "invalid_plan");
        assert_eq!(answer.json()["errors"][0]["file"], "p.json");
        app.post("/v1/plans/check", json!({"plan": plan(), "inputs": {}})).await.problem(400, "invalid_argument");
    }
}
