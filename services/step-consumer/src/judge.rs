//! The gate at the start of a step: its owner has judged it already; it is judged again only when the
//! policy has changed since, and may only become stricter.

use aidt_domain::{Budget, Decision, ErrorCode, Project, RunId, StepMessage, Verdict, canonical_json};
use aidt_policy::{ActivePolicy, Ask, Bundle, Judge};
use aidt_store::{Kind, Store, StoreError};
use serde::Deserialize;
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::sync::Arc;

/// What a policy is told of a run, beside what the step's message says.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Context {
    plan: String,
    labels: BTreeMap<String, String>,
    permissions: Option<Vec<String>>,
    budget: Budget,
}

/// The part of a snapshot that judging needs.
#[derive(Deserialize)]
struct Ceiling {
    #[serde(default)]
    permissions: Option<Vec<String>>,
}

/// Reads what a policy is told of a run. Two reads, and only after the policy has changed.
pub(crate) async fn read_context(store: &Store, project: &Project, run: RunId) -> Result<Context, StoreError> {
    const OPERATION: &str = "judge again";
    let row = store.history.run(project, run).await?;
    let row = row.ok_or_else(|| StoreError::new(OPERATION, Kind::NotFound, format!("no run {run}")))?;
    let documents = store.catalog.documents(&[row.snapshot]).await?;
    let snapshot = documents.first().map_or(&[][..], |bytes| bytes);
    let Ceiling { permissions } =
        serde_json::from_slice(snapshot).map_err(|e| StoreError::new(OPERATION, Kind::Corrupt, e))?;
    Ok(Context { plan: row.plan, labels: row.labels, permissions, budget: row.budget })
}

/// What judging again came to.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Again {
    /// Still allowed.
    Allowed {
        /// Of both decisions: a JSON object, RFC 8785.
        obligations: Arc<str>,
    },
    /// Not any more, or only if a person says so.
    Refused(Decision),
}

/// Judges steps again.
#[derive(Debug)]
pub(crate) struct Gate {
    active: Arc<ActivePolicy>,
    judge: Judge,
    environment: String,
    none: Arc<str>,
}

impl Gate {
    pub(crate) fn new(active: Arc<ActivePolicy>, environment: String) -> Self {
        let judge = Judge::new(active.current());
        Self { active, judge, environment, none: Arc::from("{}") }
    }

    /// The policy in force.
    pub(crate) fn current(&self) -> Arc<Bundle> {
        self.active.current()
    }

    /// The obligations of the decision on record.
    pub(crate) fn obligations(&self, step: &StepMessage) -> Arc<str> {
        match step.decision.obligations.is_empty() {
            true => Arc::clone(&self.none),
            false => text(&step.decision.obligations),
        }
    }

    pub(crate) fn again(&mut self, step: &StepMessage, context: &Context) -> Again {
        self.judge.follow(&self.active);
        let id = format!("{}-again", step.decision.id);
        let mut decision = self.judge.judge(&ask(step, context, &id, &self.environment)).decision;
        match decision.verdict {
            Verdict::Allow => {
                let mut both = step.decision.obligations.clone();
                both.extend(decision.obligations);
                Again::Allowed { obligations: text(&both) }
            }
            Verdict::Deny | Verdict::Escalate => Again::Refused(decision),
            // Other arguments than those on record would need a decision on record of their own.
            Verdict::Transform => {
                decision.verdict = Verdict::Deny;
                decision.reasons.push("the policy has changed and would now change the arguments".to_owned());
                Again::Refused(decision)
            }
        }
    }

    /// It cannot be judged again: fail closed.
    pub(crate) fn blind(&self, step: &StepMessage, why: &StoreError) -> Decision {
        Decision {
            id: format!("{}-again", step.decision.id),
            verdict: Verdict::Deny,
            reasons: vec![format!("{}: the run cannot be read to judge it again: {why}", ErrorCode::Denied)],
            revision: self.current().revision().to_owned(),
            ..step.decision.clone()
        }
    }
}

fn ask<'a>(step: &'a StepMessage, context: &'a Context, id: &'a str, environment: &'a str) -> Ask<'a> {
    Ask {
        id,
        project: &step.project,
        run: step.run,
        plan: &context.plan,
        run_labels: &context.labels,
        step: &step.path,
        dispatch: step.dispatch,
        attempt: step.attempt,
        generation: step.generation,
        call: 0,
        subject: &step.subject,
        capability: &step.decision.capability,
        tool: &step.tool,
        entry: step.entry,
        effect: step.effect,
        min_sandbox: &step.min_sandbox,
        sandbox: None,
        permissions: context.permissions.as_deref(),
        arguments: &step.arguments,
        labels: &step.labels,
        environment,
        budget: context.budget,
        traceparent: step.traceparent.as_deref(),
    }
}

fn text(obligations: &Map<String, Value>) -> Arc<str> {
    String::from_utf8(canonical_json(obligations)).expect("JSON is UTF-8").into()
}
