//! `cargo xtask test`: every test of the workspace, those against real servers included.

use crate::{build, services, wait};
use aidt_servers::{Instance, Kind};
use anyhow::{Context as _, Result};
use std::path::Path;

/// Builds the binary that the black-box tests start, starts the servers, runs every test, and stops the
/// servers that did not run before.
pub(crate) fn run() -> Result<()> {
    let root = crate::root()?;
    crate::sh(&root, "git", &["--version"]).context("the workspace tests need git (on Debian: apt-get install git)")?;
    build::binary(&root)?;
    let instance = Instance::named("test")?;
    let before = up_now(&instance)?;
    let tested = with_servers(&root, &instance);
    let ours: Vec<Kind> = Kind::ALL.into_iter().filter(|kind| !before.contains(kind)).collect();
    let down = instance.down(&ours, false).context("stopping the servers of the tests");
    tested?;
    down.map(drop)
}

fn with_servers(root: &Path, instance: &Instance) -> Result<()> {
    services::up(instance, &Kind::ALL).context("starting the servers of the tests (cargo xtask services up)")?;
    let mut tests = build::tests(root, &[])?;
    wait("cargo test", tests.arg("--no-fail-fast").envs(instance.variables(&Kind::ALL)?))
}

fn up_now(instance: &Instance) -> Result<Vec<Kind>> {
    let all = instance.status(&Kind::ALL)?;
    Ok(all.into_iter().filter(|one| one.condition != aidt_servers::Condition::Down).map(|one| one.kind).collect())
}
