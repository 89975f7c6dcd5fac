//! Judging.

use crate::input::Inputs;
use crate::verdict::{Answer, Misread, Reader};
use crate::{ActivePolicy, Ask, Bundle, ceiling, json};
use aidt_domain::{Decision, Verdict};
use regorus::Value;
use regorus::rvm::RegoVM;
use std::fmt;
use std::sync::Arc;

/// A decision that takes more instructions is a deny: some milliseconds. No wall clock decides a verdict.
pub const MAX_INSTRUCTIONS: usize = 100_000;

/// What the gate says, and what it makes of the arguments.
#[derive(Clone, Debug, PartialEq)]
pub struct Judgement {
    /// To be put on record before the capability is used.
    pub decision: Decision,
    /// The arguments (RFC 8785) in place of those that were asked about. Also under an escalate: what a
    /// person approves is what would run.
    pub arguments: Option<Vec<u8>>,
}

/// Judges by one bundle, on one thread: it keeps the policy's machine and the inputs' templates.
pub struct Judge {
    bundle: Arc<Bundle>,
    machine: RegoVM,
    inputs: Inputs,
    reader: Reader,
}

impl Judge {
    /// Judges by this bundle.
    #[must_use]
    pub fn new(bundle: Arc<Bundle>) -> Self {
        let machine = bundle.machine(MAX_INSTRUCTIONS);
        Self { bundle, machine, inputs: Inputs::new(), reader: Reader::new() }
    }

    /// Takes up the policy in force, if it is another one.
    pub fn follow(&mut self, active: &ActivePolicy) {
        let bundle = active.current();
        if !Arc::ptr_eq(&bundle, &self.bundle) {
            self.machine = bundle.machine(MAX_INSTRUCTIONS);
            self.bundle = bundle;
        }
    }

    /// The revision that judges.
    #[must_use]
    pub fn revision(&self) -> &str {
        self.bundle.revision()
    }

    /// Judges. Whatever goes wrong is a deny that says what.
    pub fn judge(&mut self, ask: &Ask<'_>) -> Judgement {
        let answer = match ceiling::refusal(ask) {
            Some(reason) => Err(reason),
            None => self.settle(ask),
        };
        let Answer { verdict, mut reasons, warnings, obligations, arguments } = answer.unwrap_or_else(deny);
        if verdict == Verdict::Deny && reasons.is_empty() {
            reasons.push("the policy denies it and gives no reason".to_owned());
        }
        let decision = Decision {
            id: ask.id.to_owned(),
            capability: ask.capability.to_owned(),
            verdict,
            reasons,
            warnings,
            obligations,
            revision: self.bundle.revision().to_owned(),
        };
        Judgement { decision, arguments }
    }

    /// The policy's input for this question, as JSON.
    pub fn input(&mut self, ask: &Ask<'_>) -> Result<serde_json::Value, serde_json::Error> {
        let arguments = json::read(ask.arguments)?;
        json::tree(self.inputs.fill(ask, arguments))
    }

    /// Asks the policy, and of transformed arguments once more: it may not change its own result again.
    fn settle(&mut self, ask: &Ask<'_>) -> Result<Answer, Misread> {
        let mut first = self.ask_policy(ask)?;
        let Some(arguments) = &first.arguments else { return Ok(first) };
        if *arguments == ask.arguments {
            first.verdict = Verdict::Allow;
            first.arguments = None;
            return Ok(first);
        }
        let mut second = self.ask_policy(&Ask { arguments, ..*ask })?;
        if let Some(again) = second.arguments.take() {
            if again != *arguments {
                return Err("the policy transforms what it transformed again".to_owned());
            }
            second.verdict = Verdict::Allow;
        }
        Ok(second.after(first))
    }

    fn ask_policy(&mut self, ask: &Ask<'_>) -> Result<Answer, Misread> {
        let arguments = json::read(ask.arguments).map_err(|e| format!("the arguments cannot be judged: {e}"))?;
        self.machine.set_input(self.inputs.fill(ask, arguments).clone());
        let answer = self.machine.execute_entry_point_by_index(0);
        // The input is changed in place for the next question, which only works while nobody else holds it.
        self.machine.set_input(Value::Null);
        self.reader.read(&answer.map_err(|e| format!("the policy failed: {e}"))?)
    }
}

fn deny(reason: Misread) -> Answer {
    Answer {
        verdict: Verdict::Deny,
        reasons: vec![reason],
        warnings: Vec::new(),
        obligations: serde_json::Map::new(),
        arguments: None,
    }
}

impl fmt::Debug for Judge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Judge").field("bundle", &self.bundle).finish_non_exhaustive()
    }
}
