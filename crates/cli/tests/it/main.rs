//! The commands against a small server that acts one run.

#![expect(clippy::unwrap_used, reason = "tests")]

mod commands;
mod exit_codes;
mod plan_check;
mod reference;
mod run;
mod screen;
mod stage;
mod test_host;

use aidt_cli::{Cli, Exit, Interrupts};
use clap::Parser;
use screen::Screen;
use test_host::TestHost;

/// Runs a command line; gives its exit code and what it wrote.
async fn aidt(host: &TestHost, args: &[&str]) -> (Exit, Screen) {
    aidt_with(host, args, Interrupts::none()).await
}

async fn aidt_with(host: &TestHost, args: &[&str], interrupts: Interrupts) -> (Exit, Screen) {
    let cli = Cli::try_parse_from(std::iter::once(&"aidt").chain(args)).unwrap();
    let screen = Screen::default();
    let exit = aidt_cli::run(cli, host, &screen.terminal(), interrupts).await;
    (exit, screen)
}
