//! The policy's input: AuthZEN's subject, action, resource and context.
//!
//! Building it costs more than judging, so one is kept per (plan, subject, tool) and what differs from the
//! question before is changed in place.

use crate::Ask;
use aidt_domain::{Budget, Digest, Labels, Project, RunId};
use regorus::Value;
use std::collections::{BTreeMap, HashMap};
use std::hash::{DefaultHasher, Hash, Hasher};

/// How many templates are kept; when there are more, all are made anew.
const CAPACITY: usize = 512;

/// The kept templates.
pub(crate) struct Inputs {
    templates: HashMap<u64, Template>,
    keys: Keys,
}

impl Inputs {
    pub(crate) fn new() -> Self {
        Self { templates: HashMap::new(), keys: Keys::new() }
    }

    /// The input for a question. Drop every clone of it before the next one, or it is copied.
    pub(crate) fn fill(&mut self, ask: &Ask<'_>, arguments: Value) -> &Value {
        if self.templates.len() >= CAPACITY {
            self.templates.clear();
        }
        let template = self.templates.entry(fingerprint(ask)).or_insert_with(|| Template::new(ask));
        if !template.fits(ask) {
            *template = Template::new(ask);
        }
        template.fill(ask, arguments, &self.keys);
        &template.input
    }
}

fn fingerprint(ask: &Ask<'_>) -> u64 {
    let mut hasher = DefaultHasher::new();
    (ask.project, ask.plan, ask.subject, ask.entry, ask.tool).hash(&mut hasher);
    hasher.finish()
}

/// The names of what is changed in place, made once.
struct Keys {
    context: Value,
    run: Value,
    id: Value,
    labels: Value,
    step: Value,
    path: Value,
    dispatch: Value,
    attempt: Value,
    generation: Value,
    call: Value,
    tool: Value,
    arguments: Value,
    permissions: Value,
    provenance: Value,
    budget: Value,
    trace: Value,
}

impl Keys {
    fn new() -> Self {
        Self {
            context: "context".into(),
            run: "run".into(),
            id: "id".into(),
            labels: "labels".into(),
            step: "step".into(),
            path: "path".into(),
            dispatch: "dispatch".into(),
            attempt: "attempt".into(),
            generation: "generation".into(),
            call: "call".into(),
            tool: "tool".into(),
            arguments: "arguments".into(),
            permissions: "permissions".into(),
            provenance: "provenance".into(),
            budget: "budget".into(),
            trace: "trace".into(),
        }
    }
}

/// An input, and what of it need not be changed while the questions are alike.
struct Template {
    input: Value,
    same: Same,
    last: Last,
}

/// What is alike in all questions of a template.
struct Same {
    project: Project,
    plan: String,
    subject: String,
    capability: String,
    tool: String,
    entry: Digest,
    effect: &'static str,
    min_sandbox: String,
    sandbox: Option<String>,
    environment: String,
}

/// What the question before had, where making it again costs more than comparing.
#[derive(Default)]
struct Last {
    run: Option<RunId>,
    run_labels: Option<BTreeMap<String, String>>,
    permissions: Option<Option<Vec<String>>>,
    provenance: Option<Labels>,
    budget: Option<Budget>,
}

impl Template {
    fn new(ask: &Ask<'_>) -> Self {
        let same = Same {
            project: ask.project.clone(),
            plan: ask.plan.to_owned(),
            subject: ask.subject.to_owned(),
            capability: ask.capability.to_owned(),
            tool: ask.tool.to_owned(),
            entry: ask.entry,
            effect: ask.effect.as_str(),
            min_sandbox: ask.min_sandbox.to_owned(),
            sandbox: ask.sandbox.map(str::to_owned),
            environment: ask.environment.to_owned(),
        };
        Self { input: same.input(), same, last: Last::default() }
    }

    fn fits(&self, ask: &Ask<'_>) -> bool {
        let same = &self.same;
        same.project == *ask.project
            && same.plan == ask.plan
            && same.subject == ask.subject
            && same.capability == ask.capability
            && same.tool == ask.tool
            && same.entry == ask.entry
            && same.effect == ask.effect.as_str()
            && same.min_sandbox == ask.min_sandbox
            && same.sandbox.as_deref() == ask.sandbox
            && same.environment == ask.environment
    }

    fn fill(&mut self, ask: &Ask<'_>, arguments: Value, keys: &Keys) {
        let context = field(&mut self.input, &keys.context);
        let last = &mut self.last;
        if last.run.replace(ask.run) != Some(ask.run) {
            *field(field(context, &keys.run), &keys.id) = text(&ask.run.to_string());
        }
        if last.run_labels.as_ref() != Some(ask.run_labels) {
            *field(field(context, &keys.run), &keys.labels) = texts_by_name(ask.run_labels);
            last.run_labels = Some(ask.run_labels.clone());
        }
        if last.permissions.as_ref().map(Option::as_deref) != Some(ask.permissions) {
            *field(context, &keys.permissions) = ask.permissions.map_or(Value::Null, |p| texts(p.iter()));
            last.permissions = Some(ask.permissions.map(<[String]>::to_vec));
        }
        if last.provenance.as_ref() != Some(ask.labels) {
            *field(context, &keys.provenance) = texts(ask.labels.iter());
            last.provenance = Some(ask.labels.clone());
        }
        if last.budget.replace(ask.budget) != Some(ask.budget) {
            *field(context, &keys.budget) = budget(ask.budget);
        }
        let step = field(context, &keys.step);
        *field(step, &keys.path) = text(ask.step.as_str());
        *field(step, &keys.dispatch) = Value::from(ask.dispatch.0);
        *field(step, &keys.attempt) = Value::from(ask.attempt.0);
        *field(step, &keys.generation) = Value::from(ask.generation.0);
        *field(step, &keys.call) = Value::from(ask.call);
        *field(context, &keys.trace) = ask.traceparent.map_or(Value::Null, text);
        *field(field(context, &keys.tool), &keys.arguments) = arguments;
    }
}

impl Same {
    /// The input with everything in its place; what differs between questions is null.
    fn input(&self) -> Value {
        let nulls = |names: &[&str]| object(names.iter().map(|name| (*name, Value::Null)));
        let kind_and_id = |kind, id: &str| object([("type", text(kind)), ("id", text(id))]);
        let tool = object([
            ("name", text(&self.tool)),
            ("entry", text(&self.entry.to_string())),
            ("effect", text(self.effect)),
            ("min_sandbox", text(&self.min_sandbox)),
            ("arguments", Value::Null),
        ]);
        let context = object([
            ("project", text(self.project.as_str())),
            ("plan", object([("name", text(&self.plan))])),
            ("run", nulls(&["id", "labels"])),
            ("step", nulls(&["path", "dispatch", "attempt", "generation", "call"])),
            ("tool", tool),
            ("permissions", Value::Null),
            ("provenance", Value::Null),
            ("budget", Value::Null),
            ("environment", text(&self.environment)),
            ("sandbox", self.sandbox.as_deref().map_or(Value::Null, text)),
            ("trace", Value::Null),
        ]);
        object([
            ("subject", kind_and_id("user", &self.subject)),
            ("action", object([("name", text(&self.capability))])),
            ("resource", kind_and_id("tool", &self.tool)),
            ("context", context),
        ])
    }
}

fn budget(budget: Budget) -> Value {
    object([
        ("tokens_reserved", Value::from(budget.tokens_reserved)),
        ("tokens_used", Value::from(budget.tokens_used)),
        ("cost_reserved", Value::from(budget.cost_reserved)),
        ("cost_used", Value::from(budget.cost_used)),
        ("calls_reserved", Value::from(budget.calls_reserved)),
        ("calls_used", Value::from(budget.calls_used)),
    ])
}

fn field<'a>(object: &'a mut Value, key: &Value) -> &'a mut Value {
    object
        .as_object_mut()
        .ok()
        .and_then(|object| object.get_mut(key))
        .expect("a template has every field that is changed in it")
}

fn text(text: &str) -> Value {
    Value::from(text)
}

fn texts<T: AsRef<str>>(texts: impl Iterator<Item = T>) -> Value {
    Value::from(texts.map(|t| text(t.as_ref())).collect::<Vec<_>>())
}

fn texts_by_name(texts: &BTreeMap<String, String>) -> Value {
    object(texts.iter().map(|(name, value)| (name.as_str(), text(value))))
}

fn object<'a>(fields: impl IntoIterator<Item = (&'a str, Value)>) -> Value {
    Value::from(fields.into_iter().map(|(name, value)| (text(name), value)).collect::<BTreeMap<_, _>>())
}
