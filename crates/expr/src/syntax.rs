//! Pieces of syntax trees: what our chains look like, and what is put around loops.

use crate::functions::ORDERED;
use crate::meter::tick_name;
use crate::selector::{Link, ROOTS};
use cel::IdedExpr;
use cel::common::ast::{CallExpr, ComprehensionExpr, Expr, LiteralValue, operators};

/// The links of a chain that begins with one of our roots, if that is all that an expression is.
pub(crate) fn chain(e: &IdedExpr) -> Option<(&'static str, Vec<Link>)> {
    let mut links = Vec::new();
    let mut here = e;
    let root = loop {
        match &here.expr {
            Expr::Ident(name) => break ROOTS.into_iter().find(|root| root == name)?,
            Expr::Select(select) if !select.test => {
                links.push(Link::Key(select.field.clone()));
                here = &select.operand;
            }
            Expr::Call(call) if call.func_name == operators::INDEX && call.target.is_none() => {
                let [operand, index] = call.args.as_slice() else {
                    return None;
                };
                links.push(literal_link(index)?);
                here = operand;
            }
            _ => return None,
        }
    };
    links.reverse();
    Some((root, links))
}

fn literal_link(index: &IdedExpr) -> Option<Link> {
    match &index.expr {
        Expr::Literal(LiteralValue::String(key)) => Some(Link::Key(key.inner().to_owned())),
        Expr::Literal(LiteralValue::Int(i)) => u64::try_from(*i.inner()).ok().map(Link::Index),
        _ => None,
    }
}

pub(crate) fn is_operator(name: &str) -> bool {
    name.starts_with('_') || matches!(name, operators::LOGICAL_NOT | operators::NEGATE)
}

fn call(func_name: &str, args: Vec<IdedExpr>) -> Expr {
    Expr::Call(CallExpr { func_name: func_name.to_owned(), target: None, args })
}

/// Maps have no order in the interpreter: go through their sorted keys.
pub(crate) fn ordered(range: IdedExpr) -> IdedExpr {
    match &range.expr {
        Expr::List(_) => range,
        _ => IdedExpr { id: range.id, expr: call(ORDERED, vec![range]) },
    }
}

/// Makes each pass read the tick, in a place where an error ends the loop, and without spoiling the
/// shapes of `map` and `filter` that the interpreter runs in place.
pub(crate) fn add_tick(c: &mut ComprehensionExpr, cost: usize) {
    let guard = |e: &mut IdedExpr, otherwise: LiteralValue| {
        let inner = std::mem::take(e);
        let tick = IdedExpr { id: inner.id, expr: Expr::Ident(tick_name(cost)) };
        let stop = IdedExpr { id: inner.id, expr: Expr::Literal(otherwise) };
        *e = IdedExpr { id: inner.id, expr: call(operators::CONDITIONAL, vec![tick, inner, stop]) };
    };
    let no = || LiteralValue::Boolean(false.into());
    if matches!(c.loop_cond.expr, Expr::Literal(_))
        && let Expr::Call(step) = &mut c.loop_step.expr
    {
        match (step.func_name.as_str(), step.args.as_mut_slice()) {
            (operators::CONDITIONAL, [condition, ..]) => return guard(condition, no()),
            (operators::ADD, [_, added]) => {
                if let Expr::List(list) = &mut added.expr
                    && let [element] = list.elements.as_mut_slice()
                {
                    return guard(element, LiteralValue::Null);
                }
            }
            _ => {}
        }
    }
    guard(&mut c.loop_cond, no());
}
