//! Every service in this process, over a home of its own.

use crate::home::{Home, HomeLock};
use crate::settings::{self, DatabaseUrl, Settings};
use crate::stack::{Plan, Stack};
use aidt_bench::{Bed, BedError, Bedded, Counters, Limits, Party};
use aidt_cli::Service;
use aidt_client::Endpoint;
use aidt_runtime::{Ids, SystemClock};
use async_trait::async_trait;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// Beds in the home's folder, so on the disk that runs use.
pub(super) struct HomeBed;

struct Running {
    stack: Stack,
    endpoint: Endpoint,
    _lock: HomeLock,
}

#[async_trait]
impl Bed for HomeBed {
    fn folder(&self) -> Result<PathBuf, BedError> {
        let home = Home::at(&settings::home_dir()?)?;
        Ok(home.dir().to_owned())
    }

    fn stack(&self) -> Option<aidt_bench::Stack> {
        None
    }

    async fn limits(&self) -> Result<Option<Limits>, BedError> {
        Ok(None)
    }

    async fn start(&self, home: &Path, workers: bool) -> Result<Box<dyn Bedded>, BedError> {
        let mut settings = Settings::embedded()?;
        settings.adapters.database = DatabaseUrl::Sqlite(home.join("state.db"));
        settings.worker.workspaces = home.join("workspaces");
        let home = Home::at(home)?;
        let lock = home.try_lock()?.ok_or("the bench's own home is locked by another process")?;
        let plan = Plan {
            process: Ids::system(Arc::new(SystemClock::new())).process(),
            settings: &settings,
            services: Service::ALL.into_iter().filter(|s| workers || *s != Service::ToolWorker).collect(),
            home: &home,
            embedded: true,
            listen: None,
            tools: None,
            policy: None,
            roots: Vec::new(),
            drain: Duration::from_secs(5),
        };
        let mut stack = Stack::start(plan).await?;
        stack.ready().await?;
        Ok(Box::new(Running { stack, endpoint: Endpoint::Unix(home.socket()?), _lock: lock }))
    }
}

#[async_trait]
impl Bedded for Running {
    fn endpoint(&self) -> Endpoint {
        self.endpoint.clone()
    }

    fn counters(&self) -> Option<Counters> {
        let c = self.stack.sqlite.as_ref()?.counters();
        let (statements, rows, spans) = (c.statements, c.rows, aidt_telemetry::spans_recorded());
        Some(Counters { statements, rows, transactions: c.transactions, fsyncs: c.fsyncs, spans })
    }

    fn parties(&self) -> Vec<Party> {
        Vec::new()
    }

    async fn stop(self: Box<Self>) -> Result<(), BedError> {
        if let Err(error) = self.stack.stop().await {
            tracing::warn!(%error, "the bench's services did not end well");
        }
        Ok(())
    }
}
