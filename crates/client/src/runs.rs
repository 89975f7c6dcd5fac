//! The calls about runs: `/v1/runs…`.

use crate::client::{Call, Client, escape};
use crate::{Accepted, Applied, ClientError, Event, Explanation, LogPiece, Page, RetryFrom, Run, Step, Submission};
use aidt_domain::{ResolveAs, RunId, RunState, Seq, StepPath};
use serde_json::{Value, json};
use std::time::Duration;

/// What a list of runs is narrowed to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RunFilter {
    /// Only runs in one of these states; all when empty.
    pub states: Vec<RunState>,
    /// Only runs of the plan of this name.
    pub plan: Option<String>,
    /// Only runs with these labels, each NAME=VALUE.
    pub labels: Vec<String>,
    /// Items a page; the server's default when absent.
    pub limit: Option<u32>,
    /// The `next` of the page before.
    pub after: Option<String>,
}

impl Client {
    /// Submits a run. The same `key` with the same body gives the same run again (for 24 h), so a
    /// submission whose answer was lost can be repeated.
    pub async fn submit(&self, submission: &Submission, key: &str) -> Result<Accepted, ClientError> {
        self.json(Call::post("/v1/runs", submission).header("idempotency-key", key)).await
    }

    /// The runs, newest first.
    pub async fn runs(&self, filter: &RunFilter) -> Result<Page<Run>, ClientError> {
        let mut call = Call::get("/v1/runs");
        for state in &filter.states {
            call = call.query("state", state);
        }
        if let Some(plan) = &filter.plan {
            call = call.query("plan", plan);
        }
        for label in &filter.labels {
            call = call.query("label", label);
        }
        self.json(paged(call, filter.limit, filter.after.as_deref())).await
    }

    /// One run.
    pub async fn run(&self, run: RunId) -> Result<Run, ClientError> {
        self.json(Call::get(format!("/v1/runs/{run}"))).await
    }

    /// Waits on the server until the run has ended or `at_most` (a minute at the most) has passed, and
    /// gives the run as it is then.
    pub async fn wait(&self, run: RunId, at_most: Duration) -> Result<Run, ClientError> {
        let mut call = Call::get(format!("/v1/runs/{run}/wait")).query("timeout", at_most.as_secs_f64());
        call.patience += at_most;
        self.json(call).await
    }

    /// A page of the run's steps, in the plan's order.
    pub async fn steps_page(
        &self,
        run: RunId,
        limit: Option<u32>,
        after: Option<&str>,
    ) -> Result<Page<Step>, ClientError> {
        self.json(paged(Call::get(format!("/v1/runs/{run}/steps")), limit, after)).await
    }

    /// All steps of the run, in the plan's order.
    pub async fn steps(&self, run: RunId) -> Result<Vec<Step>, ClientError> {
        let mut steps = Vec::new();
        let mut after: Option<String> = None;
        loop {
            let page = self.steps_page(run, None, after.as_deref()).await?;
            let empty = page.items.is_empty();
            steps.extend(page.items);
            match page.next {
                Some(next) if !empty => after = Some(next),
                _ => return Ok(steps),
            }
        }
    }

    /// A page of the run's history: what follows event `after`.
    pub async fn events_page(&self, run: RunId, after: Seq, limit: Option<u32>) -> Result<Page<Event>, ClientError> {
        let call = Call::get(format!("/v1/runs/{run}/events")).header("accept", "application/json");
        self.json(paged(call, limit, Some(&after.to_string()))).await
    }

    /// A page of what a step printed while it was claimed; `after` is `DISPATCH:OFFSET`.
    pub async fn logs_page(
        &self,
        run: RunId,
        step: &StepPath,
        after: Option<&str>,
    ) -> Result<Page<LogPiece>, ClientError> {
        let mut path = format!("/v1/runs/{run}/steps/");
        escape(step.as_str(), &mut path);
        self.json(paged(Call::get(path + "/logs"), None, after)).await
    }

    /// What the run waits for.
    pub async fn explain(&self, run: RunId) -> Result<Explanation, ClientError> {
        self.json(Call::get(format!("/v1/runs/{run}/explain"))).await
    }

    /// Asks the run to end. Calls in flight are told, and report what really happened.
    pub async fn cancel(&self, run: RunId, reason: &str) -> Result<Applied, ClientError> {
        self.command(run, "cancel", &json!({ "reason": reason })).await
    }

    /// Runs steps of an ended run again.
    pub async fn retry(&self, run: RunId, from: &RetryFrom) -> Result<Applied, ClientError> {
        let body = match from {
            RetryFrom::Failed => json!({}),
            RetryFrom::Step(step) => json!({ "step": step }),
        };
        self.command(run, "retry", &body).await
    }

    /// Settles a step whose outcome nobody knew.
    pub async fn resolve(&self, run: RunId, step: &StepPath, how: &ResolveAs) -> Result<Applied, ClientError> {
        let body = match how {
            ResolveAs::Done(output) => json!({ "step": step, "resolve": "done", "output": output }),
            ResolveAs::Failed(message) => json!({ "step": step, "resolve": "failed", "message": message }),
            ResolveAs::Retry => json!({ "step": step, "resolve": "retry" }),
        };
        self.command(run, "resolve", &body).await
    }

    async fn command(&self, run: RunId, verb: &str, body: &Value) -> Result<Applied, ClientError> {
        let call = Call::post(format!("/v1/runs/{run}/{verb}"), body);
        let name = call.name();
        let (_, bytes) = self.call(call).await?;
        Applied::parse(&bytes).map_err(|e| self.protocol(name, e.to_string()))
    }
}

fn paged(mut call: Call, limit: Option<u32>, after: Option<&str>) -> Call {
    if let Some(limit) = limit {
        call = call.query("limit", limit);
    }
    if let Some(after) = after {
        call = call.query("after", after);
    }
    call
}
