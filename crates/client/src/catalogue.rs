//! The calls that are about no run: plans, tools, workers, the server itself.

use crate::client::{Call, Client};
use crate::{ClientError, Page, PlanSource, Tool};
use serde_json::{Value, json};

impl Client {
    /// Checks a plan against the server's catalogue. A plan that is at fault is an error with a
    /// [`Diagnostic`](crate::Diagnostic) for each place; otherwise the answer describes the plan.
    pub async fn check_plan(&self, source: &PlanSource) -> Result<Value, ClientError> {
        self.json(Call::post("/v1/plans/check", &json!({ "source": source }))).await
    }

    /// The tools that plans may use.
    pub async fn tools(&self) -> Result<Page<Tool>, ClientError> {
        self.json(Call::get("/v1/tools")).await
    }

    /// The workers that are connected.
    pub async fn workers(&self) -> Result<Page<Value>, ClientError> {
        self.json(Call::get("/v1/workers")).await
    }

    /// Whether the server takes work: an error of code `unavailable` while it does not.
    pub async fn ready(&self) -> Result<(), ClientError> {
        self.call(Call::get("/ready")).await.map(drop)
    }
}
