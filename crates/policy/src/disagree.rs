//! Refusing rules whose definitions may disagree.
//!
//! In Rego it is an error when two definitions of a rule hold with different values. The machine instead
//! takes the rule for undefined, and a deny that asks it would not hold: so whether they can disagree is
//! asked when the bundle is loaded.

use crate::{BundleError, source};
use regorus::CompiledPolicy;
use regorus::rvm::Program;
use regorus::rvm::program::{RuleInfo, RuleType};
use regorus::unstable::{Expr, Ref, Rule, RuleHead};

pub(crate) fn check(program: &Program, policy: &CompiledPolicy) -> Result<(), BundleError> {
    program.rule_infos.iter().filter(|rule| has_several_values(rule)).try_for_each(|rule| {
        let definitions = policy.get_rules().get(&rule.name).map_or(&[][..], Vec::as_slice);
        for (at, second) in definitions.iter().enumerate() {
            if !definitions[..at].iter().all(|first| exclude_each_other(first, second)) {
                return Err(BundleError::Refused { place: source::place_of(second), message: WHY.to_owned() });
            }
        }
        Ok(())
    })
}

const WHY: &str =
    "this definition may hold together with another one of another value: write them as one rule with `else`";

fn has_several_values(rule: &RuleInfo) -> bool {
    rule.rule_type == RuleType::Complete && rule.definitions.len() > 1 && !rule.early_exit_on_first_success
}

/// Two definitions of a function never hold together when they ask for different literals in one place.
fn exclude_each_other(first: &Rule, second: &Rule) -> bool {
    arguments(first).iter().zip(arguments(second)).any(|(a, b)| match (literal(a), literal(b)) {
        (Some(a), Some(b)) => a != b,
        _ => false,
    })
}

fn arguments(rule: &Rule) -> &[Ref<Expr>] {
    match rule {
        Rule::Spec { head: RuleHead::Func { args, .. }, .. } => args,
        _ => &[],
    }
}

fn literal(expr: &Expr) -> Option<&regorus::Value> {
    match expr {
        Expr::String { value, .. }
        | Expr::RawString { value, .. }
        | Expr::Number { value, .. }
        | Expr::Bool { value, .. }
        | Expr::Null { value, .. } => Some(value),
        _ => None,
    }
}
