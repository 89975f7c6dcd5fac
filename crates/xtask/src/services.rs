//! `cargo xtask services`: the servers that tests need. What they are and how they start: `crates/servers`.

use aidt_servers::{Condition, Instance, Kind, Started, Status};
use anyhow::Result;
use clap::Subcommand;
use std::process::ExitCode;
use std::time::{Duration, SystemTime};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Which set of servers; several stand side by side
    #[arg(long, default_value = "test", global = true)]
    name: String,
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Start them, wait until each answers, and print `export NAME=VALUE` for a shell's eval
    Up {
        #[command(flatten)]
        only: Only,
    },
    /// Stop them; their data and ports stay for the next start
    Down {
        #[command(flatten)]
        only: Only,
        /// Also remove their data and forget their ports
        #[arg(long)]
        wipe: bool,
    },
    /// Show how each is; exit code 3 if one does not serve
    Status {
        #[command(flatten)]
        only: Only,
    },
    /// Print the end of a server's log
    Logs {
        server: Kind,
        /// Go on printing what is added
        #[arg(short, long)]
        follow: bool,
        /// How many lines
        #[arg(short = 'n', long, default_value_t = 50)]
        lines: u32,
    },
    /// Stop and start a server at the same address
    Restart { server: Kind },
    /// Kill a server by SIGKILL; its data stays
    Kill { server: Kind },
    /// Remove all that a server stored; one that runs starts again, empty, at the same address
    Wipe { server: Kind },
}

#[derive(clap::Args)]
struct Only {
    /// Only these, separated by commas
    #[arg(long, value_delimiter = ',', default_value = "postgres,redis,rabbitmq,kafka")]
    only: Vec<Kind>,
}

pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    let instance = Instance::named(&args.name)?;
    match &args.action {
        Action::Up { only } => {
            up(&instance, &only.only)?;
            for (name, value) in instance.variables(&only.only)? {
                println!("export {name}={value}");
            }
        }
        Action::Down { only, wipe } => {
            for (kind, ran) in instance.down(&only.only, *wipe)? {
                eprintln!("{kind}: {}", if ran { "stopped" } else { "was down" });
            }
        }
        Action::Status { only } => return Ok(status(&instance.status(&only.only)?)),
        Action::Logs { server, follow, lines } => logs(&instance, *server, *follow, *lines)?,
        Action::Restart { server } => instance.server(*server).restart()?,
        Action::Kill { server } => instance.server(*server).kill()?,
        Action::Wipe { server } => instance.server(*server).wipe()?,
    }
    Ok(ExitCode::SUCCESS)
}

/// Starts them. Gives those that did not run before.
pub(crate) fn up(instance: &Instance, kinds: &[Kind]) -> Result<Vec<Kind>> {
    let started = instance.up(kinds, &|text| eprintln!("{text}"))?;
    for (kind, started) in &started {
        let how = match started {
            Started::Now => "started",
            Started::Already => "already up",
        };
        eprintln!("{kind}: {how}, {}", instance.server(*kind).url()?);
    }
    Ok(started.into_iter().filter(|(_, started)| *started == Started::Now).map(|(kind, _)| kind).collect())
}

fn status(all: &[Status]) -> ExitCode {
    println!(
        "{:<9} {:<6} {:<9} {:<52} {:>8} {:>8} {:>9}",
        "server", "state", "version", "address", "pid", "for", "data"
    );
    for one in all {
        let state = match one.condition {
            Condition::Up => "up",
            Condition::Silent(_) => "silent",
            Condition::Down => "down",
        };
        let since = one.since.map(|since| age(SystemTime::elapsed(&since).unwrap_or_default()));
        println!(
            "{:<9} {state:<6} {:<9} {:<52} {:>8} {:>8} {:>9}",
            one.kind,
            one.version.as_deref().unwrap_or("-"),
            one.url.as_deref().unwrap_or("-"),
            one.pid.map_or("-".to_owned(), |pid| pid.to_string()),
            since.as_deref().unwrap_or("-"),
            size(one.bytes),
        );
    }
    for one in all {
        if let Condition::Silent(why) = &one.condition {
            eprintln!("{} runs but does not answer: {why}", one.kind);
        }
    }
    if all.iter().all(|one| one.condition == Condition::Up) { ExitCode::SUCCESS } else { ExitCode::from(3) }
}

/// In the unit that says most.
fn age(time: Duration) -> String {
    let seconds = time.as_secs();
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7_200 => format!("{} min", seconds / 60),
        7_200..172_800 => format!("{} h", seconds / 3_600),
        _ => format!("{} d", seconds / 86_400),
    }
}

fn size(bytes: u64) -> String {
    if bytes < 1 << 20 { format!("{} KiB", bytes >> 10) } else { format!("{} MiB", bytes >> 20) }
}

fn logs(instance: &Instance, kind: Kind, follow: bool, lines: u32) -> Result<()> {
    let mut command = instance.server(kind).show_log(lines, follow)?;
    crate::wait(&format!("showing the log of {kind}"), &mut command)
}
