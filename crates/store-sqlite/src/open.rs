//! Opening the file and its connections.

use crate::error::OpenError;
use aidt_domain::Clock;
use rusqlite::{Connection, OpenFlags};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// How a store is opened.
#[derive(Clone, Debug)]
pub struct Options {
    /// Number of partitions: fixed by whoever opens the file first, and the same ever after.
    pub partitions: u16,
    /// What `now` comes from.
    pub clock: Arc<dyn Clock>,
    /// How many of the gateway's reads run at once.
    pub readers: usize,
    /// Pages of the log that are copied into the database at once.
    pub checkpoint_pages: u32,
}

impl Options {
    /// The usual ones: 4 readers, and checkpoints of 16 MiB.
    #[must_use]
    pub fn new(partitions: u16, clock: Arc<dyn Clock>) -> Self {
        Self { partitions, clock, readers: 4, checkpoint_pages: 4096 }
    }
}

/// How long a statement waits for another program (a backup, a shell) to let go of the file.
const BUSY: Duration = Duration::from_secs(2);

/// How many prepared statements a connection keeps; more than there are texts.
const STATEMENTS: usize = 128;

/// Creates the folder and the file for nobody else's eyes, where they are not there yet.
pub(crate) fn create(path: &Path) -> Result<(), OpenError> {
    use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |source| OpenError::Create { path, source }
    };
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(failed(folder))?;
    }
    let file = std::fs::OpenOptions::new().create(true).append(true).mode(0o600).open(path);
    file.map(drop).map_err(failed(path))
}

/// The writer: every commit is on the disk when it is answered.
pub(crate) fn writer(path: &Path) -> Result<Connection, OpenError> {
    let connection = connect(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    let set = || -> rusqlite::Result<()> {
        connection.pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(()))?;
        connection.pragma_update(None, "synchronous", "FULL")?;
        // The store's own thread copies the log, so that no commit pays for it.
        connection.pragma_update(None, "wal_autocheckpoint", 0)?;
        connection.pragma_update(None, "temp_store", "MEMORY")?;
        // A transaction that splits a page makes SQLite walk its whole cache when it commits: the hot pages
        // shall fit, and no more. The system's cache has the rest.
        connection.pragma_update(None, "cache_size", -4_096)
    };
    set().map_err(|source| OpenError::Database { path: path.to_owned(), source })?;
    Ok(connection)
}

/// A connection that only looks.
pub(crate) fn reader(path: &Path) -> Result<Connection, OpenError> {
    let connection = connect(path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    connection
        .pragma_update(None, "cache_size", -8_192)
        .map_err(|source| OpenError::Database { path: path.to_owned(), source })?;
    Ok(connection)
}

fn connect(path: &Path, access: OpenFlags) -> Result<Connection, OpenError> {
    let failed = |source| OpenError::Database { path: PathBuf::from(path), source };
    // Each connection stands behind a mutex of ours.
    let connection = Connection::open_with_flags(path, access | OpenFlags::SQLITE_OPEN_NO_MUTEX).map_err(failed)?;
    connection.busy_timeout(BUSY).map_err(failed)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    Ok(connection)
}
