//! The loop under all its rules, checked exhaustively; each rule taken away, refuted; and the page about
//! it in docs/reference, written from what was found.

#![expect(clippy::unwrap_used, clippy::disallowed_methods, reason = "tests")]

mod limits;
mod page;
mod progress;
mod removals;
mod scenarios;
mod support;
