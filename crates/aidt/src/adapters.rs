//! A URL's scheme picks the adapter. Those of servers are cargo features, so that a build for a laptop can
//! do without them.

use crate::error::cannot;
use crate::settings::{AdapterSettings, DatabaseUrl, LockUrl, QueueUrl};
use aidt_cli::HostError;
use aidt_domain::{Clock, ErrorCode, ProcessId};
use aidt_lock::Locks;
use aidt_lock::memory::MemoryLocks;
use aidt_queue::Queue;
use aidt_queue::memory::MemoryQueue;
use aidt_store::Store;
use aidt_store_sqlite::SqliteStore;
use std::sync::Arc;

/// What a thread of a process works with.
#[derive(Clone)]
pub(crate) struct Adapters {
    pub(crate) store: Store,
    pub(crate) queue: Arc<dyn Queue>,
    pub(crate) locks: Arc<dyn Locks>,
}

/// Opens adapters, for each thread its own: a connection is served by the runtime that opened it, and no
/// thread is to wait for another's. What is in memory, or in a file, is opened once and shared.
#[derive(Clone)]
pub(crate) struct Opener {
    settings: AdapterSettings,
    /// The store, if it is a file: also for its counters.
    pub(crate) sqlite: Option<Arc<SqliteStore>>,
    queue: Arc<MemoryQueue>,
    locks: Arc<MemoryLocks>,
}

impl Opener {
    /// `process` names the life of what is kept in memory.
    pub(crate) fn new(
        settings: &AdapterSettings,
        clock: &Arc<dyn Clock>,
        process: ProcessId,
    ) -> Result<Self, HostError> {
        let sqlite = match &settings.database {
            DatabaseUrl::Sqlite(path) => {
                let options = aidt_store_sqlite::Options::new(settings.partitions, Arc::clone(clock));
                let failed = |e| cannot(ErrorCode::Unavailable, "the database cannot be used", e);
                Some(SqliteStore::open(path, options).map_err(failed)?)
            }
            DatabaseUrl::Postgres(_) => None,
        };
        Ok(Self {
            settings: settings.clone(),
            sqlite,
            queue: Arc::new(MemoryQueue::new(Arc::clone(clock), process.to_string())),
            locks: Arc::new(MemoryLocks::new()),
        })
    }

    /// The adapters, for the thread that asks.
    pub(crate) async fn open(&self) -> Result<Adapters, HostError> {
        let store = self.store(self.settings.database_connections).await?;
        let partitions = store.run_log.partitions();
        let queue: Arc<dyn Queue> = match &self.settings.queue {
            QueueUrl::Memory => Arc::clone(&self.queue) as Arc<dyn Queue>,
            QueueUrl::Amqp(url) => rabbitmq(url, &self.settings, partitions).await?,
            QueueUrl::Kafka(brokers) => kafka(brokers, &self.settings, partitions).await?,
        };
        let locks: Arc<dyn Locks> = match &self.settings.lock {
            LockUrl::Memory => Arc::clone(&self.locks) as Arc<dyn Locks>,
            LockUrl::Redis(url) => redis(url, &self.settings).await?,
        };
        Ok(Adapters { store, queue, locks })
    }

    /// The store alone, by at most so many connections.
    pub(crate) async fn store(&self, connections: u32) -> Result<Store, HostError> {
        match (&self.sqlite, &self.settings.database) {
            (Some(sqlite), _) => Ok(Store::new(Arc::clone(sqlite))),
            (None, DatabaseUrl::Postgres(url)) => postgres(url, &self.settings, connections).await,
            (None, DatabaseUrl::Sqlite(_)) => unreachable!("opened when this was made"),
        }
    }
}

async fn postgres(_: &str, _: &AdapterSettings, _: u32) -> Result<Store, HostError> {
    Err(left_out("postgres"))
}

async fn rabbitmq(_: &str, _: &AdapterSettings, _: u16) -> Result<Arc<dyn Queue>, HostError> {
    Err(left_out("rabbitmq"))
}

async fn kafka(_: &str, _: &AdapterSettings, _: u16) -> Result<Arc<dyn Queue>, HostError> {
    Err(left_out("kafka"))
}

async fn redis(_: &str, _: &AdapterSettings) -> Result<Arc<dyn Locks>, HostError> {
    Err(left_out("redis"))
}

/// Built without the feature.
fn left_out(feature: &str) -> HostError {
    let message = format!("this build was made without the adapter '{feature}': build with `--features {feature}`");
    HostError::new(ErrorCode::InvalidArgument, message)
}
