//! `cargo xtask chaos`: faults under load, with servers of their own. What is done: `tests/src/chaos`.

use crate::{build, interop, previous, services, sh, wait};
use aidt_servers::{Instance, Kind};
use anyhow::{Context as _, Result};
use clap::ValueEnum;
use std::path::Path;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Only this stack
    #[arg(long)]
    stack: Option<Stack>,
    /// Draws victims, plans and the order of faults
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How many times each fault
    #[arg(long, default_value_t = 1)]
    rounds: u32,
    /// Only faults whose name has this in it
    #[arg(long)]
    only: Option<String>,
}

#[derive(Clone, Copy, ValueEnum)]
enum Stack {
    Rabbitmq,
    Kafka,
    Embedded,
}

/// Every fault, or those that are asked for.
pub(crate) fn run(args: &Args) -> Result<()> {
    let root = crate::root()?;
    packages()?;
    let python = interop::python_with_grpc(&root)?;
    let mut settings = vec![
        ("AIDT_CHAOS_SEED", args.seed.to_string()),
        ("AIDT_CHAOS_ROUNDS", args.rounds.to_string()),
        ("AIDT_PYTHON", python),
    ];
    settings.extend(args.only.clone().map(|only| ("AIDT_CHAOS_ONLY", only)));
    let stack = args.stack.map(|stack| match stack {
        Stack::Rabbitmq => "rabbitmq",
        Stack::Kafka => "kafka",
        Stack::Embedded => "embedded",
    });
    suite(&root, &settings, stack)
}

/// The short form: some faults, on every stack.
pub(crate) fn short(root: &Path, python: &str) -> Result<()> {
    suite(root, &[("AIDT_PYTHON", python.to_owned())], None)
}

fn suite(root: &Path, settings: &[(&str, String)], stack: Option<&str>) -> Result<()> {
    build::binary(root)?;
    let previous = previous::program(root)?;
    let kinds: &[Kind] = match stack {
        None => &Kind::ALL,
        Some("rabbitmq") => &[Kind::Postgres, Kind::Redis, Kind::RabbitMq],
        Some("kafka") => &[Kind::Postgres, Kind::Redis, Kind::Kafka],
        Some(_) => &[],
    };
    // Not those of the tests: these are wiped.
    let instance = Instance::named("chaos")?;
    services::up(&instance, kinds).context("starting the servers of the chaos suite")?;
    let mut tests = build::tests(root, &["aidt-tests/chaos"])?;
    tests.args(["--quiet", "--test", "chaos"]).args(stack).args(["--", "--nocapture", "--test-threads=1"]);
    tests.env("AIDT_TEST_INSTANCE", "chaos").envs(instance.variables(kinds)?);
    tests.envs(previous.map(|program| ("AIDT_PREVIOUS_BIN", program)));
    tests.envs(settings.iter().map(|(name, value)| (name, value)));
    let tested = wait("the chaos suite", &mut tests);
    instance.down(kinds, false).context("stopping the servers of the chaos suite")?;
    tested
}

/// One process gets a clock that is ahead: the library that does it is not a server, and is installed here.
fn packages() -> Result<()> {
    if Path::new("/usr/lib/x86_64-linux-gnu/faketime").exists() {
        return Ok(());
    }
    let install = ["install", "-y", "-qq", "--no-install-recommends", "libfaketime"];
    sh(Path::new("/"), "apt-get", &install).context("libfaketime is missing (on Debian: apt-get install libfaketime)")
}
