//! What the servers of a stack can do alone, and taking its names away: each by its adapter.

use crate::settings::{AdapterSettings, DatabaseUrl, LockUrl, QueueUrl};
use aidt_bench::{BedError, Limits};
use std::time::Duration;

#[cfg(not(feature = "postgres"))]
use left_out as postgres;
#[cfg(not(feature = "rabbitmq"))]
use left_out as rabbitmq;
#[cfg(not(feature = "redis"))]
use left_out as redis;

/// How long each limit is looked at.
#[cfg(any(feature = "kafka", feature = "postgres", feature = "rabbitmq"))]
const SPENT: Duration = Duration::from_secs(3);

/// The broker's and the database's.
pub(super) async fn measure(adapters: &AdapterSettings) -> Result<Limits, BedError> {
    let (broker, messages_per_s, alone) = match &adapters.queue {
        QueueUrl::Amqp(urls) => rabbitmq::measure(urls, adapters).await?,
        QueueUrl::Kafka { brokers, tls } => kafka::measure(brokers, *tls, adapters).await?,
        QueueUrl::Memory => return Err("a queue in memory has no limits to look at".into()),
    };
    let (commits_per_s, rows_per_s) = match &adapters.database {
        DatabaseUrl::Postgres(url) => postgres::measure_commits(url, adapters).await?,
        DatabaseUrl::Sqlite(_) => return Err("a store in a file has no server".into()),
    };
    let broker = broker.to_owned();
    Ok(Limits { broker, messages_per_s, message_ms: alone.as_secs_f64() * 1000.0, commits_per_s, rows_per_s })
}

/// Removes all that the stack kept on its servers. All of them are tried, whatever fails.
pub(super) async fn remove(adapters: &AdapterSettings) -> Result<(), BedError> {
    let queue = match &adapters.queue {
        QueueUrl::Amqp(urls) => rabbitmq::remove(urls, adapters).await,
        QueueUrl::Kafka { brokers, tls } => kafka::remove(brokers, *tls, adapters).await,
        QueueUrl::Memory => Ok(()),
    };
    let database = match &adapters.database {
        DatabaseUrl::Postgres(url) => postgres::remove(url, adapters).await,
        DatabaseUrl::Sqlite(_) => Ok(()),
    };
    let lock = match &adapters.lock {
        LockUrl::Redis(url) => redis::remove(url, adapters).await,
        LockUrl::Memory => Ok(()),
    };
    queue.and(database).and(lock)
}

#[cfg(feature = "rabbitmq")]
mod rabbitmq {
    use super::{AdapterSettings, BedError, Duration, SPENT};
    use aidt_domain::{Pool, ProcessId};
    use aidt_queue_rabbitmq::{Limits, Options};
    use aidt_runtime::SystemClock;
    use std::sync::Arc;

    fn options(urls: &str, adapters: &AdapterSettings) -> Options {
        let urls = urls.split(',').map(str::to_owned).collect();
        let (process, clock) = (ProcessId(uuid::Uuid::nil()), Arc::new(SystemClock::new()));
        Options { ca: adapters.ca.clone(), ..Options::new(urls, adapters.prefix.clone(), process, clock) }
    }

    pub(super) async fn measure(
        urls: &str,
        adapters: &AdapterSettings,
    ) -> Result<(&'static str, f64, Duration), BedError> {
        let limits = Limits::measure(&options(urls, adapters), SPENT).await?;
        Ok(("a quorum queue of RabbitMQ with confirms", limits.messages_per_s, limits.alone))
    }

    pub(super) async fn remove(urls: &str, adapters: &AdapterSettings) -> Result<(), BedError> {
        let pool = Pool::new("default").expect("a name");
        Ok(aidt_queue_rabbitmq::remove(&options(urls, adapters), &[pool], adapters.partitions).await?)
    }
}

#[cfg(feature = "kafka")]
mod kafka {
    use super::{AdapterSettings, BedError, Duration, SPENT};
    use crate::adapters::kafka_over_tls;
    use aidt_cli::HostError;
    use aidt_queue_kafka::{Limits, Options};

    fn options(brokers: &str, tls: bool, adapters: &AdapterSettings) -> Result<Options, HostError> {
        let mut options = Options::new(brokers, adapters.prefix.clone(), adapters.partitions);
        if tls {
            options.settings = kafka_over_tls(adapters)?;
        }
        Ok(options)
    }

    pub(super) async fn measure(
        brokers: &str,
        tls: bool,
        adapters: &AdapterSettings,
    ) -> Result<(&'static str, f64, Duration), BedError> {
        let limits = Limits::measure(&options(brokers, tls, adapters)?, SPENT).await?;
        Ok(("a topic of Kafka with acks=all", limits.messages_per_s, limits.alone))
    }

    pub(super) async fn remove(brokers: &str, tls: bool, adapters: &AdapterSettings) -> Result<(), BedError> {
        Ok(aidt_queue_kafka::remove(&options(brokers, tls, adapters)?).await?)
    }
}

#[cfg(feature = "postgres")]
mod postgres {
    use super::{AdapterSettings, BedError, SPENT};
    use aidt_store_postgres::{Limits, Options};

    fn options(url: &str, adapters: &AdapterSettings) -> Options {
        let options = Options::new(url, adapters.prefix.replace('-', "_"), adapters.partitions);
        Options { ca: adapters.ca.clone(), ..options }
    }

    pub(super) async fn measure_commits(url: &str, adapters: &AdapterSettings) -> Result<(f64, f64), BedError> {
        let limits = Limits::measure(&options(url, adapters), SPENT).await?;
        Ok((limits.commits_per_s, limits.rows_per_s))
    }

    pub(super) async fn remove(url: &str, adapters: &AdapterSettings) -> Result<(), BedError> {
        Ok(aidt_store_postgres::remove(&options(url, adapters)).await?)
    }
}

#[cfg(feature = "redis")]
mod redis {
    use super::{AdapterSettings, BedError};
    use aidt_lock_redis::Options;

    pub(super) async fn remove(url: &str, adapters: &AdapterSettings) -> Result<(), BedError> {
        let options = Options { ca: adapters.ca.clone(), ..Options::new(url, adapters.prefix.clone()) };
        Ok(aidt_lock_redis::remove(&options).await?)
    }
}

/// An adapter that this build was made without. No process of it can have been started either.
#[cfg(not(all(feature = "kafka", feature = "postgres", feature = "rabbitmq", feature = "redis")))]
#[allow(dead_code, reason = "which of them are called depends on which adapter is left out")]
mod left_out {
    use super::{AdapterSettings, BedError, Duration};

    const WHY: &str = "this build was made without an adapter that the bench needs";

    pub(super) async fn measure(_: &str, _: &AdapterSettings) -> Result<(&'static str, f64, Duration), BedError> {
        Err(WHY.into())
    }

    pub(super) async fn measure_commits(_: &str, _: &AdapterSettings) -> Result<(f64, f64), BedError> {
        Err(WHY.into())
    }

    pub(super) async fn remove(_: &str, _: &AdapterSettings) -> Result<(), BedError> {
        Err(WHY.into())
    }
}

/// Kafka is told of TLS beside its address.
#[cfg(not(feature = "kafka"))]
mod kafka {
    use super::{AdapterSettings, BedError, Duration, left_out};

    pub(super) async fn measure(
        brokers: &str,
        _: bool,
        adapters: &AdapterSettings,
    ) -> Result<(&'static str, f64, Duration), BedError> {
        left_out::measure(brokers, adapters).await
    }

    pub(super) async fn remove(brokers: &str, _: bool, adapters: &AdapterSettings) -> Result<(), BedError> {
        left_out::remove(brokers, adapters).await
    }
}
