//! `cargo xtask stack up`: the production stack on this machine, without containers: native servers (`crates/servers`)
//! and one process for each service, until Ctrl-C.

mod process;

use crate::{services, wait};
use aidt_servers::{Instance, Kind};
use anyhow::{Context as _, Result, bail};
use clap::{Subcommand, ValueEnum};
use process::Process;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use std::fs;
use std::io::Read as _;
use std::net::TcpListener;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// How often it is looked after.
const LOOK_EVERY: Duration = Duration::from_millis(200);

#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Start everything, print where the gateway is, and stay until Ctrl-C, which ends it all
    Up(Up),
}

#[derive(clap::Args)]
struct Up {
    /// What carries steps and results
    #[arg(long, value_enum, default_value = "rabbitmq")]
    queue: Queue,
    /// Where the gateway listens, on 127.0.0.1
    #[arg(long, default_value_t = 7070)]
    port: u16,
    /// Processes of each service but the gateway
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=8))]
    replicas: u8,
    /// An unoptimised build: ready sooner, slower after
    #[arg(long)]
    debug: bool,
    /// Which set of servers, as of `cargo xtask services --name`; their data stays for the next time
    #[arg(long, default_value = "stack")]
    name: String,
}

#[derive(Clone, Copy, ValueEnum)]
enum Queue {
    Rabbitmq,
    Kafka,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let Action::Up(up) = &args.action;
    let root = crate::root()?;
    let binary = build(&root, up.debug)?;
    // From here on a signal ends it in order.
    let mut signals = Signals::new([SIGINT, SIGTERM]).context("catching signals")?;
    let instance = Instance::named(&up.name)?;
    let broker = match up.queue {
        Queue::Rabbitmq => Kind::RabbitMq,
        Queue::Kafka => Kind::Kafka,
    };
    let kinds = [Kind::Postgres, Kind::Redis, broker];
    let started = services::up(&instance, &kinds)?;
    let folder = instance.server(Kind::Postgres).folder().with_file_name("aidt");
    let mut processes = Vec::new();
    let ended = serve(up, &binary, &instance, broker, &folder, &mut processes, &mut signals);
    eprintln!("stopping");
    // Who records results ends last.
    for process in processes.iter_mut().rev() {
        process.stop();
    }
    instance.down(&started, false).context("stopping the servers")?;
    ended
}

fn build(root: &Path, debug: bool) -> Result<PathBuf> {
    let mut cargo = Command::new("cargo");
    cargo.current_dir(root).args(["build", "-p", "aidt"]);
    if !debug {
        cargo.arg("--release");
    }
    wait("building aidt", &mut cargo)?;
    Ok(crate::target(root).join(if debug { "debug/aidt" } else { "release/aidt" }))
}

fn serve(
    up: &Up,
    binary: &Path,
    instance: &Instance,
    broker: Kind,
    folder: &Path,
    processes: &mut Vec<Process>,
    signals: &mut Signals,
) -> Result<()> {
    let settings = settings(instance, broker, folder)?;
    let spawn = |service: &str, number: u8, port: u16, more: &[(&str, String)]| {
        let mut command = Command::new(binary);
        command.args(["serve", service, "--listen", &format!("127.0.0.1:{port}")]);
        command.envs(settings.iter().chain(more).map(|(name, value)| (name, value)));
        let name = if up.replicas > 1 { format!("{service}-{number}") } else { service.to_owned() };
        Process::start(name, port, &mut command, folder)
    };
    // In this order: the last ones are the first to end.
    processes.push(spawn("gateway", 1, up.port, &[])?);
    for number in 1..=up.replicas {
        processes.push(spawn("completion-consumer", number, free_port()?, &[])?);
    }
    let ports = (0..up.replicas).map(|_| free_port()).collect::<Result<Vec<u16>>>()?;
    let at: Vec<String> = ports.iter().map(|port| format!("http://127.0.0.1:{port}")).collect();
    let at = [("AIDT_STEP_CONSUMERS", at.join(","))];
    for number in 1..=up.replicas {
        processes.push(spawn("tool-worker", number, free_port()?, &at)?);
    }
    for (number, port) in (1..).zip(ports) {
        processes.push(spawn("step-consumer", number, port, &[])?);
    }
    let mut told = false;
    loop {
        if signals.pending().next().is_some() {
            return Ok(());
        }
        for process in processes.iter_mut() {
            if let Some(how) = process.ended()? {
                bail!("{} ended: {how}; the end of {}:\n{}", process.name, process.log.display(), process.tail());
            }
        }
        if !told && processes.iter().all(Process::is_ready) {
            told = true;
            say(up, binary, folder);
        }
        process::pause(LOOK_EVERY);
    }
}

fn say(up: &Up, binary: &Path, folder: &Path) {
    let (server, aidt) = (format!("http://127.0.0.1:{}", up.port), binary.display());
    println!("the gateway is {server}; logs are in {}", folder.display());
    println!("  {aidt} --server {server} run docs/examples/hello.yaml");
    println!("  curl {server}/ready");
    println!("Ctrl-C ends everything");
}

/// What every process is told. The secrets are made once and stay with the data.
fn settings(instance: &Instance, broker: Kind, folder: &Path) -> Result<Vec<(&'static str, String)>> {
    fs::create_dir_all(folder).with_context(|| format!("creating {}", folder.display()))?;
    let url = |kind: Kind| instance.server(kind).url();
    let queue = match broker {
        Kind::Kafka => format!("kafka://{}", url(broker)?),
        _ => url(broker)?,
    };
    let at = |name: &str| folder.join(name).display().to_string();
    Ok(vec![
        ("AIDT_HOME", at("home")),
        ("AIDT_DATABASE_URL", url(Kind::Postgres)?),
        ("AIDT_QUEUE_URL", queue),
        ("AIDT_LOCK_URL", url(Kind::Redis)?),
        ("AIDT_ARTIFACTS_URL", format!("file:{}", at("artifacts"))),
        ("AIDT_WORKSPACES", at("workspaces")),
        ("AIDT_WORKSPACE_ROOTS", crate::root()?.display().to_string()),
        ("AIDT_WORKER_TOKEN_FILE", secret(folder, "worker.token")?),
        ("AIDT_ROUTE_KEY_FILE", secret(folder, "route.key")?),
        ("AIDT_LOG", "warn".to_owned()),
    ])
}

/// The path of a file with 48 random digits, made if it is not there.
fn secret(folder: &Path, name: &str) -> Result<String> {
    let path = folder.join(name);
    if !path.exists() {
        let mut bytes = [0; 24];
        fs::File::open("/dev/urandom").and_then(|mut random| random.read_exact(&mut bytes))?;
        let text: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        let mut options = fs::File::options();
        let file = options.write(true).create_new(true).mode(0o600).open(&path);
        let written = file.and_then(|mut file| std::io::Write::write_all(&mut file, text.as_bytes()));
        written.with_context(|| format!("writing {}", path.display()))?;
    }
    Ok(path.display().to_string())
}

/// Nobody's now. Whoever takes it before we do is told of as a process that ended.
fn free_port() -> Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}
