//! Connections.
//!
//! Not sqlx's pool, for two reasons. It pings a connection each time it comes back, which is a second round trip
//! for each statement. And it hands a connection to any runtime: services have a thread and a runtime each, and a
//! connection's answers are seen only while the runtime that opened it polls. Here a connection stays with its
//! runtime, and is asked whether it lives only after another one broke or when it lay idle for long.

use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions, Connection, PgConnection};
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::runtime::{Handle, Id};
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::{Instant, timeout};

/// A connection that lay idle for so long may have been forgotten by what stands between.
const ASK_AFTER: Duration = Duration::from_secs(30);

/// At most so many connections, each used by the runtime that opened it.
pub(crate) struct Pool {
    options: PgConnectOptions,
    size: usize,
    connect_timeout: Duration,
    acquire_timeout: Duration,
    permits: Semaphore,
    idle: Mutex<Vec<Idle>>,
    /// How many connections broke: what was idle then is doubtful.
    broken: AtomicU64,
    opened: AtomicU64,
}

struct Idle {
    connection: PgConnection,
    runtime: Id,
    broken_then: u64,
    since: Instant,
}

/// Why there is no connection; nothing has been sent.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NoConnection {
    /// All are in use.
    #[error("all {size} connections were in use for {waited:?}")]
    Busy { size: usize, waited: Duration },
    /// It could not be opened.
    #[error("no connection could be opened")]
    Refused(#[source] sqlx::Error),
    /// It could not be opened in time.
    #[error("no connection could be opened within {0:?}")]
    Silent(Duration),
}

/// A connection in use. Dropped, it is closed: only [`Lease::give_back`] keeps it.
pub(crate) struct Lease<'p> {
    pool: &'p Pool,
    pub(crate) connection: PgConnection,
    _permit: SemaphorePermit<'p>,
}

impl Pool {
    pub(crate) fn new(
        options: PgConnectOptions,
        size: usize,
        connect_timeout: Duration,
        acquire_timeout: Duration,
    ) -> Self {
        let size = size.max(1);
        Self {
            options,
            size,
            connect_timeout,
            acquire_timeout,
            permits: Semaphore::new(size),
            idle: Mutex::default(),
            broken: AtomicU64::new(0),
            opened: AtomicU64::new(0),
        }
    }

    /// How many connections were opened.
    pub(crate) fn opened(&self) -> u64 {
        self.opened.load(Ordering::Relaxed)
    }

    /// A connection of this runtime's.
    pub(crate) async fn acquire(&self) -> Result<Lease<'_>, NoConnection> {
        let busy = || NoConnection::Busy { size: self.size, waited: self.acquire_timeout };
        let permit = match self.permits.try_acquire() {
            Ok(permit) => permit,
            Err(_) => timeout(self.acquire_timeout, self.permits.acquire())
                .await
                .map_err(|_| busy())?
                .expect("the pool never closes its semaphore"),
        };
        while let Some(mut idle) = self.take_idle() {
            let doubtful = idle.broken_then != self.broken.load(Ordering::Acquire) || idle.since.elapsed() > ASK_AFTER;
            let lives = !doubtful || matches!(timeout(self.connect_timeout, idle.connection.ping()).await, Ok(Ok(())));
            if lives {
                return Ok(Lease { pool: self, connection: idle.connection, _permit: permit });
            }
            // Those that lay idle for longer are not waited for one by one.
            self.idle().retain(|other| other.since > idle.since);
        }
        Ok(Lease { pool: self, connection: self.open().await?, _permit: permit })
    }

    /// Opens a connection that the pool does not count.
    pub(crate) async fn open(&self) -> Result<PgConnection, NoConnection> {
        let opening = timeout(self.connect_timeout, self.options.connect());
        let connection =
            opening.await.map_err(|_| NoConnection::Silent(self.connect_timeout))?.map_err(NoConnection::Refused)?;
        self.opened.fetch_add(1, Ordering::Relaxed);
        Ok(connection)
    }

    /// The one of this runtime's that was used last; if there is none, room is made for it.
    fn take_idle(&self) -> Option<Idle> {
        let runtime = Handle::current().id();
        let mut idle = self.idle();
        if let Some(at) = idle.iter().rposition(|idle| idle.runtime == runtime) {
            return Some(idle.remove(at));
        }
        // In use (this one's permit among them) and idle together must not be more than the size.
        let in_use = self.size - self.permits.available_permits();
        if !idle.is_empty() && in_use + idle.len() > self.size {
            drop(idle.remove(0));
        }
        None
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Idle>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Lease<'_> {
    /// It answered, and may be used again.
    pub(crate) fn give_back(self) {
        let Self { pool, connection, _permit } = self;
        let broken_then = pool.broken.load(Ordering::Acquire);
        let since = Instant::now();
        pool.idle().push(Idle { connection, runtime: Handle::current().id(), broken_then, since });
    }

    /// It broke: whatever is idle is asked before it is used.
    pub(crate) fn discard(self) {
        self.pool.broken.fetch_add(1, Ordering::AcqRel);
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool").field("size", &self.size).finish_non_exhaustive()
    }
}
