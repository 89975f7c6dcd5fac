//! `aidt dlq`.

use super::Output;
use clap::{Args, Subcommand};

/// `aidt dlq COMMAND`.
#[derive(Debug, Subcommand)]
pub enum DlqCommand {
    /// Lists dead letters, oldest first.
    Ls(DlqLsArgs),
    /// Shows one: where it came from, why it is here, what it holds.
    Show(DlqShowArgs),
    /// Sends some once more where they came from, and drops them.
    Redrive(DlqSomeArgs),
    /// Takes some out for good.
    Drop(DlqSomeArgs),
}

/// `aidt dlq ls`.
#[derive(Args, Debug)]
pub struct DlqLsArgs {
    /// At most so many.
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    pub limit: u32,
    /// Only those after this one.
    #[arg(long, value_name = "ID", default_value_t = 0)]
    pub after: u64,
    /// `json`: {items, next}.
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    pub output: Output,
}

/// `aidt dlq show`.
#[derive(Args, Debug)]
pub struct DlqShowArgs {
    /// Which.
    pub id: u64,
    /// Writes its bytes, and nothing else.
    #[arg(long, conflicts_with = "output")]
    pub raw: bool,
    /// `json`: bytes in base64.
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    pub output: Output,
}

/// `aidt dlq redrive`, `aidt dlq drop`.
#[derive(Args, Debug)]
pub struct DlqSomeArgs {
    /// Which.
    #[arg(required_unless_present = "all")]
    pub ids: Vec<u64>,
    /// All that are there now.
    #[arg(long, conflicts_with = "ids")]
    pub all: bool,
}
