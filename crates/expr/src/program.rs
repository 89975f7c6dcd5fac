//! One expression, compiled.

use crate::analysis::{Analysed, FAILURE, SUCCESS, analyse, selector_name};
use crate::convert::{from_cel, measure, to_cel, units};
use crate::error::{ExprError, ExprErrorKind, Trouble};
use crate::functions::environment;
use crate::limits::{ELEMENTS, SOURCE_BYTES, TOKENS, WORK};
use crate::meter::Meter;
use crate::selector::Selector;
use crate::simple::{self, Simple};
use crate::text::{escape_line_breaks, token_count};
use crate::{References, Scope};
use cel::common::types::CelBool;
use cel::{Context, ExecutionError, Value as Cel};
use serde_json::Value;
use std::borrow::Cow;
use std::sync::Arc;

/// How deep the parser may go.
const PARSER_DEPTH: u16 = 48;

/// One expression, compiled: the source of `${{ … }}`.
#[derive(Clone, Debug)]
pub(crate) struct Program {
    source: Arc<str>,
    kind: Kind,
}

#[derive(Clone, Debug)]
enum Kind {
    Literal(Value),
    Selector(Selector),
    Cel(Arc<Analysed>),
}

impl Program {
    /// `condition`: `always()`, `success()` and `failure()` may be called.
    pub(crate) fn compile(source: &str, condition: bool) -> Result<Self, ExprError> {
        let kind = match simple::parse(source) {
            Some(_) if source.len() > SOURCE_BYTES => Err(too_long()),
            Some(Simple::Literal(value)) => Ok(Kind::Literal(value)),
            Some(Simple::Chain(root, links)) => Selector::new(root, links, false).map(Kind::Selector),
            None => compile_cel(source, condition),
        };
        Ok(Self { source: source.trim().into(), kind: kind.map_err(|trouble| trouble.within(source))? })
    }

    pub(crate) fn note(&self, references: &mut References) {
        match &self.kind {
            Kind::Literal(_) => {}
            Kind::Selector(selector) => selector.note(references),
            Kind::Cel(cel) => cel.selectors.iter().for_each(|selector| selector.note(references)),
        }
    }

    /// It calls `always()`, `success()` or `failure()`.
    pub(crate) fn asks_status(&self) -> bool {
        matches!(&self.kind, Kind::Cel(cel) if cel.asks_status)
    }

    /// The value, if it is the same in every scope and needs no evaluation.
    pub(crate) fn literal(&self) -> Option<&Value> {
        if let Kind::Literal(value) = &self.kind { Some(value) } else { None }
    }

    /// `whole`: the value is passed on as it is, so it may be a claimed output.
    pub(crate) fn eval<'s>(&'s self, scope: &'s Scope, whole: bool) -> Result<Cow<'s, Value>, ExprError> {
        match &self.kind {
            Kind::Literal(value) => Ok(Cow::Borrowed(value)),
            Kind::Selector(selector) => selector.resolve(scope, whole),
            Kind::Cel(cel) => eval_cel(cel, scope).map(Cow::Owned),
        }
        .map_err(|trouble| trouble.within(&self.source))
    }

    /// An error of this expression.
    pub(crate) fn error(&self, trouble: Trouble) -> ExprError {
        trouble.within(&self.source)
    }
}

fn too_long() -> Trouble {
    Trouble::new(ExprErrorKind::Limit, format!("it is longer than {SOURCE_BYTES} bytes or {TOKENS} words and signs"))
}

fn compile_cel(source: &str, condition: bool) -> Result<Kind, Trouble> {
    if source.len() > SOURCE_BYTES || token_count(source) > TOKENS {
        return Err(too_long());
    }
    if source.trim().is_empty() {
        return Err(Trouble::new(ExprErrorKind::Syntax, "it is empty"));
    }
    let parser = environment().parser().max_recursion_depth(PARSER_DEPTH);
    let parsed = parser.parse(&escape_line_breaks(source)).map_err(|errors| syntax_trouble(&errors))?;
    Ok(Kind::Cel(Arc::new(analyse(parsed, condition)?)))
}

/// The first thing that the parser stumbled over, without the list of everything it would have liked.
fn syntax_trouble(errors: &cel::ParseErrors) -> Trouble {
    let Some(first) = errors.errors.first() else {
        return Trouble::new(ExprErrorKind::Syntax, "it is not CEL");
    };
    let line = first.msg.lines().next().unwrap_or_default().trim_start_matches("Syntax error: ");
    let stumble = line.split(" expecting ").next().unwrap_or_default();
    let message = match stumble.split('\'').nth(1) {
        _ if stumble.contains("<EOF>") => "it is not CEL: it ends too early".to_owned(),
        Some(found) if stumble.starts_with("mismatched") || stumble.starts_with("extraneous") => {
            format!("it is not CEL: '{found}' is not expected at its character {}", first.pos.1.max(1))
        }
        _ => {
            let stumble: String = stumble.chars().take(160).collect();
            format!("it is not CEL: {stumble} (at its character {})", first.pos.1.max(1))
        }
    };
    Trouble::new(ExprErrorKind::Syntax, message)
}

fn eval_cel(cel: &Analysed, scope: &Scope) -> Result<Value, Trouble> {
    let values: Vec<_> = cel.selectors.iter().map(|selector| selector.resolve(scope, false)).collect();
    let measures: Vec<_> = values.iter().map(|v| v.as_ref().map_or((0, 0), |v| measure(v))).collect();
    if measures.iter().map(|m| m.0).sum::<u64>() > ELEMENTS as u64 {
        let message = format!("what it reads has more than {ELEMENTS} elements");
        return Err(Trouble::new(ExprErrorKind::Limit, message));
    }
    let sizes: Vec<u64> = measures.into_iter().map(units).collect();
    let meter = Meter::new(&cel.costs, &sizes, WORK);
    let exhausted = || {
        let message = "it would take too much work: go through smaller values, or fewer at once";
        Trouble::new(ExprErrorKind::Limit, message)
    };
    if meter.exhausted() {
        return Err(exhausted());
    }
    let mut context = Context::with_env(environment());
    context.set_variable_resolver(&meter);
    for (i, value) in values.iter().enumerate() {
        if let Ok(value) = value {
            context.add_variable_as_val(selector_name(i), to_cel(value));
        }
    }
    if cel.asks_status {
        context.add_variable_as_val(SUCCESS, Box::new(CelBool::from(scope.needs().succeeded)));
        context.add_variable_as_val(FAILURE, Box::new(CelBool::from(scope.needs().failed)));
    }
    let result = Cel::resolve_val(&cel.expr, &context);
    if meter.exhausted() {
        return Err(exhausted());
    }
    match result {
        Ok(value) => from_cel(value.as_ref()),
        Err(e) => Err(explain(e, &values)),
    }
}

/// Says what went wrong without showing values, which may be large or private.
fn explain(e: ExecutionError, values: &[Result<Cow<'_, Value>, Trouble>]) -> Trouble {
    use ExecutionError as E;
    let message = match e {
        E::UndeclaredReference(name) => {
            let index = name.strip_prefix("@r").and_then(|index| index.parse::<usize>().ok());
            if let Some(Err(trouble)) = index.and_then(|index| values.get(index)) {
                return trouble.clone();
            }
            format!("there is no '{name}'")
        }
        E::NoSuchKey(key) => {
            return Trouble::new(ExprErrorKind::Missing, format!("there is no key '{key}'"));
        }
        E::IndexOutOfBounds(_) => {
            return Trouble::new(ExprErrorKind::Missing, "the index is beyond the end of the list");
        }
        E::NoSuchOverload(overload) => {
            let types = overload.argument_types().join(", ");
            format!("'{}' does not work on ({types})", operator(overload.function()))
        }
        E::UnsupportedBinaryOperator(name, left, right) => {
            let (left, right) = (left.type_of(), right.type_of());
            format!("'{}' does not work on ({left}, {right})", operator(name))
        }
        E::ValuesNotComparable(left, right) => {
            format!("{} and {} cannot be compared", left.type_of(), right.type_of())
        }
        E::UnexpectedType { got, want } => format!("it has {got} where {want} is needed"),
        E::FunctionError { function, message } => {
            format!("{function}(): {}", message.chars().take(160).collect::<String>())
        }
        E::InvalidArgumentCount { expected, actual } => {
            format!("{expected} arguments are needed, not {actual}")
        }
        E::DivisionByZero(_) | E::RemainderByZero(_) => "it divides by zero".to_owned(),
        E::Overflow(..) => "the result is beyond the range of numbers".to_owned(),
        E::DuplicateKey(_) => "a map has the same key twice".to_owned(),
        E::UnsupportedKeyType(_) => "a key of a map must be a string, a number or a bool".to_owned(),
        _ => "it could not be evaluated".to_owned(),
    };
    Trouble::new(ExprErrorKind::Evaluation, message)
}

/// `_+_` as it is written.
fn operator(name: &str) -> &str {
    match name {
        "add" => "+",
        "sub" => "-",
        "mul" => "*",
        "div" => "/",
        "rem" => "%",
        "_[_]" => "[]",
        "_._" => ".",
        other => other.trim_matches(['_', '@']),
    }
}
