//! The store: its connections, its clock, and how a statement is run.

use crate::clock::StoreClock;
use crate::counters::{Counters, Figures};
use crate::error::{Effect, Error, Failed, Meaning, failed};
use crate::options::Options;
use crate::pool::{NoConnection, Pool};
use crate::schema;
use crate::statement::Statement;
use aidt_domain::{Epoch, PartitionId};
use aidt_store::{Kind, StoreError};
use sqlx::postgres::PgRow;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::time::timeout;

/// How much later than the server's own limit a statement is given up: then nobody answers any more.
const GIVE_UP_AFTER: Duration = Duration::from_secs(1);

/// All ports over one schema of a Postgres database. Cheap to share; usable from several runtimes at once.
///
/// No operation is cancel safe: dropped, it may have happened, and its connection is closed.
#[derive(Debug)]
pub struct PostgresStore {
    pub(crate) partitions: u16,
    pub(crate) clock: StoreClock,
    pub(crate) figures: Figures,
    at: Arc<str>,
    main: Pool,
    /// A life must be told however much the others wait.
    heart: Pool,
    statement_timeout: Duration,
    /// Submissions with a key so far: now and then one sweeps out old keys.
    pub(crate) keys: AtomicU64,
    /// The highest epoch seen of each partition.
    epochs: Mutex<Vec<Epoch>>,
}

impl PostgresStore {
    /// Connects, and brings the schema to this build's version (creating it when it is not there). Several
    /// processes may do so at once. Not cancel safe.
    ///
    /// # Errors
    /// When the database cannot be reached or entered, the schema is not aidt's, is newer, or has other partitions.
    pub async fn connect(options: Options) -> Result<Arc<Self>, Error> {
        let session = options.session()?;
        let at = format!("{}:{}", session.get_host(), session.get_port());
        let user = session.get_username().to_owned();
        let database = session.get_database().unwrap_or(&user).to_owned();
        let pool = |size| Pool::new(session.clone(), size, options.connect_timeout, options.acquire_timeout);
        let (main, heart) = (pool(options.connections), pool(options.heartbeat_connections));
        let connection = main.open().await.map_err(|error| refusal(error, at.clone(), user, database))?;
        let partitions = options.partitions.max(1);
        schema::install(connection, &at, &options.schema, partitions).await?;
        Ok(Arc::new(Self {
            partitions,
            clock: StoreClock::new(options.clock),
            figures: Figures::default(),
            at: at.into(),
            main,
            heart,
            statement_timeout: options.statement_timeout,
            keys: AtomicU64::new(0),
            epochs: Mutex::new(vec![Epoch(0); usize::from(partitions)]),
        }))
    }

    /// What has been done since it was connected.
    #[must_use]
    pub fn counters(&self) -> Counters {
        self.figures.read(self.main.opened() + self.heart.opened())
    }

    /// Runs a statement that only looks.
    pub(crate) async fn read(&self, operation: &'static str, statement: Statement) -> Result<Vec<PgRow>, StoreError> {
        self.run(&self.main, operation, Effect::Reads, statement).await
    }

    /// Runs a statement that writes: a transaction of its own.
    pub(crate) async fn write(&self, operation: &'static str, statement: Statement) -> Result<Vec<PgRow>, StoreError> {
        self.run(&self.main, operation, Effect::Writes, statement).await
    }

    /// Runs a statement of a life's.
    pub(crate) async fn beat(&self, operation: &'static str, statement: Statement) -> Result<Vec<PgRow>, StoreError> {
        self.run(&self.heart, operation, Effect::Writes, statement).await
    }

    async fn run(
        &self,
        pool: &Pool,
        operation: &'static str,
        effect: Effect,
        statement: Statement,
    ) -> Result<Vec<PgRow>, StoreError> {
        let failed = |error: sqlx::Error| {
            let meaning = Meaning::of(&error, effect);
            let lost = meaning.connection_lost;
            (failed(operation, &meaning, &self.at, error), lost)
        };
        let query = statement.query().map_err(|error| failed(error).0)?;
        let mut lease = pool.acquire().await.map_err(|error| StoreError::new(operation, Kind::Unavailable, error))?;
        let limit = self.statement_timeout + GIVE_UP_AFTER;
        let answered = timeout(limit, query.fetch_all(&mut lease.connection)).await;
        let answer = answered.unwrap_or_else(|_| Err(sqlx::Error::Io(std::io::ErrorKind::TimedOut.into())));
        match answer {
            Ok(rows) => {
                lease.give_back();
                Figures::add(&self.figures.statements, 1);
                Figures::add(&self.figures.transactions, u64::from(effect == Effect::Writes));
                Ok(rows)
            }
            Err(error) => {
                let (error, lost) = failed(error);
                if lost {
                    lease.discard();
                } else {
                    lease.give_back();
                }
                Err(error)
            }
        }
    }

    pub(crate) fn check_partition(&self, operation: &'static str, partition: PartitionId) -> Result<(), StoreError> {
        if partition.0 < self.partitions {
            return Ok(());
        }
        let message = format!("there is no partition {partition}: the store has {}", self.partitions);
        Err(StoreError::new(operation, Kind::Invalid, message))
    }

    /// The highest epoch that this process has seen of a partition.
    pub(crate) fn highest_epoch(&self, partition: PartitionId) -> Epoch {
        self.epochs.lock().unwrap_or_else(PoisonError::into_inner)[usize::from(partition.0)]
    }

    /// Remembers an epoch. `at_least`: what it cannot be below, unless a failover has lost commits.
    pub(crate) fn saw_epoch(&self, partition: PartitionId, epoch: Epoch, at_least: Epoch) -> Result<(), Failed> {
        if epoch < at_least {
            return Err(Failed::corrupt(format!(
                "partition {partition} is at epoch {epoch}, and was at {at_least} or above: the database has lost \
                 what it had committed, as a failover without a synchronous standby does; stop all processes and \
                 decide which server's data to keep"
            )));
        }
        let mut epochs = self.epochs.lock().unwrap_or_else(PoisonError::into_inner);
        let highest = &mut epochs[usize::from(partition.0)];
        *highest = epoch.max(*highest);
        Ok(())
    }
}

fn refusal(error: NoConnection, at: String, user: String, database: String) -> Error {
    let source = match error {
        NoConnection::Silent(waited) | NoConnection::Busy { waited, .. } => return Error::Silent { at, waited },
        NoConnection::Refused(source) => source,
    };
    let code = source.as_database_error().and_then(|error| error.code().map(|code| code.into_owned()));
    match code.as_deref() {
        Some("28P01" | "28000") => Error::Denied { at, user, source },
        Some("3D000") => Error::NoDatabase { at, database, source },
        None if matches!(source, sqlx::Error::Io(_)) => Error::Unreachable { at, source },
        _ => Error::Database { doing: "open a connection", at, source },
    }
}
