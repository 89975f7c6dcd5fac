//! The built-in tools, the contract that every tool keeps, and the git workspace that they work on.
//!
//! One tool is one small file under `builtin/`: its schemas, its catalogue entry, its code, its tests.
//! A tool gets checked arguments and a [`ToolContext`]; it never sees the network of services around it,
//! reads no clock and no environment of its own, and starts no process but `git` (see `workspace/git.rs`).
//!
//! To write a tool of your own: implement [`Tool`], and hand it to a worker beside [`builtin`].

#![forbid(unsafe_code)]

mod builtin;
mod checked;
mod failure;
mod large;
mod pool;
mod text;
mod tool;
mod workspace;

pub use builtin::{builtin, catalogue};
pub use checked::{CheckedTool, SchemaError};
pub use large::LargeOutputs;
pub use pool::in_pool;
pub use tool::{CallOutput, Sink, Tool, ToolContext, ToolOutput};
pub use workspace::{WorkspaceConfig, Workspaces};
