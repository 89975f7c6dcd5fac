//! Where a test runs: one process over a file, or one for each service over real servers.

use crate::{Collector, Home, Server, Tap, aidt};
use std::ops::Deref;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Partitions of a stack in a test: enough to be shared out.
pub(crate) const PARTITIONS: usize = 8;

/// What a killed process may cost.
pub(crate) const KILLED: Duration = Duration::from_secs(5);

/// Worker tokens and route keys are secrets of the test.
pub(crate) const TOKEN: &str = "a token of the tests";
const ROUTE_KEY: &str = "a route key of the tests";

/// A stack's home, and its names on servers.
pub struct Stage {
    home: Home,
    /// Where its servers are; nothing when it is embedded.
    servers: Vec<(&'static str, String)>,
    /// What else its processes are told.
    told: Vec<(&'static str, String)>,
    /// What its broker is called in traces.
    pub(crate) broker: &'static str,
}

/// The processes of a stack. Those that a test does not end are killed when dropped. It stands for its
/// first gateway.
pub struct Running {
    /// The first, or the only one.
    pub gateway: Server,
    /// Of embedded services, none.
    pub owners: Vec<Server>,
    /// Likewise.
    pub step_consumers: Vec<Server>,
    /// Likewise.
    pub workers: Vec<Server>,
}

impl Stage {
    /// Every service in one process.
    #[must_use]
    pub fn embedded() -> Self {
        let (servers, told) = (Vec::new(), Vec::new());
        Self { home: Home::default(), servers, told, broker: "aidt_memory" }
    }

    /// Over Postgres, RabbitMQ and Redis.
    #[must_use]
    pub fn rabbitmq() -> Self {
        Self::over(server("AIDT_TEST_AMQP_URL"), "rabbitmq")
    }

    /// The same, with something in between that keeps what goes to RabbitMQ and comes from it.
    #[must_use]
    pub fn rabbitmq_tapped() -> (Self, Tap) {
        let url = server("AIDT_TEST_AMQP_URL");
        let host = url.split("//").nth(1).and_then(|rest| rest.split('/').next()).unwrap_or_default();
        let address = host.rsplit('@').next().unwrap_or_default();
        let tap = Tap::before(address);
        (Self::over(url.replace(address, &tap.address().to_string()), "rabbitmq"), tap)
    }

    /// Over Postgres, Kafka and Redis.
    #[must_use]
    pub fn kafka() -> Self {
        Self::over(format!("kafka://{}", server("AIDT_TEST_KAFKA")), "kafka")
    }

    /// Its processes are told this, too.
    #[must_use]
    pub fn with(mut self, variable: &'static str, value: impl Into<String>) -> Self {
        self.told.push((variable, value.into()));
        self
    }

    /// Its processes send telemetry to this collector, by `grpc` or `http/protobuf`, and soon.
    #[must_use]
    pub fn seen_by(mut self, collector: &Collector, protocol: &str) -> Self {
        self.told.extend(collector.vars(protocol));
        self.with("OTEL_BSP_SCHEDULE_DELAY", "50").with("OTEL_METRIC_EXPORT_INTERVAL", "200")
    }

    /// Whether each service has processes of its own.
    #[must_use]
    pub fn is_apart(&self) -> bool {
        !self.servers.is_empty()
    }

    fn over(queue: String, broker: &'static str) -> Self {
        let servers = vec![
            ("AIDT_DATABASE_URL", server("AIDT_TEST_POSTGRES_URL")),
            ("AIDT_QUEUE_URL", queue),
            ("AIDT_LOCK_URL", server("AIDT_TEST_REDIS_URL")),
            ("AIDT_PREFIX", prefix()),
            ("AIDT_PARTITIONS", PARTITIONS.to_string()),
            ("AIDT_WORKER_TOKEN", TOKEN.to_owned()),
            ("AIDT_ROUTE_KEY", ROUTE_KEY.to_owned()),
        ];
        Self { home: Home::default(), servers, told: Vec::new(), broker }
    }

    /// The home of its processes.
    #[must_use]
    pub fn home(&self) -> &Home {
        &self.home
    }

    /// What its processes are told by this variable.
    ///
    /// # Panics
    /// When they are not.
    #[must_use]
    pub fn setting(&self, variable: &str) -> String {
        let told = self.servers.iter().find(|(name, _)| *name == variable);
        told.map(|(_, value)| value.clone()).unwrap_or_else(|| panic!("{variable} is not set"))
    }

    /// Starts one of each service, and waits until all are ready.
    #[must_use]
    pub fn up(&self) -> Running {
        self.up_with(1)
    }

    /// Starts so many of each service but the gateway, of which there is one.
    #[must_use]
    pub fn up_with(&self, each: usize) -> Running {
        if !self.is_apart() {
            let told: Vec<(&str, &str)> = self.told.iter().map(|(name, value)| (*name, value.as_str())).collect();
            let gateway = self.home.serve_with(&[], &told);
            return Running { gateway, owners: Vec::new(), step_consumers: Vec::new(), workers: Vec::new() };
        }
        let owners = (0..each).map(|_| self.spawn("completion-consumer")).collect();
        let step_consumers: Vec<Server> = (0..each).map(|_| self.spawn("step-consumer")).collect();
        let workers = (0..each).map(|_| self.spawn_worker(&step_consumers)).collect();
        let gateway = self.spawn("gateway");
        let mut running = Running { gateway, owners, step_consumers, workers };
        running.all().into_iter().for_each(Server::until_ready);
        running
    }

    /// Starts one process more of a service.
    #[must_use]
    pub fn spawn(&self, service: &str) -> Server {
        Server::spawn(self.command(&[service]))
    }

    /// Starts one with more settings.
    #[must_use]
    pub fn spawn_with(&self, service: &str, settings: &[(&str, String)]) -> Server {
        let mut command = self.command(&[service]);
        command.envs(settings.iter().map(|(name, value)| (name, value)));
        Server::spawn(command)
    }

    /// Starts a tool worker that dials these.
    #[must_use]
    pub fn spawn_worker(&self, step_consumers: &[Server]) -> Server {
        Server::spawn(self.worker(step_consumers))
    }

    /// A tool worker that dials these, to be started.
    #[must_use]
    pub fn worker(&self, step_consumers: &[Server]) -> Command {
        let urls: Vec<String> = step_consumers.iter().map(|s| format!("http://{}", s.address)).collect();
        let mut command = self.command(&["tool-worker"]);
        command.env("AIDT_STEP_CONSUMERS", urls.join(","));
        command
    }

    /// `aidt serve` of these services (none: all of them), on any port unless `AIDT_LISTEN` names one.
    #[must_use]
    pub fn command(&self, services: &[&str]) -> Command {
        self.command_of(&aidt(), services)
    }

    /// The same of another build.
    #[must_use]
    pub fn command_of(&self, program: &Path, services: &[&str]) -> Command {
        let mut command = self.home.command_of(program, &["serve"]);
        command.args(services).env("AIDT_LISTEN", "127.0.0.1:0");
        command.envs(self.servers.iter().chain(&self.told).map(|(name, value)| (name, value)));
        command
    }
}

impl Running {
    /// Every process.
    pub fn all(&mut self) -> Vec<&mut Server> {
        let services = [&mut self.owners, &mut self.step_consumers, &mut self.workers];
        services.into_iter().flatten().chain([&mut self.gateway]).collect()
    }

    /// SIGKILL for all.
    pub fn kill(self) {
        let Self { gateway, owners, step_consumers, workers } = self;
        owners.into_iter().chain(step_consumers).chain(workers).chain([gateway]).for_each(Server::kill);
    }

    /// SIGTERM for all, one service after the other: who records results ends last. The first exit code
    /// that is not 0, if any.
    pub fn terminate(self) -> Option<i32> {
        let Self { gateway, owners, step_consumers, workers } = self;
        let codes = step_consumers.into_iter().chain(workers).chain(owners).chain([gateway]).map(Server::terminate);
        let codes: Vec<Option<i32>> = codes.collect();
        codes.into_iter().find(|code| *code != Some(0)).unwrap_or(Some(0))
    }
}

impl Deref for Running {
    type Target = Server;

    fn deref(&self) -> &Server {
        &self.gateway
    }
}

fn server(variable: &str) -> String {
    std::env::var(variable).unwrap_or_else(|_| {
        panic!(
            "{variable} is not set: run the tests by `cargo xtask test`, or start the servers with \
             `cargo xtask services up` and export what it prints"
        )
    })
}

/// A name that no other test has, on whatever servers.
fn prefix() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos() as u64;
    format!("t{:x}-{}-{}", now, std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
}
