//! The real OpenTelemetry Collector, built from Go modules with as much of it as the test needs.

use anyhow::{Context as _, Result};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Builds it, then runs the test that sends to it.
pub(super) fn run(root: &Path, target: &Path) -> Result<()> {
    let program = program(root, target)?;
    let mut tests = crate::build::tests(root, &["aidt-tests/collector"])?;
    tests.args(["--test", "collector"]).env("AIDT_TEST_COLLECTOR", program);
    crate::wait("cargo test --features collector", &mut tests)
}

/// Go itself knows whether there is anything to build.
fn program(root: &Path, target: &Path) -> Result<PathBuf> {
    let program = target.join("interop-go").join("collector");
    let mut build = Command::new("go");
    build
        .current_dir(root.join("crates/xtask/src/interop/collector"))
        .args(["build", "-p", "2", "-trimpath", "-o"])
        .arg(&program)
        .arg(".");
    crate::wait("go build of the OpenTelemetry Collector", &mut build).context(
        "cannot get the OpenTelemetry Collector from the Go module proxy (Go 1.26 or newer is needed: https://go.dev/dl)",
    )?;
    Ok(program)
}
