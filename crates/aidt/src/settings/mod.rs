//! Where every setting comes from: flags, then variables, then the default.
//!
//! In reading order: `names` (every variable), `source` (how one is read), `urls` (which adapter),
//! `s3` and `tls` (what goes with them), `step_consumers` (where a worker dials in), `check` (what cannot work
//! together).

mod check;
pub(crate) mod names;
mod s3;
mod source;
mod step_consumers;
mod tls;
mod urls;

pub(crate) use s3::S3Settings;
pub(crate) use source::Secret;
pub(crate) use step_consumers::StepConsumers;
pub(crate) use tls::WorkerTls;
pub(crate) use urls::{ArtifactsUrl, DatabaseUrl, LockUrl, QueueUrl};

use crate::error::cannot;
use aidt_cli::{BenchOn, HostError, Serve, Service};
use aidt_client::Endpoint;
use aidt_domain::{ErrorCode, Pool, ProcessId};
use aidt_telemetry::{Telemetry, TraceContext};
use source::{Source, invalid};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

/// Partitions of a new store in a file, and of one on a server.
const PARTITIONS: (u32, u32) = (8, 32);
/// Connections to a database server, per process.
const DATABASE_CONNECTIONS: u32 = 8;
/// Calls that the built-in worker runs at once. Its tools mostly wait for git or a timer.
const SLOTS: u32 = 64;
/// How long a drain may take.
const DRAIN_SECONDS: u32 = 25;

/// The settings of a process.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    /// Everything that an embedded aidt keeps.
    pub(crate) home: PathBuf,
    /// `PATH`, for git.
    pub(crate) path: String,
    /// Where the command was invoked.
    pub(crate) cwd: PathBuf,
    /// What the operator calls this installation: policies may ask.
    pub(crate) environment: String,
    pub(crate) adapters: AdapterSettings,
    pub(crate) worker: WorkerSettings,
    /// Where this process listens.
    pub(crate) listen: SocketAddr,
    /// Where it also answers how it is, in clear text.
    pub(crate) health_listen: Option<SocketAddr>,
    /// How long a drain may take, as a whole.
    pub(crate) drain: Duration,
    /// Seals the routes of results: the same in all step consumers.
    pub(crate) route_key: Option<Secret>,
}

/// What state, messages and leases are kept in.
#[derive(Clone, Debug)]
pub(crate) struct AdapterSettings {
    pub(crate) database: DatabaseUrl,
    pub(crate) queue: QueueUrl,
    pub(crate) lock: LockUrl,
    /// Values that are too large for a row; `None`: they are refused.
    pub(crate) artifacts: Option<ArtifactsUrl>,
    /// Whether other processes are to see them: where an operator says where they are.
    pub(crate) artifacts_are_shared: bool,
    pub(crate) s3: S3Settings,
    /// PEM certificates that may vouch for servers.
    pub(crate) ca: Option<String>,
    /// How the database's TLS is to be where its URL does not say, as every client of it has it.
    pub(crate) sslmode: Option<String>,
    /// What all names on shared servers begin with.
    pub(crate) prefix: String,
    /// Of a new store; one that is there has its own.
    pub(crate) partitions: u16,
    /// To a database server, at most.
    #[cfg_attr(not(feature = "postgres"), expect(dead_code, reason = "a file has no connections"))]
    pub(crate) database_connections: u32,
}

/// The built-in worker.
#[derive(Clone, Debug)]
pub(crate) struct WorkerSettings {
    /// Where it dials in, beside the step consumer of its own process.
    pub(crate) step_consumers: Vec<StepConsumers>,
    pub(crate) pool: Pool,
    /// Calls that it runs at once.
    pub(crate) slots: u32,
    /// What admits workers.
    pub(crate) token: Option<Secret>,
    /// How workers and step consumers show each other who they are.
    pub(crate) tls: Option<WorkerTls>,
    /// The folder of the workspaces.
    pub(crate) workspaces: PathBuf,
    /// Local repositories may be cloned from under these.
    pub(crate) roots: Vec<PathBuf>,
}

impl Settings {
    /// Of a command that embeds: everything in this process and in the home. Servers are for `serve`.
    pub(crate) fn embedded() -> Result<Self, HostError> {
        Self::embedded_from(&Source::new(&variable), cwd()?)
    }

    fn embedded_from(source: &Source<'_>, cwd: PathBuf) -> Result<Self, HostError> {
        let settings = Self::read(source, &Serve::default(), true, cwd)?;
        settings.check_embedded()?;
        Ok(settings)
    }

    /// Of `aidt bench`: over servers if it is told of a database server, embedded otherwise.
    pub(crate) fn bench(on: &BenchOn) -> Result<Self, HostError> {
        let BenchOn { database, queue, lock, .. } = on.clone();
        let flags = Serve { database, queue, lock, ..Serve::default() };
        let settings = Self::read(&Source::new(&variable), &flags, true, cwd()?)?;
        // Each service will be in a process of its own; which one is asked for makes no difference here.
        if settings.adapters.is_shared() {
            settings.check(&[Service::Gateway])?
        } else {
            settings.check_embedded()?
        }
        Ok(settings)
    }

    /// Of `aidt serve`, with the services of this process.
    pub(crate) fn serve(options: &Serve) -> Result<(Self, Vec<Service>), HostError> {
        let settings = Self::read(&Source::new(&variable), options, false, cwd()?)?;
        let services = services(options);
        settings.check(&services)?;
        Ok((settings, services))
    }

    fn read(source: &Source<'_>, flags: &Serve, embedded: bool, cwd: PathBuf) -> Result<Self, HostError> {
        let home = home(source, &cwd)?;
        let adapters = AdapterSettings::read(source, flags, embedded, &home, &cwd)?;
        let environment = match source.get(names::ENVIRONMENT)? {
            Some(name) => name,
            None if adapters.is_shared() => "production".to_owned(),
            None => "embedded".to_owned(),
        };
        Ok(Self {
            path: source.variable_of_system("PATH").unwrap_or_else(|| "/usr/local/bin:/usr/bin:/bin".to_owned()),
            environment,
            worker: WorkerSettings::read(source, flags, embedded, &home, &cwd)?,
            listen: listen(source, flags)?,
            health_listen: address(source, names::HEALTH_LISTEN)?,
            drain: Duration::from_secs(source.number(names::DRAIN_SECONDS, DRAIN_SECONDS, 1..=3600)?.into()),
            route_key: source.secret(names::ROUTE_KEY, names::ROUTE_KEY_FILE, &cwd)?,
            adapters,
            home,
            cwd,
        })
    }
}

impl AdapterSettings {
    fn read(
        source: &Source<'_>,
        flags: &Serve,
        embedded: bool,
        home: &std::path::Path,
        cwd: &std::path::Path,
    ) -> Result<Self, HostError> {
        // Other programs have a DATABASE_URL, too: `aidt run` is not to be bent by theirs.
        let database = if embedded { source.own(names::DATABASE) } else { source.get(names::DATABASE)? };
        let database = source.or_in_file(names::DATABASE, database, names::DATABASE_FILE, cwd)?;
        let database = flags.database.clone().or(database);
        let database = DatabaseUrl::parse(database.as_deref(), home.join("state.db"), cwd)?;
        let queue = source.or_in_file(names::QUEUE, source.get(names::QUEUE)?, names::QUEUE_FILE, cwd)?;
        let queue = flags.queue.clone().or(queue);
        let lock = source.or_in_file(names::LOCK, source.get(names::LOCK)?, names::LOCK_FILE, cwd)?;
        let lock = flags.lock.clone().or(lock);
        let artifacts = flags.artifacts.clone().or(source.get(names::ARTIFACTS)?);
        let artifacts = ArtifactsUrl::parse(artifacts.as_deref(), cwd)?;
        let alone = matches!(database, DatabaseUrl::Sqlite(_)) && (embedded || services(flags) == Service::ALL);
        let in_home = || alone.then(|| ArtifactsUrl::File(home.join("artifacts")));
        let default = if matches!(database, DatabaseUrl::Sqlite(_)) { PARTITIONS.0 } else { PARTITIONS.1 };
        let partitions = source.number(names::PARTITIONS, default, 1..=1024)?;
        Ok(Self {
            queue: QueueUrl::parse(queue.as_deref())?,
            lock: LockUrl::parse(lock.as_deref())?,
            artifacts_are_shared: artifacts.is_some(),
            artifacts: artifacts.or_else(in_home),
            s3: S3Settings::read(source)?,
            ca: source.pem(names::TLS_CA_FILE, cwd)?,
            sslmode: source.variable_of_system("PGSSLMODE"),
            prefix: prefix(flags.prefix.clone().or(source.get(names::PREFIX)?))?,
            database,
            partitions: u16::try_from(partitions).expect("at most 1024"),
            database_connections: source.number(names::DATABASE_CONNECTIONS, DATABASE_CONNECTIONS, 2..=1000)?,
        })
    }

    /// Whether processes on other machines can share this state.
    pub(crate) fn is_shared(&self) -> bool {
        matches!(self.database, DatabaseUrl::Postgres(_))
    }

    /// For people: what is used, without passwords.
    pub(crate) fn shown(&self) -> Vec<(&'static str, String)> {
        let mut shown = vec![
            ("store", self.database.to_string()),
            ("queue", self.queue.to_string()),
            ("locks", self.lock.to_string()),
        ];
        shown.extend(self.artifacts.iter().map(|at| ("artifacts", at.to_string())));
        if self.is_shared() {
            shown.push(("prefix", self.prefix.clone()));
        }
        shown
    }
}

impl WorkerSettings {
    fn read(
        source: &Source<'_>,
        flags: &Serve,
        embedded: bool,
        home: &std::path::Path,
        cwd: &std::path::Path,
    ) -> Result<Self, HostError> {
        // Embedded, it dials its own process alone, and other workers come by the home's socket.
        let far = if embedded { None } else { flags.step_consumers.clone().or(source.get(names::STEP_CONSUMERS)?) };
        let step_consumers = match far {
            Some(list) => StepConsumers::parse_list(&list)?,
            None => Vec::new(),
        };
        let roots = source.get(names::WORKSPACE_ROOTS)?.unwrap_or_default();
        Ok(Self {
            step_consumers,
            pool: pool(source)?,
            slots: source.number(names::WORKER_SLOTS, SLOTS, 1..=1024)?,
            token: source.secret(names::WORKER_TOKEN, names::WORKER_TOKEN_FILE, cwd)?,
            tls: if embedded { None } else { WorkerTls::read(source, cwd)? },
            workspaces: source.get(names::WORKSPACES)?.map_or_else(|| home.join("workspaces"), |dir| cwd.join(dir)),
            roots: roots.split(':').filter(|r| !r.is_empty()).map(|r| cwd.join(r)).collect(),
        })
    }
}

/// The server that commands talk to, unless `--server` names one.
pub(crate) fn server() -> Result<Option<Endpoint>, HostError> {
    let Some(url) = Source::new(&variable).get(names::SERVER)? else { return Ok(None) };
    url.parse().map(Some).map_err(|e| invalid(format!("{}: {e}", names::SERVER.name)))
}

/// The pool of the built-in tools, for what needs nothing else.
pub(crate) fn worker_pool() -> Result<Pool, HostError> {
    pool(&Source::new(&variable))
}

fn pool(source: &Source<'_>) -> Result<Pool, HostError> {
    let pool = source.get(names::WORKER_POOL)?.unwrap_or_else(|| "default".to_owned());
    Pool::new(&pool).map_err(|e| invalid(format!("{}: {e}", names::WORKER_POOL.name)))
}

/// Where the home is, for what needs nothing else.
pub(crate) fn home_dir() -> Result<PathBuf, HostError> {
    home(&Source::new(&variable), &cwd()?)
}

fn home(source: &Source<'_>, cwd: &std::path::Path) -> Result<PathBuf, HostError> {
    match (source.get(names::HOME)?, source.variable_of_system("HOME")) {
        (Some(home), _) => Ok(cwd.join(home)),
        (None, Some(home)) => Ok(PathBuf::from(home).join(".aidt")),
        (None, None) => Err(invalid("neither AIDT_HOME nor HOME is set: set AIDT_HOME to a folder for aidt's state")),
    }
}

fn cwd() -> Result<PathBuf, HostError> {
    std::env::current_dir().map_err(|e| invalid(format!("cannot tell the current folder: {e}")))
}

/// In their fixed order, each once.
fn services(options: &Serve) -> Vec<Service> {
    if options.services.is_empty() {
        return Service::ALL.to_vec();
    }
    Service::ALL.into_iter().filter(|s| options.services.contains(s)).collect()
}

fn prefix(set: Option<String>) -> Result<String, HostError> {
    let Some(prefix) = set else { return Ok("aidt".to_owned()) };
    let first = prefix.bytes().next().is_some_and(|b| b.is_ascii_lowercase());
    let rest = prefix.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
    if first && rest && prefix.len() <= 32 {
        return Ok(prefix);
    }
    let message =
        format!("{} is '{prefix}': give 1 to 32 of a-z, 0-9 and -, beginning with a letter", names::PREFIX.name);
    Err(invalid(message))
}

fn address(source: &Source<'_>, name: &names::Name) -> Result<Option<SocketAddr>, HostError> {
    let Some(text) = source.get(name)? else { return Ok(None) };
    text.parse()
        .map(Some)
        .map_err(|_| invalid(format!("{} is '{text}': give an address with a port, such as 127.0.0.1:7070", name.name)))
}

fn listen(source: &Source<'_>, flags: &Serve) -> Result<SocketAddr, HostError> {
    let port = match source.get(names::PORT)? {
        None => None,
        Some(text) => Some(text.parse::<u16>().map_err(|_| {
            invalid(format!("{} (or {}) is '{text}': give a port", names::PORT.name, names::PORT.aliases.join(", ")))
        })?),
    };
    let address = address(source, names::LISTEN)?;
    match (flags.listen, address, port) {
        (Some(address), ..) => Ok(address),
        (None, Some(address), Some(port)) if address.port() != port => {
            Err(invalid(format!("{} and {} disagree about the port: unset one", names::LISTEN.name, names::PORT.name)))
        }
        (None, Some(address), _) => Ok(address),
        (None, None, port) => Ok(SocketAddr::from((Ipv4Addr::LOCALHOST, port.unwrap_or(7070)))),
    }
}

#[expect(clippy::disallowed_methods, reason = "the one place where the environment is read")]
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// The trace that this command is a part of, as its caller says (such as a CI job).
pub(crate) fn traceparent() -> Option<String> {
    let traceparent = Source::new(&variable).variable_of_system("TRACEPARENT");
    // The standard has what is none begin a new trace.
    traceparent.filter(|text| TraceContext::parse(text).is_some())
}

/// The log, and traces and metrics as OpenTelemetry's own variables say.
pub(crate) fn start_telemetry(service: &str, process: ProcessId) -> Result<Telemetry, HostError> {
    let source = Source::new(&variable);
    let (log, format) = (source.get(names::LOG)?, source.get(names::LOG_FORMAT)?);
    let of_telemetry = |name: &str| match name {
        name if name == names::LOG.name => log.clone(),
        name if name == names::LOG_FORMAT.name => format.clone(),
        name if name.starts_with("OTEL_") => variable(name),
        _ => None,
    };
    let (version, instance) = (env!("CARGO_PKG_VERSION"), process.to_string());
    let started = aidt_telemetry::Config::from_vars(service, version, &instance, of_telemetry)
        .and_then(|config| Telemetry::start(&config));
    started.map_err(|error| cannot(ErrorCode::InvalidArgument, "telemetry cannot be started", error))
}

#[cfg(test)]
mod tests;
