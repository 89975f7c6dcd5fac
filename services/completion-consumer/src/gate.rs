//! Renders what the engine wants dispatched, and has it judged. Pure over what is loaded, except for the
//! loading itself.

use crate::cache::{Cached, Kept};
use crate::owner::Owner;
use crate::turn::TurnFailed;
use aidt_domain::{
    Claim, DispatchNo, ErrorCode, Failure, Judged, Labels, MAX_INLINE_BYTES, OutputRef, RunId, StepIx, StepPath,
    canonical_json,
};
use aidt_expr::{ExprError, Needs, Output, References, Scope, StepFacts};
use aidt_policy::{ActivePolicy, Ask, Judge};
use bytes::Bytes;
use serde_json::Value;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use uuid::Uuid;

/// The judge of this owner: one kept machine, replaced when the active policy changes.
pub(crate) struct Gate {
    policy: Arc<ActivePolicy>,
    judge: Judge,
    environment: String,
}

impl Gate {
    pub(crate) fn new(policy: &Arc<ActivePolicy>, environment: String) -> Self {
        Self { policy: Arc::clone(policy), judge: Judge::new(policy.current()), environment }
    }

    /// Renders a ready step's arguments and judges them with the active policy.
    pub(crate) fn judge(&mut self, cached: &Cached, ix: StepIx) -> Result<Box<Judged>, Failure> {
        let (arguments, labels) = arguments(cached, ix)?;
        self.judge.follow(&self.policy);
        let run = &cached.run;
        let (row, spec) = (run.step(ix), run.graph.spec(ix));
        let entry = spec.kind.tool().expect("only tool steps enter a backlog");
        let digest = run.graph.entry_digest(ix).expect("a tool step has an entry");
        let dispatch = row.dispatch.next();
        let judgement = self.judge.judge(&Ask {
            id: &decision_id(run.row.id, &row.path, dispatch),
            project: &run.row.project,
            run: run.row.id,
            plan: &run.row.plan,
            run_labels: &run.row.labels,
            step: &row.path,
            dispatch,
            attempt: row.attempt,
            generation: row.generation,
            call: 0,
            subject: &run.row.submitted_by,
            capability: &entry.capability,
            tool: &entry.name,
            entry: digest,
            effect: entry.effect,
            min_sandbox: &entry.min_sandbox,
            sandbox: None,
            permissions: run.graph.snapshot().permissions.as_deref(),
            arguments: &arguments,
            labels: &labels,
            environment: &self.environment,
            budget: run.row.budget,
            traceparent: run.row.traceparent.as_deref(),
        });
        let arguments = judgement.arguments.map_or(arguments, Bytes::from);
        Ok(Box::new(Judged { decision: judgement.decision, arguments, labels }))
    }
}

/// A panic in what renders or judges is the step's failure, not the owner's.
pub(crate) fn guarded<T>(work: impl FnOnce() -> Result<T, Failure>) -> Result<T, Failure> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| {
        let what = panic.downcast_ref::<String>().map(String::as_str).or(panic.downcast_ref::<&str>().copied());
        let message = format!("rendering or judging failed: {}", what.unwrap_or("a panic"));
        Err(Failure::fatal(ErrorCode::Internal, message))
    })
}

/// The same dispatch judged again has the same decision.
fn decision_id(run: RunId, path: &StepPath, dispatch: DispatchNo) -> String {
    let id = Uuid::new_v5(&run.0, format!("decision\n{path}\n{dispatch}\n0").as_bytes());
    format!("dec_{}", id.simple())
}

/// What a step's condition says.
pub(crate) fn condition(cached: &Cached, ix: StepIx) -> Result<bool, Failure> {
    let Some(condition) = &cached.plan.when[ix.0 as usize] else { return Ok(true) };
    let spec = cached.run.graph.spec(ix);
    let needs =
        Needs::of(spec.needs.iter().map(|&n| (cached.run.state(n), cached.run.graph.spec(n).continue_on_error)));
    let scope = scope(cached, &[condition.references()]).with_needs(needs);
    let (wanted, _) = condition.eval(&scope).map_err(|e| failed("if", &e))?;
    Ok(wanted)
}

/// The run's outputs, as JSON bytes, with their provenance.
pub(crate) fn outputs(cached: &Cached) -> (Result<Bytes, Failure>, Labels) {
    let references: Vec<&References> = cached.plan.outputs.iter().map(|(_, t)| t.references()).collect();
    let scope = scope(cached, &references);
    let mut values = serde_json::Map::new();
    let mut labels = Labels::NONE;
    for (name, template) in &cached.plan.outputs {
        match template.render(&scope) {
            Ok(rendered) => {
                labels.extend(&rendered.labels);
                values.insert(name.clone(), rendered.value);
            }
            Err(error) => return (Err(failed(&format!("outputs.{name}"), &error)), labels),
        }
    }
    (within_limit("the run's outputs", canonical_json(&values)), labels)
}

fn arguments(cached: &Cached, ix: StepIx) -> Result<(Bytes, Labels), Failure> {
    let i = ix.0 as usize;
    let template = &cached.plan.with[i];
    let condition = cached.plan.when[i].as_ref().map(aidt_expr::Condition::references);
    let mut references = vec![template.references()];
    references.extend(condition);
    let scope = scope(cached, &references);
    let mut rendered = template.render(&scope).map_err(|e| failed("with", &e))?;
    if let Some(condition) = condition {
        rendered.labels.extend(&scope.labels(condition));
    }
    // A tool's arguments are an object; a step without `with` has none.
    let value = if rendered.value.is_null() { Value::Object(serde_json::Map::new()) } else { rendered.value };
    Ok((within_limit("the step's arguments", canonical_json(&value))?, rendered.labels))
}

fn within_limit(what: &str, bytes: Vec<u8>) -> Result<Bytes, Failure> {
    if bytes.len() > MAX_INLINE_BYTES {
        let message = format!("{what} have {} bytes; the limit is {MAX_INLINE_BYTES}", bytes.len());
        return Err(Failure::fatal(ErrorCode::TooLarge, message));
    }
    Ok(bytes.into())
}

fn failed(place: &str, error: &ExprError) -> Failure {
    Failure::fatal(ErrorCode::ExpressionFailed, format!("{place}: {error}"))
}

/// What these references may see of the run.
fn scope(cached: &Cached, references: &[&References]) -> Scope {
    let nothing = || (Arc::new(Value::Null), Arc::new(Labels::NONE));
    let (inputs, labels) =
        cached.inputs.as_ref().map_or_else(nothing, |k| (Arc::clone(&k.value), Arc::clone(&k.labels)));
    let mut scope = Scope::new(Arc::clone(&cached.facts), inputs, labels);
    for id in references.iter().flat_map(|r| &r.steps) {
        if let Some(ix) = find(cached, id) {
            scope = scope.with_step(id.clone(), facts(cached, ix));
        }
    }
    scope
}

fn find(cached: &Cached, id: &str) -> Option<StepIx> {
    cached.run.graph.find(&StepPath::new(id).ok()?)
}

fn facts(cached: &Cached, ix: StepIx) -> StepFacts {
    let row = cached.run.step(ix);
    let kept = cached.outputs.get(&ix);
    let stored = || Arc::new(row.output.as_ref().map(|o| o.labels.clone()).unwrap_or_default());
    StepFacts {
        state: row.state,
        output: kept.map(|k| match Claim::of(&k.value, &k.labels) {
            Some(_) => Output::Claimed(Arc::clone(&k.value)),
            None => Output::Value(Arc::clone(&k.value)),
        }),
        error: row.error.clone().map(Arc::new),
        labels: kept.map_or_else(stored, |k| Arc::clone(&k.labels)),
    }
}

impl Owner {
    /// Loads what these will read and what is not in memory: inputs and outputs, in one query. `None`
    /// stands for the run's outputs; `conditions` says whether a step's condition or its arguments are
    /// meant.
    pub(crate) async fn fetch(
        &mut self,
        asked: &[(RunId, Option<StepIx>)],
        conditions: bool,
    ) -> Result<(), TurnFailed> {
        let mut places: Vec<(RunId, Option<StepIx>, OutputRef)> = Vec::new();
        for &(run, ix) in asked {
            if let Some(cached) = self.cache.peek(run) {
                missing(cached, run, ix, conditions, &mut places);
            }
        }
        if places.is_empty() {
            return Ok(());
        }
        let at: Vec<_> = places.iter().map(|(run, _, at)| (*run, at.clone())).collect();
        let log = self.ports.store.run_log.clone();
        let loaded = match aidt_telemetry::timed("payloads", log.payloads(&at)).await {
            Ok(loaded) => loaded,
            Err(source) => {
                // Whose value it is that cannot be read shows one by one.
                for one in at.iter().filter(|_| !source.is_transient()) {
                    if let Err(error) = log.payloads(std::slice::from_ref(one)).await
                        && !error.is_transient()
                    {
                        self.condemn(one.0, error.to_string());
                    }
                }
                return Err(TurnFailed { what: "loading values", source });
            }
        };
        for ((run, ix, at), bytes) in places.into_iter().zip(loaded) {
            let Some(cached) = self.cache.get(run) else { continue };
            // What is stored was JSON when it was stored; if it is not any more, its reader says so.
            let value = Arc::new(serde_json::from_slice(&bytes).unwrap_or(Value::Null));
            let kept = Kept { value, labels: Arc::new(at.labels), len: bytes.len() };
            match ix {
                Some(ix) => drop(cached.outputs.insert(ix, kept)),
                None => cached.inputs = Some(kept),
            }
        }
        Ok(())
    }
}

fn missing(
    cached: &Cached,
    run: RunId,
    ix: Option<StepIx>,
    conditions: bool,
    places: &mut Vec<(RunId, Option<StepIx>, OutputRef)>,
) {
    let plan = &cached.plan;
    let references: Vec<&References> = match ix {
        Some(ix) if conditions => plan.when[ix.0 as usize].iter().map(|c| c.references()).collect(),
        Some(ix) => vec![plan.with[ix.0 as usize].references()],
        None => plan.outputs.iter().map(|(_, t)| t.references()).collect(),
    };
    for r in references {
        if let (true, None, Some(at)) = (r.reads_inputs(), &cached.inputs, &cached.run.row.inputs) {
            places.push((run, None, at.clone()));
        }
        for step in r.outputs.iter().filter_map(|id| find(cached, id)) {
            if let (false, Some(at)) = (cached.outputs.contains_key(&step), &cached.run.step(step).output) {
                places.push((run, Some(step), at.clone()));
            }
        }
    }
}
