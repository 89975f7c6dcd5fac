//! `runs` and `events`.

use super::Output;
use super::values::{KeyValue, parse_duration};
use aidt_domain::{RunId, RunState, StepPath};
use clap::{Args, Subcommand, ValueEnum};
use std::time::Duration;

/// `aidt runs …`.
#[derive(Debug, Subcommand)]
pub enum RunsCommand {
    /// Lists runs, the newest first.
    Ls(LsArgs),
    /// Shows a run and its steps.
    Get(RunRef),
    /// Follows a run to its end; Ctrl-C only stops watching.
    Watch(WatchArgs),
    /// Asks a run to end: calls in flight are told, and report what really happened.
    Cancel(CancelArgs),
    /// Runs steps of an ended run again; what it did before stays in its history.
    Retry(RetryArgs),
    /// Settles a step whose outcome nobody knew.
    Resolve(ResolveArgs),
    /// Says what a run waits for: since when, what ends it, who can.
    Explain(RunRef),
}

/// A run, and how to show it.
#[derive(Args, Debug)]
pub struct RunRef {
    /// The run.
    pub run: RunId,
    /// Text or json.
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    pub output: Output,
}

/// `aidt runs ls`.
#[derive(Args, Debug)]
pub struct LsArgs {
    /// Only runs in this state; may be repeated.
    #[arg(long = "state", value_name = "STATE")]
    pub states: Vec<RunState>,
    /// Only runs of the plan of this name.
    #[arg(long, value_name = "NAME")]
    pub plan: Option<String>,
    /// Only runs with this label, NAME=VALUE; may be repeated.
    #[arg(long = "label", value_name = "NAME=VALUE")]
    pub labels: Vec<KeyValue>,
    /// At most so many.
    #[arg(long, value_name = "N")]
    pub limit: Option<u32>,
    /// The `next` of the page before.
    #[arg(long, value_name = "NEXT")]
    pub after: Option<String>,
    /// `json`: {items, next}.
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    pub output: Output,
}

/// `aidt runs watch`.
#[derive(Args, Debug)]
pub struct WatchArgs {
    /// The run.
    pub run: RunId,
    /// Stops waiting after this long (30s, 5m) with exit code 7; the run goes on.
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    pub timeout: Option<Duration>,
    /// `json`: standard output ends in one object {run, state, error, outputs, steps}.
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    pub output: Output,
}

/// `aidt runs cancel`.
#[derive(Args, Debug)]
pub struct CancelArgs {
    /// The run.
    pub run: RunId,
    /// Why, for its history.
    #[arg(long, value_name = "TEXT", default_value = "")]
    pub reason: String,
    /// Follows the run to its end.
    #[arg(long)]
    pub wait: bool,
    /// Text or json.
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    pub output: Output,
}

/// `aidt runs retry`.
#[derive(Args, Debug)]
pub struct RetryArgs {
    /// The run.
    pub run: RunId,
    /// This step and all downstream of it, instead of all that failed.
    #[arg(long, value_name = "STEP")]
    pub from: Option<StepPath>,
    /// Follows the run to its end.
    #[arg(long)]
    pub wait: bool,
    /// Text or json.
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    pub output: Output,
}

/// `aidt runs resolve`.
#[derive(Args, Debug)]
pub struct ResolveArgs {
    /// The run.
    pub run: RunId,
    /// The step.
    pub step: StepPath,
    /// What was found out: it happened, it did not, or do it again.
    pub how: ResolveHow,
    /// What the step gave, as JSON, when it is done; null by default.
    #[arg(long, value_name = "JSON")]
    pub result: Option<String>,
    /// Why it counts as failed.
    #[arg(long, value_name = "TEXT")]
    pub message: Option<String>,
    /// Follows the run to its end.
    #[arg(long)]
    pub wait: bool,
    /// Text or json.
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    pub output: Output,
}

/// What a person found out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ResolveHow {
    /// It happened.
    Done,
    /// It did not, or it does not count.
    Failed,
    /// Do it again.
    Retry,
}

/// `aidt events`.
#[derive(Args, Debug)]
pub struct EventsArgs {
    /// The run.
    pub run: RunId,
    /// Goes on as events happen, until the run has ended.
    #[arg(short, long)]
    pub follow: bool,
    /// Only what follows this event.
    #[arg(long, value_name = "SEQ", default_value_t = 0)]
    pub after: u64,
    /// `json`: one event a line.
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    pub output: Output,
}

/// `aidt logs`.
#[derive(Args, Debug)]
pub struct LogsArgs {
    /// The run.
    pub run: RunId,
    /// Only this step; all of them, each line with its step, when absent.
    pub step: Option<StepPath>,
    /// Goes on as text comes, until the run has ended.
    #[arg(short, long)]
    pub follow: bool,
}
