//! Every service in processes of its own, over servers.

use super::child::Child;
use super::{limits, port};
use crate::home::Home;
use crate::settings::{self, AdapterSettings, DatabaseUrl, LockUrl, QueueUrl, Settings};
use aidt_bench::{Bed, BedError, Bedded, Counters, Limits, Party, Stack};
use aidt_cli::Service;
use aidt_client::Endpoint;
use async_trait::async_trait;
use futures::future::{join_all, try_join_all};
use std::path::{Path, PathBuf};

/// What the environment may hold that is not for these processes: they are told all that they need.
const NOT_SET: &[&str] = &[
    "AIDT_DATABASE_URL_FILE",
    "AIDT_HEALTH_LISTEN",
    "AIDT_LISTEN",
    "AIDT_LOCK_URL_FILE",
    "AIDT_QUEUE_URL_FILE",
    "AIDT_ROUTE_KEY_FILE",
    "AIDT_SERVER",
    "AIDT_STEP_CONSUMERS",
    "AIDT_WORKER_POOL",
    "AIDT_WORKER_TLS_CA_FILE",
    "AIDT_WORKER_TLS_CERT_FILE",
    "AIDT_WORKER_TLS_KEY_FILE",
    "AIDT_WORKER_TOKEN_FILE",
    "AIDT_WORKSPACES",
    "DATABASE_URL",
    "HTTP_PORT",
    "INGRESS_URL",
    "PORT",
];

/// Beds over servers, under names of its own.
pub(super) struct ServersBed {
    adapters: AdapterSettings,
    replicas: u32,
    token: String,
    route_key: String,
}

struct Running {
    gateway: Child,
    /// In the order in which they end.
    others: Vec<Child>,
    servers: Vec<Party>,
    adapters: AdapterSettings,
}

impl ServersBed {
    pub(super) fn new(settings: Settings, prefix: String, replicas: u32, secrets: (String, String)) -> Self {
        let adapters = AdapterSettings { prefix, ..settings.adapters };
        Self { adapters, replicas, token: secrets.0, route_key: secrets.1 }
    }

    fn variables(&self) -> Vec<(&'static str, String)> {
        let adapters = &self.adapters;
        let (database, queue, lock) = urls(adapters);
        vec![
            ("AIDT_DATABASE_URL", database.to_owned()),
            ("AIDT_QUEUE_URL", queue),
            ("AIDT_LOCK_URL", lock.to_owned()),
            ("AIDT_PREFIX", adapters.prefix.clone()),
            ("AIDT_PARTITIONS", adapters.partitions.to_string()),
            ("AIDT_WORKER_TOKEN", self.token.clone()),
            ("AIDT_ROUTE_KEY", self.route_key.clone()),
        ]
    }

    async fn several(&self, service: Service, home: &Path) -> Result<Vec<Child>, BedError> {
        let variables = self.variables();
        try_join_all((0..self.replicas).map(|_| Child::start(service, home, &variables, NOT_SET))).await
    }

    async fn start_all(&self, home: &Path, workers: bool) -> Result<(Child, Vec<Child>), BedError> {
        let owners = self.several(Service::CompletionConsumer, home).await?;
        let step_consumers = self.several(Service::StepConsumer, home).await?;
        let mut variables = self.variables();
        let gateway = Child::start(Service::Gateway, home, &variables, NOT_SET).await?;
        let dialled: Vec<String> = step_consumers.iter().map(|one| one.endpoint.to_string()).collect();
        variables.push(("AIDT_STEP_CONSUMERS", dialled.join(",")));
        let not_set: Vec<&str> = NOT_SET.iter().copied().filter(|name| *name != "AIDT_STEP_CONSUMERS").collect();
        let count = if workers { self.replicas } else { 0 };
        let workers = (0..count).map(|_| Child::start(Service::ToolWorker, home, &variables, &not_set));
        let workers = try_join_all(workers).await?;
        let others: Vec<Child> = step_consumers.into_iter().chain(workers).chain(owners).collect();
        try_join_all(others.iter().chain([&gateway]).map(Child::ready)).await?;
        Ok((gateway, others))
    }
}

#[async_trait]
impl Bed for ServersBed {
    fn folder(&self) -> Result<PathBuf, BedError> {
        let home = Home::at(&settings::home_dir()?)?;
        Ok(home.dir().to_owned())
    }

    fn stack(&self) -> Option<Stack> {
        let names: Vec<String> = servers(&self.adapters).into_iter().map(|party| party.name).collect();
        Some(Stack { servers: names.join(", "), replicas: self.replicas })
    }

    async fn start(&self, home: &Path, workers: bool) -> Result<Box<dyn Bedded>, BedError> {
        match self.start_all(home, workers).await {
            Ok((gateway, others)) => {
                let servers = servers(&self.adapters);
                Ok(Box::new(Running { gateway, others, servers, adapters: self.adapters.clone() }))
            }
            Err(error) => {
                // What was started is dropped, so killed.
                if let Err(left) = limits::remove(&self.adapters).await {
                    tracing::warn!(%left, prefix = self.adapters.prefix, "names are left on the servers");
                }
                Err(error)
            }
        }
    }

    async fn limits(&self) -> Result<Option<Limits>, BedError> {
        limits::measure(&self.adapters).await.map(Some)
    }
}

#[async_trait]
impl Bedded for Running {
    fn endpoint(&self) -> Endpoint {
        self.gateway.endpoint.clone()
    }

    fn counters(&self) -> Option<Counters> {
        None
    }

    fn parties(&self) -> Vec<Party> {
        let ours = [&self.gateway].into_iter().chain(&self.others).map(Child::party);
        ours.chain(self.servers.iter().cloned()).collect()
    }

    async fn stop(self: Box<Self>) -> Result<(), BedError> {
        let Self { gateway, others, adapters, .. } = *self;
        let all: Vec<Child> = others.into_iter().chain([gateway]).collect();
        for child in &all {
            child.terminate().await;
        }
        join_all(all.into_iter().map(Child::ended)).await;
        limits::remove(&adapters).await
    }
}

/// With their passwords.
fn urls(adapters: &AdapterSettings) -> (&str, String, &str) {
    let database = match &adapters.database {
        DatabaseUrl::Postgres(url) => url,
        DatabaseUrl::Sqlite(_) => "",
    };
    let queue = match &adapters.queue {
        QueueUrl::Amqp(url) => url.clone(),
        kafka @ QueueUrl::Kafka { .. } => kafka.to_string(),
        QueueUrl::Memory => String::new(),
    };
    let lock = match &adapters.lock {
        LockUrl::Redis(url) => url,
        LockUrl::Memory => "",
    };
    (database, queue, lock)
}

fn servers(adapters: &AdapterSettings) -> Vec<Party> {
    let (database, queue, lock) = urls(adapters);
    let broker = match &adapters.queue {
        QueueUrl::Kafka { .. } => ("kafka", 9092),
        QueueUrl::Amqp(_) | QueueUrl::Memory => ("rabbitmq", 5672),
    };
    let servers = [("postgres", 5432, database), (broker.0, broker.1, &queue), ("redis", 6379, lock)];
    let servers = servers.map(|(name, port, url)| {
        let pid = place(url, port).and_then(|(host, port)| port::process_at(host, port));
        Party { name: name.to_owned(), is_server: true, pid }
    });
    servers.into()
}

/// Host and port of the first server that a URL names.
fn place(url: &str, default: u16) -> Option<(&str, u16)> {
    let rest = url.split_once("://")?.1;
    let authority = rest.split(['/', '?', ',']).next()?;
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    match host.rsplit_once(':') {
        Some((host, port)) => Some((host, port.parse().ok()?)),
        None => Some((host, default)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What they are told, and what is theirs as it is the operator's: how to reach the servers, and how to be.
    const SET: &[&str] = &[
        "AIDT_DATABASE_URL",
        "AIDT_HOME",
        "AIDT_LOCK_URL",
        "AIDT_PARTITIONS",
        "AIDT_PREFIX",
        "AIDT_QUEUE_URL",
        "AIDT_ROUTE_KEY",
        "AIDT_WORKER_TOKEN",
    ];
    const KEPT: &[&str] = &[
        "AIDT_ARTIFACTS_URL",
        "AIDT_DATABASE_CONNECTIONS",
        "AIDT_DRAIN_SECONDS",
        "AIDT_ENVIRONMENT",
        "AIDT_LOG",
        "AIDT_LOG_FORMAT",
        "AIDT_TLS_CA_FILE",
        "AIDT_WORKER_SLOTS",
        "AIDT_WORKSPACE_ROOTS",
        "AWS_ACCESS_KEY_ID",
        "AWS_DEFAULT_REGION",
        "AWS_ENDPOINT_URL",
        "AWS_ENDPOINT_URL_S3",
        "AWS_REGION",
        "AWS_SECRET_ACCESS_KEY",
        "AWS_SESSION_TOKEN",
        "LOG_LEVEL",
    ];

    #[test]
    fn of_each_variable_it_is_known_whether_the_processes_have_it() {
        let all = settings::names::ALL.iter().flat_map(|n| std::iter::once(&n.name).chain(n.aliases)).copied();
        let mut all: Vec<&str> = all.collect();
        let mut known = [NOT_SET, SET, KEPT].concat();
        all.sort_unstable();
        known.sort_unstable();
        assert_eq!(all, known);
    }

    #[test]
    fn a_server_is_found_in_its_url() {
        assert_eq!(place("postgres://u:p@127.0.0.1:5433/db", 5432), Some(("127.0.0.1", 5433)));
        assert_eq!(place("kafka://localhost:9092,other:9092", 9092), Some(("localhost", 9092)));
        assert_eq!(place("redis://localhost", 6379), Some(("localhost", 6379)));
    }
}
