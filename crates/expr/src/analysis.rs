//! Turns a parsed expression into one that is safe to evaluate: chains into single names, loops into
//! metered ones, calls into known ones. What it finds on the way is what the expression refers to.

use crate::error::{ExprErrorKind, Trouble};
use crate::functions::{ADD, FUNCTIONS, NAMESPACES, REPLACED, TYPES};
use crate::limits::{COMPREHENSION_NESTING, DEPTH, NODES};
use crate::meter::Cost;
use crate::selector::{Link, ROOTS, Selector};
use crate::syntax::{add_tick, chain, is_operator, ordered};
use cel::IdedExpr;
use cel::common::ast::{CallExpr, ComprehensionExpr, EntryExpr, Expr, LiteralValue, MapExpr, SelectExpr, operators};

/// Compiling a pattern costs about this many nodes.
const PATTERN_UNITS: u64 = 500;
/// The variable of the loop without passes by which macros bind a name.
const BOUND: &str = "#unused";

/// An expression, rewritten, and what it reads.
#[derive(Clone, Debug)]
pub(crate) struct Analysed {
    pub(crate) expr: IdedExpr,
    /// `@r0`, `@r1`, … stand for these.
    pub(crate) selectors: Vec<Selector>,
    /// `@t1`, `@t2`, … cost this; the first is for what is outside of loops.
    pub(crate) costs: Vec<Cost>,
    /// It calls `always()`, `success()` or `failure()`.
    pub(crate) asks_status: bool,
}

/// The name by which the rewritten expression reads a selector.
pub(crate) fn selector_name(index: usize) -> String {
    format!("@r{index}")
}

/// `@success` and `@failure` stand for the functions.
pub(crate) const SUCCESS: &str = "@success";
/// See [`SUCCESS`].
pub(crate) const FAILURE: &str = "@failure";

/// Checks and rewrites; `condition`: the status functions may be called.
pub(crate) fn analyse(expr: IdedExpr, condition: bool) -> Result<Analysed, Trouble> {
    let mut analyser = Analyser { condition, costs: vec![Cost::default()], ..Analyser::default() };
    let expr = analyser.expr(expr, false)?;
    Ok(Analysed { expr, selectors: analyser.selectors, costs: analyser.costs, asks_status: analyser.asks_status })
}

/// A variable of a loop.
struct Variable {
    name: String,
    /// The cost of the loop's body.
    frame: usize,
    /// The selectors that its values may come from.
    sources: Vec<usize>,
}

#[derive(Default)]
struct Analyser {
    condition: bool,
    asks_status: bool,
    selectors: Vec<Selector>,
    costs: Vec<Cost>,
    /// The cost that nodes are now counted in.
    frame: usize,
    variables: Vec<Variable>,
    nesting: usize,
    depth: usize,
    nodes: usize,
    /// Every selector read so far, directly or through a variable.
    mentions: Vec<usize>,
}

type Rewritten = Result<IdedExpr, Trouble>;

impl Analyser {
    /// `cheap`: whoever uses the value looks into it and does not walk it.
    fn expr(&mut self, e: IdedExpr, cheap: bool) -> Rewritten {
        self.nodes += 1;
        self.costs[self.frame].units += 1;
        if self.nodes > NODES || self.depth >= DEPTH {
            let message = format!("it is larger than {NODES} nodes or deeper than {DEPTH}");
            return Err(Trouble::new(ExprErrorKind::Limit, message));
        }
        self.depth += 1;
        let rewritten = self.node(e, cheap);
        self.depth -= 1;
        rewritten
    }

    fn node(&mut self, e: IdedExpr, cheap: bool) -> Rewritten {
        if let Some((root, links)) = chain(&e) {
            return self.selector(e.id, root, links, false, cheap);
        }
        let expr = match e.expr {
            Expr::Unspecified => {
                return Err(Trouble::new(ExprErrorKind::Syntax, "a part is missing"));
            }
            Expr::Literal(literal) => Expr::Literal(literal),
            Expr::Ident(name) => self.ident(name, cheap)?,
            Expr::Select(select) => return self.select(e.id, select),
            Expr::Call(call) => self.call(call)?,
            Expr::List(mut list) => {
                list.elements = self.all(list.elements)?;
                Expr::List(list)
            }
            Expr::Map(map) => Expr::Map(self.map(map)?),
            Expr::Struct(_) => {
                let message = "typed messages do not exist here: write a map, {'key': value}";
                return Err(Trouble::new(ExprErrorKind::UnknownName, message));
            }
            Expr::Comprehension(comprehension) => self.comprehension(*comprehension)?,
        };
        Ok(IdedExpr { id: e.id, expr })
    }

    fn all(&mut self, exprs: Vec<IdedExpr>) -> Result<Vec<IdedExpr>, Trouble> {
        exprs.into_iter().map(|e| self.expr(e, false)).collect()
    }

    fn selector(&mut self, id: u64, root: &str, links: Vec<Link>, test: bool, cheap: bool) -> Rewritten {
        let selector = Selector::new(root, links, test)?;
        let index = match self.selectors.iter().position(|known| *known == selector) {
            Some(index) => index,
            None => {
                self.selectors.push(selector);
                self.selectors.len() - 1
            }
        };
        self.mentions.push(index);
        if !cheap {
            self.costs[self.frame].values.push(index);
        }
        Ok(IdedExpr { id, expr: Expr::Ident(selector_name(index)) })
    }

    fn ident(&mut self, name: String, cheap: bool) -> Result<Expr, Trouble> {
        if name.starts_with('@') || TYPES.contains(&name.as_str()) {
            return Ok(Expr::Ident(name));
        }
        let Some(variable) = self.variables.iter().rev().find(|v| v.name == name) else {
            let known = ROOTS.into_iter().chain(self.variables.iter().map(|v| v.name.as_str()));
            let message = format!(
                "there is no '{name}' here: names are inputs, steps and run (a name with a dash is written \
                 inputs['a-b'], steps['a-b'])"
            );
            return Err(Trouble::unknown(ExprErrorKind::UnknownName, message, &name, known));
        };
        self.mentions.extend(&variable.sources);
        if !cheap && variable.frame != self.frame {
            self.costs[self.frame].values.extend(&variable.sources);
        }
        Ok(Expr::Ident(name))
    }

    fn select(&mut self, id: u64, select: SelectExpr) -> Rewritten {
        if select.test
            && let Some((root, mut links)) = chain(&select.operand)
        {
            links.push(Link::Key(select.field));
            return self.selector(id, root, links, true, true);
        }
        let operand = Box::new(self.expr(*select.operand, true)?);
        Ok(IdedExpr { id, expr: Expr::Select(SelectExpr { operand, ..select }) })
    }

    fn map(&mut self, map: MapExpr) -> Result<MapExpr, Trouble> {
        let mut entries = Vec::with_capacity(map.entries.len());
        for mut entry in map.entries {
            if let EntryExpr::MapEntry(e) = &mut entry.expr {
                e.key = self.expr(std::mem::take(&mut e.key), false)?;
                e.value = self.expr(std::mem::take(&mut e.value), false)?;
            }
            entries.push(entry);
        }
        Ok(MapExpr { entries })
    }

    fn call(&mut self, mut call: CallExpr) -> Result<Expr, Trouble> {
        if let Some(status) = self.status(&call)? {
            return Ok(status);
        }
        let name = self.function_name(&call);
        if !is_operator(&name) && !name.contains('@') && !FUNCTIONS.contains(&name.as_str()) {
            let message = format!("there is no function '{name}'");
            let known = FUNCTIONS.iter().copied();
            return Err(Trouble::unknown(ExprErrorKind::UnknownFunction, message, &name, known));
        }
        if name == "matches" {
            self.pattern(&call)?;
        }
        let appends = matches!(call.args.first(), Some(e) if matches!(&e.expr, Expr::Ident(n) if n.starts_with('@')));
        if name == operators::ADD && !appends {
            ADD.clone_into(&mut call.func_name);
        }
        if let Some((_, ours)) = REPLACED.iter().find(|(theirs, _)| *theirs == name) {
            (*ours).clone_into(&mut call.func_name);
        }
        let looks_in = matches!(name.as_str(), operators::INDEX | "size");
        call.target = match call.target {
            Some(_) if name.starts_with("lists.range") => None,
            Some(target) if name.contains('.') => Some(target),
            Some(target) => Some(Box::new(self.expr(*target, looks_in)?)),
            None => None,
        };
        let mut args = Vec::with_capacity(call.args.len());
        for (i, arg) in call.args.into_iter().enumerate() {
            args.push(self.expr(arg, looks_in && i == 0)?);
        }
        call.args = args;
        Ok(Expr::Call(call))
    }

    /// `math.abs` for a call of `abs` on the name `math`.
    fn function_name(&self, call: &CallExpr) -> String {
        if let Some(target) = &call.target
            && let Expr::Ident(space) = &target.expr
            && NAMESPACES.contains(&space.as_str())
        {
            return format!("{space}.{}", call.func_name);
        }
        call.func_name.clone()
    }

    fn status(&mut self, call: &CallExpr) -> Result<Option<Expr>, Trouble> {
        let name = call.func_name.as_str();
        if call.target.is_some() || !matches!(name, "always" | "success" | "failure") {
            return Ok(None);
        }
        if !self.condition || !call.args.is_empty() {
            let message = format!("{name}() takes no argument and belongs in a step's 'if'");
            return Err(Trouble::new(ExprErrorKind::UnknownFunction, message));
        }
        self.asks_status = true;
        Ok(Some(match name {
            "always" => Expr::Literal(LiteralValue::Boolean(true.into())),
            "success" => Expr::Ident(SUCCESS.to_owned()),
            _ => Expr::Ident(FAILURE.to_owned()),
        }))
    }

    fn pattern(&mut self, call: &CallExpr) -> Result<(), Trouble> {
        self.costs[self.frame].units += PATTERN_UNITS;
        match call.args.last().map(|arg| &arg.expr) {
            Some(Expr::Literal(LiteralValue::String(_))) => Ok(()),
            _ => Err(Trouble::new(ExprErrorKind::Limit, "the pattern of matches() must be a literal string")),
        }
    }

    fn comprehension(&mut self, mut c: ComprehensionExpr) -> Result<Expr, Trouble> {
        let bound = c.iter_var == BOUND;
        self.nesting += usize::from(!bound);
        if self.nesting > COMPREHENSION_NESTING {
            let message =
                format!("map, filter, all, exists may stand in one another {COMPREHENSION_NESTING} deep at most");
            return Err(Trouble::new(ExprErrorKind::Limit, message));
        }
        check_variable(&c.iter_var)?;
        let mark = self.mentions.len();
        c.iter_range = ordered(self.expr(c.iter_range, false)?);
        let mut sources = self.mentions[mark..].to_vec();
        sources.sort_unstable();
        sources.dedup();
        c.accu_init = self.expr(c.accu_init, false)?;

        let outer = std::mem::replace(&mut self.frame, self.costs.len());
        self.costs.push(Cost::default());
        self.variables.push(Variable { name: c.iter_var.clone(), frame: self.frame, sources });
        c.loop_cond = self.expr(c.loop_cond, false)?;
        c.loop_step = self.expr(c.loop_step, false)?;
        c.result = self.expr(c.result, false)?;
        add_tick(&mut c, self.frame);
        self.variables.pop();
        self.frame = outer;
        self.nesting -= usize::from(!bound);
        Ok(Expr::Comprehension(Box::new(c)))
    }
}

fn check_variable(name: &str) -> Result<(), Trouble> {
    if ROOTS.contains(&name) || NAMESPACES.contains(&name) {
        let message = format!("a variable may not be called '{name}'");
        return Err(Trouble::new(ExprErrorKind::UnknownName, message));
    }
    Ok(())
}
