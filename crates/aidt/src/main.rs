//! The binary: settings, adapters, and the services wired together. The only crate that names adapters,
//! and the only one that asks the environment.
//!
//! In reading order: `settings` (where every value comes from), `home` (who embeds), `adapters` (a URL's
//! scheme picks one), `stack` (the services of this process), `assembly` (how they are put together), one
//! file a service (`gateway`, `owner`, `step_consumer` and `tool_worker` in `inner_loop`), `presence` and
//! `health` (what others see of the process), `tls` (workers of other machines), `host` (what the commands need of it).

#![forbid(unsafe_code)]

mod adapters;
mod artifacts;
mod assembly;
mod bed;
mod error;
mod gateway;
mod health;
mod home;
mod host;
mod inner_loop;
mod kept;
mod listen;
mod owner;
mod presence;
mod settings;
mod stack;
mod step_consumer;
mod tls;
mod tool_worker;
mod workers;

use aidt_cli::args::{Command, ServeArgs};
use aidt_cli::{Cli, Exit, Interrupts, Terminal};
use aidt_domain::ProcessId;
use aidt_runtime::{Ids, SystemClock};
use clap::Parser;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// How long what waits for the collector may hold the process.
const FLUSH: Duration = Duration::from_secs(5);

fn main() -> ExitCode {
    tls::install_provider();
    let mut cli = Cli::parse();
    let terminal = Terminal::of_process(&cli.global);
    // One id names this life wherever it is seen: in the store, in traces and in metrics.
    let process = Ids::system(Arc::new(SystemClock::new())).process();
    let started = settings::start_telemetry(&service_name(&cli), process);
    let telemetry = match started.and_then(|telemetry| find_server(&mut cli).map(|()| telemetry)) {
        Ok(telemetry) => telemetry,
        Err(error) => {
            eprintln!("error: {error}");
            return ExitCode::from(2);
        }
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("error: cannot start: {error}");
            return ExitCode::from(1);
        }
    };
    let exit = runtime.block_on(run(cli, process, &terminal));
    if exit.at_once {
        end_at_once(exit);
    }
    // A blocking read of standard input must not hold the process.
    runtime.shutdown_background();
    telemetry.shutdown(FLUSH);
    ExitCode::from(exit.code)
}

/// What traces and metrics call this process: `aidt-<service>` when it runs one, `aidt` when it runs several.
fn service_name(cli: &Cli) -> String {
    match &cli.command {
        Command::Serve(ServeArgs { services, .. }) if services.len() == 1 => format!("aidt-{}", services[0].name()),
        _ => "aidt".to_owned(),
    }
}

/// A flag wins over the environment.
fn find_server(cli: &mut Cli) -> Result<(), aidt_cli::HostError> {
    if cli.global.server.is_none() {
        cli.global.server = settings::server()?;
    }
    Ok(())
}

async fn run(cli: Cli, process: ProcessId, terminal: &Terminal) -> Exit {
    let (tell, told) = tokio::sync::mpsc::channel(8);
    let signals = async {
        match aidt_runtime::Signals::install() {
            Ok(mut signals) => loop {
                signals.next().await;
                if tell.send(()).await.is_err() {
                    std::future::pending::<()>().await;
                }
            },
            Err(error) => {
                tracing::warn!(%error, "signals cannot be caught");
                std::future::pending::<()>().await;
            }
        }
    };
    let host = host::BinaryHost::new(process);
    tokio::select! {
        biased;
        exit = aidt_cli::run(cli, &host, terminal, Interrupts::from_channel(told)) => exit,
        () = signals => unreachable!("signals are waited for until the command ends"),
    }
}

/// The second Ctrl-C: nothing is drained, everything is recovered from the store by whoever is next.
#[expect(clippy::disallowed_methods, reason = "the one place where a process ends at once, by request")]
fn end_at_once(exit: Exit) -> ! {
    std::process::exit(i32::from(exit.code))
}
