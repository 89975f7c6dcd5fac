//! What is done to this repository rather than by it: `cargo xtask COMMAND`. Each command is a file.

#![forbid(unsafe_code)]

mod build;
mod chaos;
mod check;
mod interop;
mod previous;
mod services;
mod stack;
mod tests;

use anyhow::{Context as _, Result, bail};
use clap::{Parser, Subcommand};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

#[derive(Parser)]
#[command(name = "cargo xtask", about = "Tasks of this repository")]
struct Args {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Run every test; installs and starts the servers that some of them need
    Test,
    /// Check formatting, lints, crate directions, licences, file lengths, paths
    Check,
    /// Run the tests against parties from other registries (PyPI, Go modules)
    Interop,
    /// Faults under load on real servers: processes killed and frozen, servers wiped, connections cut, and more
    Chaos(chaos::Args),
    /// Start, stop and look at the servers that tests need: Postgres, Redis, RabbitMQ, Kafka
    Services(services::Args),
    /// Run the production stack on this machine without containers: servers and one process for each service
    Stack(stack::Args),
    /// Run simulated worlds, or see that a planted fault is caught
    #[command(disable_help_flag = true)]
    Sim {
        /// Given on; `--help` lists them
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<String>,
    },
}

fn main() -> Result<ExitCode> {
    match Args::parse().task {
        Task::Test => tests::run().map(|()| ExitCode::SUCCESS),
        Task::Check => check::run().map(|()| ExitCode::SUCCESS),
        Task::Interop => interop::run().map(|()| ExitCode::SUCCESS),
        Task::Chaos(args) => chaos::run(&args).map(|()| ExitCode::SUCCESS),
        Task::Services(args) => services::run(&args),
        Task::Stack(args) => stack::run(&args).map(|()| ExitCode::SUCCESS),
        Task::Sim { args } => sim(&args),
    }
}

/// A program of its own, so that the other tasks need not compile what it simulates.
fn sim(args: &[String]) -> Result<ExitCode> {
    let mut sim = Command::new("cargo");
    sim.current_dir(root()?)
        .args(["run", "--quiet", "--package", "aidt-testkit", "--bin", "aidt-sim", "--"])
        .args(args);
    let status = sim.status().context("cannot start cargo")?;
    Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The root of the repository.
fn root() -> Result<PathBuf> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).map(Path::to_owned).context("xtask stands in crates/xtask")
}

/// Where cargo builds.
#[expect(clippy::disallowed_methods, reason = "the one setting of cargo's that this needs")]
fn target(root: &Path) -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from)
}

/// Runs a program to its end, its output shown.
fn sh(dir: &Path, program: &str, args: &[&str]) -> Result<()> {
    wait(&format!("{program} {}", args.join(" ")), Command::new(program).current_dir(dir).args(args))
}

fn wait(what: &str, command: &mut Command) -> Result<()> {
    let status = command.status().with_context(|| format!("cannot start {what}"))?;
    if status.success() { Ok(()) } else { bail!("{what} failed: {status}") }
}
