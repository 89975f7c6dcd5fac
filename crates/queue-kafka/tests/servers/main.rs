//! The adapter against a real broker; each test has its own prefix, so they run side by side.

mod broker;
mod conformance;
mod cursors;
mod lives;
mod sharing;
mod stacks;
