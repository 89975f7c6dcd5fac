//! A URL's scheme picks the adapter. Those of servers are cargo features, so that a build for a laptop can
//! do without them.

use crate::error::{cannot, shown};
use crate::settings::{AdapterSettings, DatabaseUrl, LockUrl, QueueUrl};
use aidt_cli::HostError;
use aidt_domain::{Clock, ErrorCode, ProcessId};
use aidt_lock::Locks;
use aidt_lock::memory::MemoryLocks;
use aidt_queue::Queue;
use aidt_queue::memory::MemoryQueue;
use aidt_store::Store;
use aidt_store_sqlite::SqliteStore;
#[cfg(feature = "kafka")]
use std::collections::BTreeMap;
use std::sync::Arc;

/// What a thread of a process works with.
#[derive(Clone)]
pub(crate) struct Adapters {
    pub(crate) store: Store,
    pub(crate) queue: Arc<dyn Queue>,
    pub(crate) locks: Arc<dyn Locks>,
}

/// Opens adapters. A connection is served by the runtime that opened it, and no thread is to wait for
/// another's: queue and locks are opened by each thread for itself, unless they are in memory. The store
/// sees to it by itself, and is opened once.
#[derive(Clone)]
pub(crate) struct Opener {
    settings: AdapterSettings,
    #[cfg_attr(not(feature = "rabbitmq"), expect(dead_code, reason = "what is in memory has it"))]
    process: ProcessId,
    #[cfg_attr(not(feature = "rabbitmq"), expect(dead_code, reason = "what is in memory has it"))]
    clock: Arc<dyn Clock>,
    pub(crate) store: Store,
    /// The store, if it is a file: for its counters.
    pub(crate) sqlite: Option<Arc<SqliteStore>>,
    queue: Arc<MemoryQueue>,
    locks: Arc<MemoryLocks>,
}

impl Opener {
    /// Opens the store. `process` names the life of what is kept in memory.
    pub(crate) async fn new(
        settings: &AdapterSettings,
        clock: &Arc<dyn Clock>,
        process: ProcessId,
    ) -> Result<Self, HostError> {
        let (store, sqlite) = match &settings.database {
            DatabaseUrl::Sqlite(path) => {
                let options = aidt_store_sqlite::Options::new(settings.partitions, Arc::clone(clock));
                let failed = |e| cannot(ErrorCode::Unavailable, "the database cannot be used", e);
                let sqlite = SqliteStore::open(path, options).map_err(failed)?;
                (Store::new(Arc::clone(&sqlite)), Some(sqlite))
            }
            DatabaseUrl::Postgres(url) => (postgres(url, settings).await?, None),
        };
        Ok(Self {
            settings: settings.clone(),
            process,
            clock: Arc::clone(clock),
            store,
            sqlite,
            queue: Arc::new(MemoryQueue::new(Arc::clone(clock), process.to_string())),
            locks: Arc::new(MemoryLocks::new()),
        })
    }

    /// The adapters, for the thread that asks.
    pub(crate) async fn open(&self) -> Result<Adapters, HostError> {
        let queue: Arc<dyn Queue> = match &self.settings.queue {
            QueueUrl::Memory => Arc::clone(&self.queue) as Arc<dyn Queue>,
            QueueUrl::Amqp(url) => rabbitmq(url, self).await?,
            QueueUrl::Kafka { brokers, tls } => kafka(brokers, *tls, self).await?,
        };
        let locks: Arc<dyn Locks> = match &self.settings.lock {
            LockUrl::Memory => Arc::clone(&self.locks) as Arc<dyn Locks>,
            LockUrl::Redis(url) => redis(url, &self.settings).await?,
        };
        Ok(Adapters { store: self.store.clone(), queue, locks })
    }
}

#[cfg(feature = "postgres")]
async fn postgres(url: &str, settings: &AdapterSettings) -> Result<Store, HostError> {
    let schema = settings.prefix.replace('-', "_");
    let mut options = aidt_store_postgres::Options::new(url, schema, settings.partitions);
    options.connections = settings.database_connections as usize;
    options.ca.clone_from(&settings.ca);
    let store = aidt_store_postgres::PostgresStore::connect(options).await;
    let failed = |e| cannot(ErrorCode::Unavailable, cannot_be_used("the database", url.contains("sslmode=verify")), e);
    Ok(Store::new(store.map_err(failed)?))
}

#[cfg(not(feature = "postgres"))]
async fn postgres(_: &str, _: &AdapterSettings) -> Result<Store, HostError> {
    Err(left_out("postgres"))
}

#[cfg(feature = "rabbitmq")]
async fn rabbitmq(urls: &str, opener: &Opener) -> Result<Arc<dyn Queue>, HostError> {
    let urls = urls.split(',').map(str::to_owned).collect();
    let (prefix, clock) = (opener.settings.prefix.clone(), Arc::clone(&opener.clock));
    let mut options = aidt_queue_rabbitmq::Options::new(urls, prefix, opener.process, clock);
    options.ca.clone_from(&opener.settings.ca);
    let tls = options.urls.iter().any(|url| url.starts_with("amqps:"));
    let queue = aidt_queue_rabbitmq::RabbitQueue::connect(options).await;
    Ok(queue.map_err(|e| cannot(ErrorCode::Unavailable, cannot_be_used("RabbitMQ", tls), e))?)
}

#[cfg(not(feature = "rabbitmq"))]
async fn rabbitmq(_: &str, _: &Opener) -> Result<Arc<dyn Queue>, HostError> {
    Err(left_out("rabbitmq"))
}

#[cfg(feature = "kafka")]
async fn kafka(brokers: &str, tls: bool, opener: &Opener) -> Result<Arc<dyn Queue>, HostError> {
    let partitions = opener.store.run_log.partitions();
    let mut options = aidt_queue_kafka::Options::new(brokers, opener.settings.prefix.clone(), partitions);
    if tls {
        options.settings = kafka_over_tls(&opener.settings)?;
    }
    let queue = aidt_queue_kafka::KafkaQueue::connect(options).await;
    Ok(queue.map_err(|e| cannot(ErrorCode::Unavailable, cannot_be_used("Kafka", tls), e))?)
}

/// What librdkafka is told.
#[cfg(feature = "kafka-tls")]
pub(crate) fn kafka_over_tls(settings: &AdapterSettings) -> Result<BTreeMap<String, String>, HostError> {
    let ca = settings.ca.iter().map(|ca| ("ssl.ca.pem".to_owned(), ca.clone()));
    Ok(ca.chain([("security.protocol".to_owned(), "ssl".to_owned())]).collect())
}

#[cfg(all(feature = "kafka", not(feature = "kafka-tls")))]
pub(crate) fn kafka_over_tls(_: &AdapterSettings) -> Result<BTreeMap<String, String>, HostError> {
    Err(left_out("kafka-tls"))
}

#[cfg(not(feature = "kafka"))]
async fn kafka(_: &str, _: bool, _: &Opener) -> Result<Arc<dyn Queue>, HostError> {
    Err(left_out("kafka"))
}

#[cfg(feature = "redis")]
async fn redis(url: &str, settings: &AdapterSettings) -> Result<Arc<dyn Locks>, HostError> {
    let mut options = aidt_lock_redis::Options::new(url, settings.prefix.clone());
    options.ca.clone_from(&settings.ca);
    let locks = aidt_lock_redis::RedisLocks::connect(options).await;
    let locks = locks.map_err(|e| cannot(ErrorCode::InvalidArgument, "Redis cannot be used", e))?;
    // One that is away may come back; one whose certificate does not hold will not be believed later.
    match locks.ready() {
        Err(error) if url.starts_with("rediss:") && shown(&error).contains("certificate") => {
            Err(cannot(ErrorCode::Unavailable, cannot_be_used("Redis", true), error))
        }
        _ => Ok(Arc::new(locks)),
    }
}

#[cfg(not(feature = "redis"))]
async fn redis(_: &str, _: &AdapterSettings) -> Result<Arc<dyn Locks>, HostError> {
    Err(left_out("redis"))
}

/// What the error is about, and where its certificate is checked with what.
fn cannot_be_used(what: &str, tls: bool) -> String {
    let how = if tls { " over TLS (AIDT_TLS_CA_FILE names who may vouch for it)" } else { "" };
    format!("{what} cannot be used{how}")
}

/// Built without the feature.
#[cfg(not(all(feature = "kafka-tls", feature = "postgres", feature = "rabbitmq", feature = "redis", feature = "s3")))]
pub(crate) fn left_out(feature: &str) -> HostError {
    let message = format!("this build was made without the adapter '{feature}': build with `--features {feature}`");
    HostError::new(ErrorCode::InvalidArgument, message)
}
