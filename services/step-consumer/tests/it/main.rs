//! The step consumer against real in-memory ports. Each rule of the protocol has a test by its name.

#![expect(clippy::unwrap_used, reason = "tests")]

mod agent;
mod drain;
mod fence;
mod gate;
mod hub;
mod readers;
mod rules;
mod stops;
mod support;
mod text;
