//! Selector chains: `inputs.repo`, `steps.log.output.commits[0].subject`, `run.id`.

use crate::error::{ExprErrorKind, Trouble};
use crate::{Output, References, Scope};
use aidt_domain::StepState;
use serde_json::{Value, json};
use std::borrow::Cow;

/// The names that a chain may begin with.
pub(crate) const ROOTS: [&str; 3] = ["inputs", "steps", "run"];
const FACETS: [&str; 3] = ["output", "state", "error"];
const RUN_FACTS: [&str; 3] = ["id", "project", "plan"];

/// One link of a chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Link {
    /// `.name` or `['name']`.
    Key(String),
    /// `[3]`
    Index(u64),
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Root {
    Inputs,
    Output(String),
    State(String),
    Error(String),
    Run(&'static str),
}

/// A chain that is known to be one of a plan's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Selector {
    root: Root,
    links: Vec<Link>,
    /// `has(…)` of the chain.
    test: bool,
}

impl Selector {
    /// From the links of a chain; `test` when it stands in `has()`.
    pub(crate) fn new(root: &str, links: Vec<Link>, test: bool) -> Result<Self, Trouble> {
        let (root, links) = match root {
            "inputs" => (Root::Inputs, links),
            "steps" => step_root(links)?,
            _ => run_root(links)?,
        };
        if matches!((&root, links.first()), (Root::Inputs, Some(Link::Index(_)))) {
            return Err(Trouble::new(ExprErrorKind::UnknownName, "inputs are named, not numbered"));
        }
        Ok(Self { root, links, test })
    }

    pub(crate) fn note(&self, references: &mut References) {
        match &self.root {
            Root::Inputs => match self.links.first() {
                Some(Link::Key(name)) => _ = references.inputs.insert(name.clone()),
                _ => references.all_inputs = true,
            },
            Root::Output(id) => {
                references.outputs.insert(id.clone());
                references.steps.insert(id.clone());
            }
            Root::State(id) | Root::Error(id) => _ = references.steps.insert(id.clone()),
            Root::Run(_) => references.run = true,
        }
    }

    /// The value in a scope. `whole`: it is passed on as it is, so it may be a claimed output.
    pub(crate) fn resolve<'s>(&self, scope: &'s Scope, whole: bool) -> Result<Cow<'s, Value>, Trouble> {
        match &self.root {
            Root::Inputs => self.resolve_input(scope),
            Root::Output(id) => self.resolve_output(id, scope, whole),
            Root::State(id) => Ok(Cow::Owned(state(id, scope)?.as_str().into())),
            Root::Error(id) => self.resolve_error(id, scope),
            Root::Run(fact) => {
                let run = scope.run();
                let text = match *fact {
                    "id" => &run.id,
                    "project" => &run.project,
                    _ => &run.plan,
                };
                Ok(Cow::Owned(text.as_str().into()))
            }
        }
    }

    fn resolve_input<'s>(&self, scope: &'s Scope) -> Result<Cow<'s, Value>, Trouble> {
        if let ([Link::Key(name)], false) | ([Link::Key(name), ..], _) = (self.links.as_slice(), self.test)
            && scope.inputs().get(name).is_none()
        {
            let message = format!(
                "the input '{name}' was not given and has no default (has(inputs.{name}) tells whether it is there)"
            );
            return match self.test && self.links.len() == 1 {
                true => Ok(Cow::Owned(false.into())),
                false => Err(Trouble::new(ExprErrorKind::Missing, message)),
            };
        }
        self.walk(scope.inputs(), &|| "inputs".to_owned())
    }

    fn resolve_output<'s>(&self, id: &str, scope: &'s Scope, whole: bool) -> Result<Cow<'s, Value>, Trouble> {
        let Some(facts) = scope.step(id) else {
            return Err(not_in_scope(id));
        };
        if self.test && self.links.is_empty() {
            return Ok(Cow::Owned(facts.output.is_some().into()));
        }
        match &facts.output {
            Some(Output::Value(value)) => self.walk(value, &|| format!("steps.{id}.output")),
            Some(Output::Claimed(reference)) if whole && self.links.is_empty() => Ok(Cow::Borrowed(reference)),
            Some(Output::Claimed(_)) => Err(Trouble::new(
                ExprErrorKind::Limit,
                format!("the output of step '{id}' is over 256 KiB: it can be passed whole, not looked into"),
            )),
            None => {
                Err(Trouble::new(ExprErrorKind::Missing, format!("step '{id}' has no output: it is {}", facts.state)))
            }
        }
    }

    fn resolve_error<'s>(&self, id: &str, scope: &'s Scope) -> Result<Cow<'s, Value>, Trouble> {
        let Some(facts) = scope.step(id) else {
            return Err(not_in_scope(id));
        };
        if self.test && self.links.is_empty() {
            return Ok(Cow::Owned(facts.error.is_some().into()));
        }
        let Some(error) = &facts.error else {
            let message = format!("step '{id}' has no error: it is {}", facts.state);
            return Err(Trouble::new(ExprErrorKind::Missing, message));
        };
        let value = json!({ "code": error.code, "message": error.message });
        let found = self.walk(&value, &|| format!("steps.{id}.error"))?;
        Ok(Cow::Owned(found.into_owned()))
    }

    /// Follows the links into a value, with CEL's rules: a key of a map, an index of a list, and
    /// nothing else.
    fn walk<'s>(&self, value: &'s Value, name: &dyn Fn() -> String) -> Result<Cow<'s, Value>, Trouble> {
        let mut here = value;
        for (i, link) in self.links.iter().enumerate() {
            let last = i + 1 == self.links.len();
            here = match (here, link) {
                (Value::Object(map), Link::Key(key)) if self.test && last => {
                    return Ok(Cow::Owned(map.contains_key(key).into()));
                }
                (Value::Object(map), Link::Key(key)) => map.get(key),
                (Value::Array(list), Link::Index(i)) => usize::try_from(*i).ok().and_then(|i| list.get(i)),
                _ => None,
            }
            .ok_or_else(|| missing(&self.shown(name(), i), here, link))?;
        }
        Ok(Cow::Borrowed(here))
    }

    /// The chain up to its `count`th link, as it would be written.
    fn shown(&self, mut name: String, count: usize) -> String {
        for link in &self.links[..count] {
            match link {
                Link::Key(key) => name.push_str(&format!(".{key}")),
                Link::Index(i) => name.push_str(&format!("[{i}]")),
            }
        }
        name
    }
}

fn step_root(mut links: Vec<Link>) -> Result<(Root, Vec<Link>), Trouble> {
    let unknown = |message: String| Trouble::new(ExprErrorKind::UnknownName, message);
    let facet = if links.len() > 1 { links.remove(1) } else { Link::Index(0) };
    let Some(Link::Key(id)) = (if links.is_empty() { None } else { Some(links.remove(0)) }) else {
        return Err(unknown("'steps' is not a value: name a step, as in steps.ID.output".to_owned()));
    };
    let Link::Key(facet) = facet else {
        return Err(unknown(format!(
            "'steps.{id}' is not a value: write steps.{id}.output, .state or .error (an id with a dash \
             is written steps['{id}-…'])"
        )));
    };
    match facet.as_str() {
        "output" => Ok((Root::Output(id), links)),
        "state" if links.is_empty() => Ok((Root::State(id), links)),
        "state" => Err(unknown(format!("steps.{id}.state is text: it has no parts"))),
        "error" => error_root(id, links),
        _ => Err(Trouble::unknown(
            ExprErrorKind::UnknownName,
            format!("a step has output, state and error, and no '{facet}'"),
            &facet,
            FACETS,
        )),
    }
}

fn error_root(id: String, links: Vec<Link>) -> Result<(Root, Vec<Link>), Trouble> {
    match links.as_slice() {
        [] => Ok((Root::Error(id), links)),
        [Link::Key(key)] if matches!(key.as_str(), "code" | "message") => Ok((Root::Error(id), links)),
        _ => Err(Trouble::new(ExprErrorKind::UnknownName, format!("steps.{id}.error has code and message"))),
    }
}

fn run_root(links: Vec<Link>) -> Result<(Root, Vec<Link>), Trouble> {
    let known = match links.as_slice() {
        [Link::Key(key)] => RUN_FACTS.into_iter().find(|fact| fact == key),
        _ => None,
    };
    let Some(fact) = known else {
        let found = if let Some(Link::Key(key)) = links.first() { key.as_str() } else { "" };
        let message = "'run' has id, project and plan, which are texts";
        return Err(Trouble::unknown(ExprErrorKind::UnknownName, message, found, RUN_FACTS));
    };
    Ok((Root::Run(fact), Vec::new()))
}

fn state(id: &str, scope: &Scope) -> Result<StepState, Trouble> {
    scope.step(id).map(|facts| facts.state).ok_or_else(|| not_in_scope(id))
}

fn not_in_scope(id: &str) -> Trouble {
    Trouble::new(ExprErrorKind::Missing, format!("there is no step '{id}' that ends before this one"))
}

/// Says why a link leads nowhere, without showing values.
fn missing(chain: &str, value: &Value, link: &Link) -> Trouble {
    const SHOWN: usize = 8;
    let message = match (value, link) {
        (Value::Object(map), Link::Key(key)) => {
            let mut keys: Vec<&str> = map.keys().map(String::as_str).collect();
            keys.sort_unstable();
            let more = if keys.len() > SHOWN { ", …" } else { "" };
            let has = match keys.is_empty() {
                true => "nothing".to_owned(),
                false => keys[..keys.len().min(SHOWN)].join(", "),
            };
            let message = format!("{chain} has no '{key}' (it has {has}{more})");
            return Trouble::unknown(ExprErrorKind::Missing, message, key, keys);
        }
        (Value::Array(list), Link::Index(i)) => {
            format!("{chain}[{i}] is beyond the end of the list, which has {} elements", list.len())
        }
        (other, Link::Key(key)) => format!("{chain} is {}, and has no '{key}'", kind_of(other)),
        (other, Link::Index(i)) => format!("{chain} is {}, and has no [{i}]", kind_of(other)),
    };
    Trouble::new(ExprErrorKind::Missing, message)
}

/// A word for the type of a value.
pub(crate) fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "text",
        Value::Array(_) => "a list",
        Value::Object(_) => "a map",
    }
}
