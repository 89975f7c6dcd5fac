//! `cargo xtask interop`: tests against parties from other registries: the Python worker with the official
//! gRPC package, an S3-compatible store, and the OpenTelemetry Collector. Says by name what it could not get,
//! and then fails.

mod collector;
mod s3;

use crate::{build, sh, target};
use anyhow::{Context as _, Result};
use std::path::Path;

/// Gets what is needed, then runs the tests.
pub(crate) fn run() -> Result<()> {
    let root = crate::root()?;
    let python = python_with_grpc(&root)?;
    build::binary(&root)?;
    let worker = root.join("docs/examples/python-worker");
    println!("interop: the Python worker's own tests");
    sh(&worker, &python, &["-m", "unittest", "discover", "-v"])?;
    println!("interop: the crash test, with the Python worker");
    let mut tests = build::tests(&root, &["aidt-tests/python"])?;
    tests.args(["--test", "python", "--test", "crash", "--", "--nocapture"]).env("AIDT_PYTHON", &python);
    crate::wait("cargo test --features python", &mut tests)?;
    println!("interop: faults under load, the short form of `cargo xtask chaos`");
    crate::chaos::short(&root, &python)?;
    println!("interop: artifacts in S3-compatible storage");
    s3::run(&root, &target(&root))?;
    println!("interop: traces and metrics at the OpenTelemetry Collector");
    collector::run(&root, &target(&root))
}

/// A virtual environment with the worker's requirements, made once under the target folder.
pub(crate) fn python_with_grpc(root: &Path) -> Result<String> {
    let venv = target(root).join("interop-venv");
    let python = venv.join("bin/python");
    let requirements = root.join("docs/examples/python-worker/requirements.txt");
    let wanted = std::fs::read(&requirements).with_context(|| format!("reading {}", requirements.display()))?;
    let mark = venv.join("requirements.txt");
    if std::fs::read(&mark).ok().as_deref() != Some(&wanted) {
        let place = venv.to_string_lossy().into_owned();
        sh(root, "python3", &["-m", "venv", "--clear", &place])
            .context("cannot make a Python environment (on Debian: apt-get install python3-venv)")?;
        let list = requirements.to_string_lossy().into_owned();
        sh(
            root,
            &python.to_string_lossy(),
            &["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r", &list],
        )
        .context("cannot get grpcio and protobuf from PyPI")?;
        std::fs::write(&mark, wanted)?;
    }
    Ok(python.to_string_lossy().into_owned())
}
