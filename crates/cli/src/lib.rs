//! The commands of `aidt`, and what they print.
//!
//! The binary implements [`Host`] and hands it in: whatever a command does, it does as a client of the
//! HTTP API that [`Host::endpoint`] names, whether that is embedded in this process, in another one that
//! holds the home, or a server. This crate never names a service or an adapter.
//!
//! Results go to standard output, everything else to standard error; the exit code is a contract.
//!
//! ```no_run
//! # use aidt_cli::{Cli, Host, Interrupts, Terminal};
//! # use clap::Parser;
//! # async fn example(host: &dyn Host) {
//! let cli = Cli::parse();
//! let terminal = Terminal::of_process(&cli.global);
//! let exit = aidt_cli::run(cli, host, &terminal, Interrupts::none()).await;
//! # }
//! ```

#![forbid(unsafe_code)]

pub mod args;
mod commands;
mod diagnostics;
mod error;
mod exit;
mod host;
mod inputs;
mod outcome;
mod plan_file;
mod progress;
mod reference;
mod session;
mod step_text;
mod table;
mod terminal;
mod time;
mod watch;

pub use args::{Cli, Global, Service};
pub use commands::run;
pub use exit::Exit;
pub use host::{BenchOn, Embed, Host, HostError, Serve, Serving};
pub use reference::reference;
pub use terminal::{Interrupts, Terminal};
