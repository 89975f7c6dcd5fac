//! JSON with `${{ }}` in its texts.

use crate::convert::{append, check_whole_numbers};
use crate::error::{ExprError, ExprErrorKind, Trouble};
use crate::limits::VALUE_BYTES;
use crate::program::Program;
use crate::text::{Piece, pieces};
use crate::{References, Scope};
use aidt_domain::Labels;
use serde_json::{Map, Value};

/// A value with expressions in it, compiled once and rendered per step.
#[derive(Clone, Debug)]
pub struct Template {
    node: Node,
    references: References,
}

/// What a template gave.
#[derive(Clone, Debug, PartialEq)]
pub struct Rendered {
    /// The value.
    pub value: Value,
    /// The union of the labels of everything that the template refers to.
    pub labels: Labels,
}

#[derive(Clone, Debug)]
enum Node {
    /// Without expressions.
    Literal(Value),
    /// Exactly one expression: its value with its type.
    Whole(Program),
    /// Expressions within a text.
    Text(Vec<Part>),
    List(Vec<Node>),
    Map(Vec<(String, Node)>),
}

#[derive(Clone, Debug)]
enum Part {
    Text(String),
    Expression(Program),
}

impl Template {
    /// Compiles every text in a JSON tree.
    ///
    /// # Errors
    /// The first expression that is not valid; [`ExprError::at`] tells where it stands.
    pub fn compile(value: &Value) -> Result<Self, ExprError> {
        let mut references = References::default();
        let node = compile(value, &mut references)?;
        Ok(Self { node, references })
    }

    /// What it reads.
    #[must_use]
    pub fn references(&self) -> &References {
        &self.references
    }

    /// The value, if there is no expression in it.
    #[must_use]
    pub fn literal(&self) -> Option<&Value> {
        if let Node::Literal(value) = &self.node { Some(value) } else { None }
    }

    /// Fills it in.
    ///
    /// # Errors
    /// The first expression that could not be evaluated; [`ExprError::at`] tells where it stands.
    pub fn render(&self, scope: &Scope) -> Result<Rendered, ExprError> {
        Ok(Rendered { value: render(&self.node, scope)?, labels: scope.labels(&self.references) })
    }
}

fn compile(value: &Value, references: &mut References) -> Result<Node, ExprError> {
    match value {
        Value::String(text) if text.contains("${{") => compile_text(text, references),
        Value::Array(list) => {
            let nodes = list
                .iter()
                .enumerate()
                .map(|(i, element)| compile(element, references).map_err(|e| e.under(&format!("[{i}]"))));
            Ok(literal_list(nodes.collect::<Result<_, _>>()?))
        }
        Value::Object(map) => {
            let mut nodes = Vec::with_capacity(map.len());
            for (key, value) in map {
                if key.contains("${{") {
                    let message = "an expression cannot stand in a key";
                    return Err(ExprError::new(ExprErrorKind::Syntax, key, message));
                }
                let node = compile(value, references).map_err(|e| e.under(&format!(".{key}")))?;
                nodes.push((key.clone(), node));
            }
            Ok(literal_map(nodes))
        }
        scalar => {
            check_whole_numbers(scalar).map_err(|trouble| trouble.within(&scalar.to_string()))?;
            Ok(Node::Literal(scalar.clone()))
        }
    }
}

fn compile_text(text: &str, references: &mut References) -> Result<Node, ExprError> {
    let mut parts = Vec::new();
    for piece in pieces(text)? {
        parts.push(match piece {
            Piece::Text(text) => Part::Text(text.to_owned()),
            Piece::Expression(source, offset) => {
                let program = Program::compile(source, false).map_err(|e| e.at_offset(offset))?;
                program.note(references);
                if let Some(value) = program.literal() {
                    check_whole_numbers(value).map_err(|trouble| program.error(trouble).at_offset(offset))?;
                }
                Part::Expression(program)
            }
        });
    }
    if let [Part::Expression(_)] = parts.as_slice()
        && let Some(Part::Expression(program)) = parts.pop()
    {
        return Ok(Node::Whole(program));
    }
    Ok(Node::Text(parts))
}

/// A list of literals is a literal.
fn literal_list(nodes: Vec<Node>) -> Node {
    if nodes.iter().any(|node| !matches!(node, Node::Literal(_))) {
        return Node::List(nodes);
    }
    Node::Literal(Value::Array(nodes.into_iter().map(into_literal).collect()))
}

/// A map of literals is a literal.
fn literal_map(nodes: Vec<(String, Node)>) -> Node {
    if nodes.iter().any(|(_, node)| !matches!(node, Node::Literal(_))) {
        return Node::Map(nodes);
    }
    Node::Literal(Value::Object(nodes.into_iter().map(|(key, node)| (key, into_literal(node))).collect()))
}

fn into_literal(node: Node) -> Value {
    if let Node::Literal(value) = node { value } else { Value::Null }
}

fn render(node: &Node, scope: &Scope) -> Result<Value, ExprError> {
    match node {
        Node::Literal(value) => Ok(value.clone()),
        Node::Whole(program) => {
            let value = program.eval(scope, true)?;
            check_whole_numbers(&value).map_err(|trouble| program.error(trouble))?;
            Ok(value.into_owned())
        }
        Node::Text(parts) => render_text(parts, scope).map(Value::String),
        Node::List(nodes) => {
            let element = |(i, node)| render(node, scope).map_err(|e| e.under(&format!("[{i}]")));
            nodes.iter().enumerate().map(element).collect()
        }
        Node::Map(nodes) => {
            let mut map = Map::new();
            for (key, node) in nodes {
                let value = render(node, scope).map_err(|e| e.under(&format!(".{key}")))?;
                map.insert(key.clone(), value);
            }
            Ok(Value::Object(map))
        }
    }
}

fn render_text(parts: &[Part], scope: &Scope) -> Result<String, ExprError> {
    let mut text = String::new();
    for part in parts {
        match part {
            Part::Text(piece) => text.push_str(piece),
            Part::Expression(program) => {
                append(&mut text, &*program.eval(scope, false)?);
                if text.len() > VALUE_BYTES {
                    let message = format!("the text grows beyond {VALUE_BYTES} bytes");
                    return Err(program.error(Trouble::new(ExprErrorKind::Limit, message)));
                }
            }
        }
    }
    Ok(text)
}
