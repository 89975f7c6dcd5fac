//! The command line.

mod dlq;
mod run;
mod runs;
mod service;
mod values;

pub use dlq::{DlqCommand, DlqLsArgs, DlqShowArgs, DlqSomeArgs};
pub use run::{BenchArgs, CheckArgs, InputArgs, PlanCommand, RunArgs, ServeArgs, ToolsCallArgs, ToolsCommand};
pub use runs::{
    CancelArgs, EventsArgs, LogsArgs, LsArgs, ResolveArgs, ResolveHow, RetryArgs, RunRef, RunsCommand, WatchArgs,
};
pub use service::Service;
pub use values::{KeyValue, parse_duration};

use aidt_client::Endpoint;
use clap::{Args, Parser, Subcommand, ValueEnum};

/// Runs plans that survive crashes, with a policy decision in front of every capability.
#[derive(Debug, Parser)]
#[command(name = "aidt", version, about, propagate_version = true, after_long_help = EXIT_CODES)]
pub struct Cli {
    /// What holds for every command.
    #[command(flatten)]
    pub global: Global,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

const EXIT_CODES: &str = "Exit codes: 0 done · 1 failed · 2 bad input · 3 denied · 4 waits for approval · \
5 budget exhausted · 6 unknown outcome · 7 waiting timed out · 69 server unavailable · 130 cancelled

Environment: AIDT_HOME (where state lives, ~/.aidt by default) · AIDT_SERVER · AIDT_LOG (such as info)";

/// Options of every command.
#[derive(Args, Clone, Debug)]
pub struct Global {
    /// A server to use instead of the home: http://HOST:PORT or unix:PATH; or AIDT_SERVER.
    #[arg(long, global = true, value_name = "URL", help_heading = "Global options")]
    pub server: Option<Endpoint>,
    /// Colours: `auto` means on a terminal, unless NO_COLOR is set.
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto", help_heading = "Global options")]
    pub color: ColorWhen,
    /// Set to anything: no colours (no-color.org).
    #[arg(long = "no-color-from-environment", hide = true, global = true, env = "NO_COLOR")]
    pub no_color: Option<String>,
}

/// When to use colours.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum ColorWhen {
    /// On a terminal, unless `NO_COLOR` is set.
    #[default]
    Auto,
    /// Also when writing to a file or pipe.
    Always,
    /// Never.
    Never,
}

/// How results are written to standard output.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// For people.
    #[default]
    Text,
    /// For programs.
    Json,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Runs a plan and follows it to its end.
    Run(RunArgs),
    /// Runs services until it is told to stop: all in one process, or those that are named.
    Serve(ServeArgs),
    /// Looks at runs and tells them what to do.
    #[command(subcommand)]
    Runs(RunsCommand),
    /// Prints the history of a run.
    Events(EventsArgs),
    /// Prints what the steps of a run printed.
    Logs(LogsArgs),
    /// Works on plan documents.
    #[command(subcommand)]
    Plan(PlanCommand),
    /// Lists tools and calls one.
    #[command(subcommand)]
    Tools(ToolsCommand),
    /// Looks at what nothing could be done with, sends it again or drops it.
    #[command(subcommand)]
    Dlq(DlqCommand),
    /// Measures steps per second and what a step costs, over a home of its own.
    Bench(BenchArgs),
    /// Prints the version.
    Version,
}
