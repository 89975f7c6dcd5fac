//! `cargo xtask test`: every test of the workspace, those against real servers included.

use crate::{services, wait};
use aidt_servers::{Instance, Kind};
use anyhow::{Context as _, Result, bail};
use serde_json::Value;
use std::path::Path;
use std::process::Command;

/// Builds the binary that the black-box tests start, starts the servers, runs every test, and stops the
/// servers that did not run before.
pub(crate) fn run() -> Result<()> {
    let root = crate::root()?;
    crate::sh(&root, "git", &["--version"]).context("the workspace tests need git (on Debian: apt-get install git)")?;
    let features = features(&root)?;
    // With the selection and features of the tests: what this compiles, they do not compile again.
    wait(
        "building aidt",
        Command::new("cargo").current_dir(&root).args([
            "build",
            "--quiet",
            "--workspace",
            "--bin",
            "aidt",
            "--features",
            &features,
        ]),
    )?;
    let instance = Instance::named("test")?;
    let before = up_now(&instance)?;
    let tested = with_servers(&root, &instance, &features);
    let ours: Vec<Kind> = Kind::ALL.into_iter().filter(|kind| !before.contains(kind)).collect();
    let down = instance.down(&ours, false).context("stopping the servers of the tests");
    tested?;
    down.map(drop)
}

fn with_servers(root: &Path, instance: &Instance, features: &str) -> Result<()> {
    services::up(instance, &Kind::ALL).context("starting the servers of the tests (cargo xtask services up)")?;
    wait(
        "cargo test",
        Command::new("cargo")
            .current_dir(root)
            .args(["test", "--workspace", "--no-fail-fast", "--features", features])
            .envs(instance.variables(&Kind::ALL)?),
    )
}

fn up_now(instance: &Instance) -> Result<Vec<Kind>> {
    let all = instance.status(&Kind::ALL)?;
    Ok(all.into_iter().filter(|one| one.condition != aidt_servers::Condition::Down).map(|one| one.kind).collect())
}

/// The feature `servers` of each crate that has it: behind it are the tests that need one.
pub(crate) fn features(root: &Path) -> Result<String> {
    let output = Command::new("cargo")
        .current_dir(root)
        .args(["metadata", "--format-version", "1", "--no-deps", "--locked"])
        .output()
        .context("cargo metadata")?;
    if !output.status.success() {
        bail!("cargo metadata: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    let metadata: Value = serde_json::from_slice(&output.stdout)?;
    let packages = metadata["packages"].as_array().into_iter().flatten();
    let with = packages.filter(|package| package["features"]["servers"].is_array());
    let names: Vec<String> =
        with.filter_map(|package| package["name"].as_str()).map(|name| format!("{name}/servers")).collect();
    if names.is_empty() { bail!("no crate has a feature `servers`") } else { Ok(names.join(",")) }
}
