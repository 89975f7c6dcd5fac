//! The `${{ }}` of a plan: CEL over a run's inputs and the outputs of its steps.
//!
//! Everything that can be known before a run is known when an expression is compiled: its
//! [`References`] (what it needs, where its value comes from, what must be loaded), its shape and
//! its limits. Plain selector chains and literals, which most expressions are, never reach the CEL
//! interpreter.
//!
//! This crate never does I/O, reads no clock, and draws no random number: the same template over
//! the same [`Scope`] gives the same bytes. An evaluation cannot be interrupted, so its cost is
//! bounded beforehand and metered on the way (`meter.rs`).

#![forbid(unsafe_code)]

mod analysis;
mod condition;
mod convert;
mod error;
mod functions;
mod meter;
mod program;
mod references;
mod scope;
mod selector;
mod simple;
mod syntax;
mod template;
#[cfg(test)]
mod tests;
mod text;

pub use condition::Condition;
pub use error::{ExprError, ExprErrorKind};
pub use functions::FUNCTIONS;
pub use references::References;
pub use scope::{Needs, Output, RunFacts, Scope, StepFacts};
pub use template::{Rendered, Template};
pub use text::whole_expression;

/// Limits on an expression and on what it may touch.
pub mod limits {
    /// Bytes of source of one expression.
    pub const SOURCE_BYTES: usize = 4096;
    /// Words, numbers, strings and signs of one expression, counted before it is parsed.
    pub const TOKENS: usize = 512;
    /// Nodes of the syntax tree, after macros are expanded.
    pub const NODES: usize = 1000;
    /// Depth of the syntax tree.
    pub const DEPTH: usize = 64;
    /// `map`, `filter`, `all`, `exists` … inside one another.
    pub const COMPREHENSION_NESTING: usize = 2;
    /// Elements of all values that an expression reads, and of any list that it makes.
    pub const ELEMENTS: usize = 100_000;
    /// Bytes of any text that an expression makes, and of what it yields.
    pub const VALUE_BYTES: usize = 1024 * 1024;
    /// Units of work of one evaluation; see `meter.rs`.
    pub const WORK: u64 = 2_000_000;
    /// The largest whole number that survives RFC 8785, which writes numbers as doubles.
    pub const WHOLE_NUMBER: u64 = (1 << 53) - 1;
}
