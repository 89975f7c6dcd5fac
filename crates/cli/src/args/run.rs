//! `run`, `serve`, `plan`, `tools`, `bench`.

use super::Output;
use super::service::Service;
use super::values::{KeyValue, parse_duration};
use clap::{Args, Subcommand};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// `aidt run`.
#[derive(Args, Debug)]
pub struct RunArgs {
    /// The plan: a file of YAML or JSON, or `-` for standard input.
    pub plan: PathBuf,
    /// Values of the plan's inputs.
    #[command(flatten)]
    pub inputs: InputArgs,
    /// A label of the run, NAME=VALUE; may be repeated.
    #[arg(long = "label", value_name = "NAME=VALUE")]
    pub labels: Vec<KeyValue>,
    /// `json`: standard output ends in one object {run, state, error, outputs, steps}.
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    pub output: Output,
    /// Submits, prints the run's id, and does not wait.
    #[arg(long)]
    pub detach: bool,
    /// Stops waiting after this long (30s, 5m) with exit code 7; the run goes on.
    #[arg(long, value_name = "TIME", value_parser = parse_duration, conflicts_with = "detach")]
    pub timeout: Option<Duration>,
    /// A command that starts a further worker, for as long as this command runs; may be repeated. It finds the
    /// address to dial in AIDT_WORKER_URL and its token in the file named by AIDT_WORKER_TOKEN_FILE.
    #[arg(long = "worker", value_name = "CMD")]
    pub workers: Vec<String>,
    /// A folder of further catalogue entries (*.yaml), if this process embeds.
    #[arg(long, env = "AIDT_TOOLS", value_name = "DIR")]
    pub tools: Option<PathBuf>,
}

/// Where inputs come from: what stands further down here wins.
#[derive(Args, Clone, Debug, Default)]
pub struct InputArgs {
    /// A file of inputs (a JSON object), or `-` for standard input.
    #[arg(long = "inputs", value_name = "FILE")]
    pub inputs: Option<PathBuf>,
    /// An input, read from a file as it is; may be repeated.
    #[arg(long = "set-file", value_name = "NAME=FILE")]
    pub set_file: Vec<KeyValue>,
    /// An input, of the type that the plan states; may be repeated.
    #[arg(long = "set", value_name = "NAME=VALUE")]
    pub set: Vec<KeyValue>,
}

/// `aidt serve`. What has no default here comes from the environment, then from the setting's own default:
/// `docs/reference/configuration.md`.
#[derive(Args, Clone, Debug)]
pub struct ServeArgs {
    /// The services of this process; every one unless some are named.
    #[arg(value_name = "SERVICE")]
    pub services: Vec<Service>,
    /// Where this process listens; port 0 picks a free one. 127.0.0.1:7070 by default, or AIDT_LISTEN.
    #[arg(long, value_name = "ADDR")]
    pub listen: Option<SocketAddr>,
    /// A folder of further catalogue entries (*.yaml).
    #[arg(long, env = "AIDT_TOOLS", value_name = "DIR")]
    pub tools: Option<PathBuf>,
    /// A folder of policies (*.rego) instead of the built-in ones.
    #[arg(long, env = "AIDT_POLICY", value_name = "DIR")]
    pub policy: Option<PathBuf>,
    /// The store: sqlite:PATH (in the home by default) or postgres://…; or AIDT_DATABASE_URL.
    #[arg(long, value_name = "URL")]
    pub database: Option<String>,
    /// The queue: memory: (the default), amqp://… or kafka://HOST:PORT,…; or AIDT_QUEUE_URL.
    #[arg(long, value_name = "URL")]
    pub queue: Option<String>,
    /// Locks and live fan-out: memory: (the default) or redis://…; or AIDT_LOCK_URL.
    #[arg(long, value_name = "URL")]
    pub lock: Option<String>,
    /// Large values: file:PATH; or AIDT_ARTIFACTS_URL.
    #[arg(long, value_name = "URL")]
    pub artifacts: Option<String>,
    /// What all names on shared servers begin with, so that several stacks share them: `aidt` by default;
    /// or AIDT_PREFIX.
    #[arg(long, value_name = "NAME")]
    pub prefix: Option<String>,
    /// Where a tool worker dials in: http://HOST:PORT, unix:PATH or dns://NAME:PORT, separated by commas;
    /// or AIDT_STEP_CONSUMERS.
    #[arg(long, value_name = "URLS")]
    pub step_consumers: Option<String>,
}

/// `aidt plan …`.
#[derive(Debug, Subcommand)]
pub enum PlanCommand {
    /// Checks a plan without running anything; needs no server and no home.
    Check(CheckArgs),
}

/// `aidt plan check`.
#[derive(Args, Debug)]
pub struct CheckArgs {
    /// The plan: a file of YAML or JSON, or `-` for standard input.
    pub plan: PathBuf,
    /// A folder of further catalogue entries (*.yaml).
    #[arg(long, env = "AIDT_TOOLS", value_name = "DIR")]
    pub tools: Option<PathBuf>,
    /// `json`: a list of {file, line, column, rule, found, nearest, help}.
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    pub output: Output,
}

/// `aidt tools …`.
#[derive(Debug, Subcommand)]
pub enum ToolsCommand {
    /// Lists the tools that plans may use.
    Ls {
        /// Text or json.
        #[arg(long, value_name = "FORMAT", default_value = "text")]
        output: Output,
    },
    /// Calls one tool, as a run of one step: the gate holds, and history keeps it.
    Call(ToolsCallArgs),
}

/// `aidt tools call`.
#[derive(Args, Debug, Default)]
pub struct ToolsCallArgs {
    /// The tool, such as debug.echo.
    pub name: String,
    /// Its arguments as a JSON object.
    #[arg(long, value_name = "JSON")]
    pub args: Option<String>,
    /// One argument, of the type that the tool's schema states; may be repeated.
    #[arg(long = "set", value_name = "NAME=VALUE")]
    pub set: Vec<KeyValue>,
    /// The git repository to work on, for a tool that uses a workspace.
    #[arg(long, value_name = "PATH|URL")]
    pub git: Option<String>,
    /// A command that starts a further worker, for as long as this command runs; may be repeated.
    #[arg(long = "worker", value_name = "CMD")]
    pub workers: Vec<String>,
    /// A folder of further catalogue entries (*.yaml), if this process embeds.
    #[arg(long, env = "AIDT_TOOLS", value_name = "DIR")]
    pub tools: Option<PathBuf>,
    /// `json`: standard output ends in the run's object, as of `aidt run`.
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    pub output: Output,
}

/// `aidt bench`.
#[derive(Args, Debug)]
pub struct BenchArgs {
    /// w1: 200 runs of 10 steps each, submitted at once. w3: one idle run of 10 steps at a time. queued: the memory
    /// of 10,000 runs of 10 steps that nobody takes.
    pub workload: aidt_bench::Workload,
    /// postgres://…, to measure processes of each service over servers instead of this one; or AIDT_DATABASE_URL.
    #[arg(long, value_name = "URL")]
    pub database: Option<String>,
    /// Their queue: amqp://… or kafka://HOST:PORT,…; or AIDT_QUEUE_URL.
    #[arg(long, value_name = "URL")]
    pub queue: Option<String>,
    /// Their locks and live fan-out: redis://…; or AIDT_LOCK_URL.
    #[arg(long, value_name = "URL")]
    pub lock: Option<String>,
    /// Over servers, how many processes of each service; there is one gateway.
    #[arg(long, value_name = "NUMBER", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=16))]
    pub replicas: u32,
    /// Text or json.
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    pub output: Output,
}
