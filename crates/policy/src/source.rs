//! Finding the place of an error in a bundle's modules.

use crate::{BundleError, Place};
use regorus::unstable::{Module, Ref, Rule, RuleHead};

/// The error of a message of the engine's, which begins with the place when there is one:
///
/// ```text
/// --> main.rego:3:5
///   |
/// 3 | …
///   |     ^
/// error: what is wrong
/// ```
pub(crate) fn refused(message: &str, modules: &[Ref<Module>]) -> BundleError {
    match placed(message) {
        Some((module, line, column, text)) => BundleError::Refused {
            place: Place { module: module.to_owned(), line, column, rule: rule_at(modules, module, line) },
            message: text.trim().to_owned(),
        },
        None => BundleError::Compile(message.trim().to_owned()),
    }
}

fn placed(message: &str) -> Option<(&str, u32, u32, &str)> {
    let (_, rest) = message.split_once("--> ")?;
    let (place, rest) = rest.split_once('\n')?;
    let mut parts = place.rsplitn(3, ':');
    let (column, line) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
    let (_, text) = rest.split_once("error: ")?;
    Some((parts.next()?, line, column, text))
}

/// The place of the first call of a function.
pub(crate) fn call_of(function: &str, modules: &[Ref<Module>]) -> Option<Place> {
    let call = format!("{function}(");
    modules.iter().find_map(|module| {
        let source = &module.package.span.source;
        let (line, column) = (1..).zip(source.get_contents().lines()).find_map(|(line, text)| {
            let code = text.split('#').next().unwrap_or_default();
            Some((line, code.find(&call)?))
        })?;
        let name = source.get_path().clone();
        let column = u32::try_from(column).unwrap_or(u32::MAX).saturating_add(1);
        Some(Place { rule: rule_at(modules, &name, line), module: name, line, column })
    })
}

/// The place of a rule.
pub(crate) fn place_of(rule: &Rule) -> Place {
    let span = rule.span();
    Place {
        module: span.source.get_path().clone(),
        line: span.line,
        column: span.col,
        rule: Some(name(rule).to_owned()),
    }
}

/// The rule that a line is in: the last one that begins at or above it.
fn rule_at(modules: &[Ref<Module>], module: &str, line: u32) -> Option<String> {
    let module = modules.iter().find(|m| m.package.span.source.get_path() == module)?;
    let rule = module.policy.iter().filter(|rule| rule.span().line <= line).max_by_key(|rule| rule.span().line)?;
    Some(name(rule).to_owned())
}

fn name(rule: &Rule) -> &str {
    let refr = match rule {
        Rule::Default { refr, .. } => refr,
        Rule::Spec { head, .. } => match head {
            RuleHead::Compr { refr, .. } | RuleHead::Set { refr, .. } | RuleHead::Func { refr, .. } => refr,
        },
    };
    refr.span().text()
}
