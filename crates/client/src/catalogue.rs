//! The calls that are about no run: plans, tools, workers, the server itself.

use crate::client::{Call, Client};
use crate::{CheckedPlan, ClientError, Page, PlanSource, Tool};
use serde_json::{Value, json};

impl Client {
    /// Checks a plan against the server's catalogue. A plan that is at fault is an error with a
    /// [`Diagnostic`](crate::Diagnostic) for each place; otherwise the answer describes the plan.
    pub async fn check_plan(&self, source: &PlanSource) -> Result<CheckedPlan, ClientError> {
        self.json(Call::post("/v1/plans/check", &json!({ "source": source }))).await
    }

    /// All tools that plans may use, by name.
    pub async fn tools(&self) -> Result<Vec<Tool>, ClientError> {
        let mut tools = Vec::new();
        let mut after: Option<String> = None;
        loop {
            let mut call = Call::get("/v1/tools");
            if let Some(after) = &after {
                call = call.query("after", after);
            }
            let page: Page<Tool> = self.json(call).await?;
            let empty = page.items.is_empty();
            tools.extend(page.items);
            match page.next {
                Some(next) if !empty => after = Some(next),
                _ => return Ok(tools),
            }
        }
    }

    /// The processes that live, with the workers that are connected to them (the first page).
    pub async fn workers(&self) -> Result<Page<Value>, ClientError> {
        self.json(Call::get("/v1/workers")).await
    }

    /// Whether the server takes work: an error of code `unavailable` while it does not.
    pub async fn ready(&self) -> Result<(), ClientError> {
        self.call(Call::get("/ready")).await.map(drop)
    }
}
