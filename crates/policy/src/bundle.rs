//! A policy, compiled and checked.

use crate::{BundleError, Place, disagree, json, load, source};
use aidt_domain::Digest;
use regorus::languages::rego::compiler::Compiler;
use regorus::rvm::{Program, RegoVM};
use regorus::{Engine, Rc};
use serde_json::{Map, Value};
use std::fmt;
use std::path::Path;
use std::sync::Arc;

/// The rule that a policy answers by.
pub const ENTRY_POINT: &str = "data.aidt.authz.decision";

/// What would make a decision depend on more than the question. The engine knows some of these and not the
/// others; `http.send` it would even answer with nothing.
const IMPURE: [&str; 6] =
    ["http.send", "net.lookup_ip_addr", "opa.runtime", "rand.intn", "time.now_ns", "uuid.rfc4122"];

const SHIPPED: [(&str, &str); 1] = [("main.rego", include_str!("../../../policies/main.rego"))];

/// A file of Rego.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Module {
    /// Its name, for errors: a path below the bundle's directory.
    pub name: String,
    /// Its text.
    pub source: String,
}

/// A policy that can judge. Cheap to share; each thread judges by a [`crate::Judge`] of its own.
pub struct Bundle {
    revision: String,
    modules: Vec<Module>,
    program: Arc<Program>,
    data: regorus::Value,
}

impl Bundle {
    /// Compiles modules, with `data` (a JSON object) under `data`. Refuses what would be misjudged later:
    /// see [`BundleError`].
    pub fn from_modules(mut modules: Vec<Module>, data: Option<Value>) -> Result<Arc<Self>, BundleError> {
        modules.sort_by(|a, b| a.name.cmp(&b.name));
        let data = data.unwrap_or_else(|| Value::Object(Map::new()));
        let revision = revision(&modules, &data);
        let not_an_object = |source| BundleError::Data { path: "data".to_owned(), source };
        if !data.is_object() {
            return Err(not_an_object(None));
        }
        let data = json::value(&data).map_err(|e| not_an_object(Some(e)))?;
        let program = compile(&modules, &data)?;
        Ok(Arc::new(Self { revision, modules, program, data }))
    }

    /// A directory that is a whole policy: its `.rego` files but `_test.rego`, and its `data.json`.
    pub fn load_dir(dir: &Path) -> Result<Arc<Self>, BundleError> {
        let (modules, data) = load::read_dir(dir)?;
        Self::from_modules(modules, Some(Value::Object(data)))
    }

    /// The shipped policy with a directory laid over it: what the directory has is added, a file of the same
    /// name replaces the shipped one.
    pub fn overlay_dir(dir: &Path) -> Result<Arc<Self>, BundleError> {
        let (mut modules, data) = load::read_dir(dir)?;
        let mut shipped = shipped();
        shipped.retain(|module| modules.iter().all(|own| own.name != module.name));
        modules.append(&mut shipped);
        Self::from_modules(modules, Some(Value::Object(data)))
    }

    /// The policy that aidt comes with (`policies/`).
    #[must_use]
    pub fn shipped() -> Arc<Self> {
        Self::from_modules(shipped(), None).expect("the shipped policy compiles, as its tests show")
    }

    /// Digest of its contents: `sha256:…`.
    #[must_use]
    pub fn revision(&self) -> &str {
        &self.revision
    }

    /// Its modules, by name.
    #[must_use]
    pub fn modules(&self) -> &[Module] {
        &self.modules
    }

    /// A machine that runs it.
    pub(crate) fn machine(&self, max_instructions: usize) -> RegoVM {
        let mut machine = RegoVM::new();
        machine.set_max_instructions(max_instructions);
        machine.load_program(Arc::clone(&self.program));
        machine.set_data(self.data.clone()).expect("the data was set once when the bundle was compiled");
        machine
    }
}

impl fmt::Debug for Bundle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bundle").field("revision", &self.revision).finish_non_exhaustive()
    }
}

fn shipped() -> Vec<Module> {
    SHIPPED.map(|(name, source)| Module { name: name.to_owned(), source: source.to_owned() }).into()
}

fn revision(modules: &[Module], data: &Value) -> String {
    let sources: Vec<_> = modules.iter().map(|module| (&module.name, &module.source)).collect();
    Digest::of_json(&(sources, data)).to_string()
}

fn compile(modules: &[Module], data: &regorus::Value) -> Result<Arc<Program>, BundleError> {
    let mut engine = Engine::new();
    for module in modules {
        engine
            .add_policy(module.name.clone(), module.source.clone())
            .map_err(|e| source::refused(&e.to_string(), &[]))?;
    }
    let parsed = engine.get_modules().clone();
    let policy = engine
        .compile_with_entrypoint(&Rc::from(ENTRY_POINT))
        .map_err(|e| missing_or_refused(&e.to_string(), &parsed))?;
    let program = Compiler::compile_from_policy(&policy, &[ENTRY_POINT])
        .map_err(|e| missing_or_refused(&e.to_string(), &parsed))?;
    check_pure(&program, &parsed)?;
    disagree::check(&program, &policy)?;
    let has_default = |rule: &regorus::rvm::program::RuleInfo| rule.default_literal_index.is_some();
    if !program.rule_infos.iter().any(|rule| rule.name == ENTRY_POINT && has_default(rule)) {
        return Err(BundleError::NoDefault);
    }
    let mut trial = RegoVM::new();
    trial.load_program(Arc::clone(&program));
    trial.set_data(data.clone()).map_err(|e| BundleError::Conflict(e.to_string()))?;
    Ok(program)
}

type Parsed = regorus::unstable::Ref<regorus::unstable::Module>;

/// What the compiler says; but what it does not know because it is impure, and that the entry point is not
/// there at all, is said in our words.
fn missing_or_refused(message: &str, modules: &[Parsed]) -> BundleError {
    if message.contains("not a valid rule path") {
        return BundleError::NoDefault;
    }
    let unknown = IMPURE.iter().find(|function| message.contains(**function));
    match unknown.and_then(|function| source::call_of(function, modules)) {
        Some(place) => impure(place),
        None => source::refused(message, modules),
    }
}

fn check_pure(program: &Program, modules: &[Parsed]) -> Result<(), BundleError> {
    let used = program.builtin_info_table.iter().find(|builtin| IMPURE.contains(&builtin.name.as_str()));
    let Some(builtin) = used else { return Ok(()) };
    match source::call_of(&builtin.name, modules) {
        Some(place) => Err(impure(place)),
        None => Err(BundleError::Compile(format!("{} is used: {WHY_PURE}", builtin.name))),
    }
}

const WHY_PURE: &str = "a decision may depend on nothing but its input and the bundle's data";

fn impure(place: Place) -> BundleError {
    BundleError::Refused { place, message: WHY_PURE.to_owned() }
}
