//! A question that owns what it asks about.

use aidt_domain::*;
use aidt_policy::{Ask, Bundle, BundleError, Judge, Judgement, Module};
use std::collections::BTreeMap;
use std::sync::Arc;
use uuid::Uuid;

#[derive(Clone, Debug)]
pub(crate) struct Question {
    pub(crate) project: Project,
    pub(crate) run: RunId,
    pub(crate) plan: String,
    pub(crate) run_labels: BTreeMap<String, String>,
    pub(crate) step: StepPath,
    pub(crate) dispatch: u32,
    pub(crate) subject: String,
    pub(crate) capability: String,
    pub(crate) tool: String,
    pub(crate) effect: Effect,
    pub(crate) sandbox: Option<String>,
    pub(crate) permissions: Option<Vec<String>>,
    pub(crate) arguments: String,
    pub(crate) labels: Labels,
    pub(crate) budget: Budget,
    pub(crate) traceparent: Option<String>,
}

impl Question {
    pub(crate) fn of(capability: &str, tool: &str, arguments: &str) -> Self {
        Self {
            project: Project::default(),
            run: RunId(Uuid::from_u128(1)),
            plan: "release-notes".into(),
            run_labels: BTreeMap::from([("team".into(), "platform".into())]),
            step: StepPath::new("write").unwrap(),
            dispatch: 1,
            subject: "local".into(),
            capability: capability.into(),
            tool: tool.into(),
            effect: Effect::Idempotent,
            sandbox: None,
            permissions: None,
            arguments: arguments.into(),
            labels: ["repo", "user"].into_iter().collect(),
            budget: Budget::default(),
            traceparent: None,
        }
    }

    pub(crate) fn write() -> Self {
        Self::of("repo.write", "repo.write", r#"{"content":"x","path":"NOTES.md"}"#)
    }

    pub(crate) fn permissions(mut self, permissions: &[&str]) -> Self {
        self.permissions = Some(permissions.iter().map(|p| (*p).to_owned()).collect());
        self
    }

    pub(crate) fn labels(mut self, labels: &[&str]) -> Self {
        self.labels = labels.iter().copied().collect();
        self
    }

    pub(crate) fn step(mut self, path: &str) -> Self {
        self.step = StepPath::new(path).unwrap();
        self
    }

    pub(crate) fn borrow(&self) -> Ask<'_> {
        Ask {
            id: "dec_1",
            project: &self.project,
            run: self.run,
            plan: &self.plan,
            run_labels: &self.run_labels,
            step: &self.step,
            dispatch: DispatchNo(self.dispatch),
            attempt: Attempt(1),
            generation: Generation(1),
            call: 0,
            subject: &self.subject,
            capability: &self.capability,
            tool: &self.tool,
            entry: Digest::of(self.tool.as_bytes()),
            effect: self.effect,
            min_sandbox: "none",
            sandbox: self.sandbox.as_deref(),
            permissions: self.permissions.as_deref(),
            arguments: self.arguments.as_bytes(),
            labels: &self.labels,
            environment: "embedded",
            budget: self.budget,
            traceparent: self.traceparent.as_deref(),
        }
    }

    pub(crate) fn judged_by(&self, bundle: &Arc<Bundle>) -> Judgement {
        Judge::new(Arc::clone(bundle)).judge(&self.borrow())
    }

    pub(crate) fn verdict(&self, bundle: &Arc<Bundle>) -> Verdict {
        self.judged_by(bundle).decision.verdict
    }
}

/// A bundle of one module.
pub(crate) fn bundle(source: &str) -> Result<Arc<Bundle>, BundleError> {
    bundle_with(source, None)
}

pub(crate) fn bundle_with(source: &str, data: Option<serde_json::Value>) -> Result<Arc<Bundle>, BundleError> {
    Bundle::from_modules(vec![Module { name: "main.rego".into(), source: source.into() }], data)
}

/// A bundle of these rules, beneath a default deny.
pub(crate) fn rules(rules: &str) -> Arc<Bundle> {
    bundle(&format!("package aidt.authz\ndefault decision := {{\"verdict\": \"deny\"}}\n{rules}")).unwrap()
}
