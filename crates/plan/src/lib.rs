//! A plan's document as a run executes it: YAML or JSON in, [`aidt_domain::Snapshot`] out.
//!
//! The text is parsed once into a tree that knows its places, and everything is checked on that tree:
//! keys, types, references, cycles, capabilities, arguments against the tools' schemas. All errors are
//! collected, and each says where, which rule, what was found, which word was likely meant and what to
//! do ([`Diagnostic`]). The same text against the same [`Catalogue`] gives the same bytes.
//!
//! This crate runs nothing, asks no server and reads no file but those of a catalogue's folder.

#![forbid(unsafe_code)]

mod arguments;
mod capability;
mod catalogue;
mod compile;
mod diagnostic;
mod duration;
mod entry;
mod expressions;
mod fields;
mod graph;
mod inputs;
mod json;
mod outputs;
mod render;
mod report;
mod rule;
mod scalar;
mod settings;
mod source;
mod step;
mod tree;
mod workspace;
mod yaml;

pub use catalogue::{Catalogue, CatalogueError};
pub use compile::{Compiled, compile};
pub use diagnostic::{Diagnostic, Severity};
pub use inputs::check_inputs;
pub use render::render;
pub use rule::Rule;
pub use source::Source;

/// Limits on a plan's document.
pub mod limits {
    /// Bytes of a document.
    pub const DOCUMENT_BYTES: usize = 1024 * 1024;
    /// Lists and maps in one another.
    pub const DEPTH: usize = 64;
    /// Values of a document, with those that aliases repeat.
    pub const NODES: usize = 500_000;
    /// Steps of a plan.
    pub const STEPS: usize = 100_000;
    /// Diagnostics that are shown; more are counted.
    pub const DIAGNOSTICS: usize = 100;
    /// Bytes of a name of an input, an output or a label, and of a step's id.
    pub const NAME_BYTES: usize = 100;
    /// Bytes of a step's `with`, of the inputs of a run, and of a label's value each.
    pub const VALUE_BYTES: usize = aidt_domain::MAX_INLINE_BYTES;
    /// Labels of a plan.
    pub const LABELS: usize = 64;
    /// Bytes of a label's value.
    pub const LABEL_BYTES: usize = 256;
    /// The longest duration: 30 days, in milliseconds.
    pub const DURATION_MS: u64 = 30 * 24 * 3_600_000;
    /// Attempts of a step.
    pub const ATTEMPTS: u64 = 100;
    /// Priorities are between this and its negative.
    pub const PRIORITY: i64 = 1000;
}
