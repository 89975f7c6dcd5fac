//! `cargo xtask test`: every test that needs nothing but Rust, a C compiler and git.

use crate::sh;
use anyhow::{Context as _, Result};

/// Builds the binary that the black-box tests start, then runs every test.
pub(crate) fn run() -> Result<()> {
    let root = crate::root()?;
    sh(&root, "git", &["--version"]).context("the workspace tests need git (on Debian: apt-get install git)")?;
    sh(&root, "cargo", &["build", "--quiet", "-p", "aidt"])?;
    sh(&root, "cargo", &["test", "--workspace", "--no-fail-fast"])
}
