//! What the commands need of the binary that they live in.

use crate::args::Service;
use aidt_bench::Bed;
use aidt_client::Endpoint;
use aidt_domain::{ErrorCode, RunId, ToolEntry};
use async_trait::async_trait;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use tokio_util::sync::CancellationToken;

/// What an embedding process takes from the command line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Embed {
    /// A server to use instead of embedding anything (`--server`, `AIDT_SERVER`).
    pub server: Option<Endpoint>,
    /// Catalogue entries beside the built-in ones (`--tools DIR`).
    pub tools: Option<PathBuf>,
    /// Commands that start further workers (`--worker 'CMD'`); they end with the embedder.
    pub workers: Vec<String>,
}

/// What `aidt serve` was told. `None`: from the environment, or the setting's default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Serve {
    /// The services of this process; empty: every one.
    pub services: Vec<Service>,
    /// Where this process listens.
    pub listen: Option<SocketAddr>,
    /// Catalogue entries beside the built-in ones.
    pub tools: Option<PathBuf>,
    /// Policies instead of the built-in ones.
    pub policy: Option<PathBuf>,
    /// `sqlite:…`, `postgres:…`
    pub database: Option<String>,
    /// `memory:`, `amqp:…`, `kafka:…`
    pub queue: Option<String>,
    /// `memory:`, `redis:…`
    pub lock: Option<String>,
    /// `file:…`
    pub artifacts: Option<String>,
    /// What names on shared servers begin with.
    pub prefix: Option<String>,
    /// Where a tool worker dials in.
    pub step_consumers: Option<String>,
}

/// What `aidt bench` is to measure. `None`: from the environment, or embedded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BenchOn {
    /// `postgres:…`
    pub database: Option<String>,
    /// `amqp:…`, `kafka:…`
    pub queue: Option<String>,
    /// `redis:…`
    pub lock: Option<String>,
    /// Processes of each service over servers; there is one gateway.
    pub replicas: u32,
}

/// What runs, once it does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Serving {
    /// The services of this process.
    pub services: Vec<Service>,
    /// Where it listens.
    pub endpoint: Endpoint,
    /// What it works with: a word and a URL without its password, such as `store` and `postgres://db/aidt`.
    pub with: Vec<(&'static str, String)>,
}

/// The binary, as seen by a command. It alone knows services and adapters.
///
/// The first call of [`Host::endpoint`] looks for the home's lock. If it is free, the host takes it,
/// starts every service in this process, serves the API on the home's socket, and answers with that; it
/// stays the embedder until [`Host::close`]. If another process holds it, the answer is that process's
/// socket. A command asks again whenever it has lost its connection: the other process may have ended,
/// and then it is this one's turn to embed. With [`Embed::server`] set the answer is always that.
#[async_trait]
pub trait Host: Send + Sync {
    /// A server that should answer now, embedded in this process if no other holds the home.
    ///
    /// Cheap when this process already embeds. Not cancel safe: a command awaits it to its end.
    async fn endpoint(&self, embed: &Embed) -> Result<Endpoint, HostError>;

    /// What is worth saying since this process began to embed, such as `resumed 2 runs left by a kill`.
    /// Each notice is given once; `None` while there is nothing (new) to say.
    fn embedded_notice(&self) -> Option<String>;

    /// Ends what [`Host::endpoint`] embedded: drains, ends the workers, gives the home back. Does nothing
    /// when nothing is embedded. Afterwards [`Host::endpoint`] may be called again.
    async fn close(&self);

    /// Runs the services that `options` name until `stop` is cancelled; then drains. Embedded, the API is
    /// on the home's socket, too. `ready` is called once, when they run.
    async fn serve(
        &self,
        options: &Serve,
        stop: CancellationToken,
        ready: &(dyn for<'a> Fn(&'a Serving) + Send + Sync),
    ) -> Result<(), HostError>;

    /// The tools that a plan may use: the built-in ones and those under `tools`. Touches no home.
    fn catalogue(&self, tools: Option<&Path>) -> Result<Vec<ToolEntry>, HostError>;

    /// Where the git repository of a run's workspace lies, if it is on this machine and known.
    fn workspace(&self, run: RunId) -> Option<PathBuf>;

    /// A fresh random word for an `Idempotency-Key`.
    fn random_key(&self) -> String;

    /// W3C trace context of whoever started the command; its requests continue that trace.
    fn traceparent(&self) -> Option<String> {
        None
    }

    /// Where `aidt bench` runs: services over a home of their own, and on servers under names of their own.
    fn bed(&self, on: &BenchOn) -> Result<Box<dyn Bed>, HostError>;
}

/// Why the host could not do it.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct HostError {
    /// Decides the exit code, and the help that is shown.
    pub code: ErrorCode,
    /// What, where, and what to do.
    pub message: String,
    /// What it follows from.
    #[source]
    pub source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl HostError {
    /// Without a further cause.
    #[must_use]
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), source: None }
    }

    /// With its cause.
    #[must_use]
    pub fn caused(mut self, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }
}
