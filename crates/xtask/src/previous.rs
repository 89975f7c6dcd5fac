//! A build of an earlier commit, for tests that restart processes of it as processes of this one.

use crate::{sh, target};
use anyhow::{Context as _, Result};
use std::path::{Path, PathBuf};
use std::process::Command;

/// What was in production before: to be moved on whenever something is released. From here on a stack can be
/// restarted, one process after the other, as any later build.
const COMMIT: &str = "da75a4272fb8165d6618b3d9b8d6ca6d248cfd75";

/// The program, built once under the target folder. `None` where the history does not go back so far, which is said.
pub(crate) fn program(root: &Path) -> Result<Option<PathBuf>> {
    let place = target(root).join("previous").join(COMMIT);
    let program = place.join("aidt");
    if program.exists() {
        return Ok(Some(program));
    }
    let commit = format!("{COMMIT}^{{commit}}");
    let known = Command::new("git").current_dir(root).args(["cat-file", "-e", &commit]).output();
    if !known.context("cannot start git")?.status.success() {
        println!("no previous build: {COMMIT} is not in the history here (a shallow clone?)");
        return Ok(None);
    }
    println!("building the previous build ({COMMIT})");
    let (source, built) = (place.join("source"), place.join("target"));
    std::fs::create_dir_all(&source).with_context(|| format!("making {}", source.display()))?;
    let archive = place.join("source.tar");
    sh(root, "git", &["archive", "--output", &archive.to_string_lossy(), COMMIT])?;
    sh(&source, "tar", &["-xf", &archive.to_string_lossy()])?;
    let mut build = Command::new("cargo");
    // It is to be right, not fast: as little is optimised as can be.
    build
        .current_dir(&source)
        .args(["build", "--quiet", "--locked", "-p", "aidt", "--config", "profile.dev.package.\"*\".opt-level=0"])
        .env("CARGO_TARGET_DIR", &built);
    crate::wait("cargo build of the previous build", &mut build)?;
    std::fs::copy(built.join("debug/aidt"), &program).context("keeping the previous build")?;
    for folder in [&source, &built] {
        std::fs::remove_dir_all(folder).with_context(|| format!("removing {}", folder.display()))?;
    }
    std::fs::remove_file(archive)?;
    Ok(Some(program))
}
