//! Builds with the selection and the features of all tests, whatever is wanted of them: cargo settles the features of
//! dependencies for a selection, so what one task compiles another need not compile again.

use crate::wait;
use anyhow::{Context as _, Result, bail};
use serde_json::Value;
use std::path::Path;
use std::process::Command;

/// The binary that black-box tests start, beside them.
pub(crate) fn binary(root: &Path) -> Result<()> {
    let mut build = Command::new("cargo");
    build.current_dir(root).args(["build", "--quiet", "--workspace", "--bin", "aidt", "--features"]);
    wait("building aidt", build.arg(servers(root)?))
}

/// `cargo test` of every crate, with the tests against servers and these features (`CRATE/FEATURE`) besides.
pub(crate) fn tests(root: &Path, features: &[&str]) -> Result<Command> {
    let all = [servers(root)?.as_str()].iter().chain(features).copied().collect::<Vec<_>>().join(",");
    let mut tests = Command::new("cargo");
    tests.current_dir(root).args(["test", "--workspace", "--features", &all]);
    Ok(tests)
}

/// The feature `servers` of each crate that has it: behind it are the tests that need one.
pub(crate) fn servers(root: &Path) -> Result<String> {
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
