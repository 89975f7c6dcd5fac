//! A URL's scheme picks the adapter.

use crate::error::cannot;
use crate::home::Home;
use crate::settings::Settings;
use aidt_cli::HostError;
use aidt_domain::{Clock, ErrorCode, ProcessId};
use aidt_lock::Locks;
use aidt_queue::Queue;
use aidt_store::Store;
use aidt_store_sqlite::SqliteStore;
use std::path::PathBuf;
use std::sync::Arc;

/// Partitions of an embedded store.
pub(crate) const PARTITIONS: u16 = 8;

/// The adapters of a process.
pub(crate) struct Adapters {
    pub(crate) store: Store,
    pub(crate) sqlite: Arc<SqliteStore>,
    pub(crate) queue: Arc<dyn Queue>,
    pub(crate) locks: Arc<dyn Locks>,
}

/// Opens what the settings name. `process` names the life of what is kept in memory.
pub(crate) fn open(
    settings: &Settings,
    home: &Home,
    clock: &Arc<dyn Clock>,
    process: ProcessId,
) -> Result<Adapters, HostError> {
    let path = database(settings, home)?;
    only_memory("AIDT_QUEUE_URL", settings.queue.as_deref())?;
    only_memory("AIDT_LOCK_URL", settings.lock.as_deref())?;
    if let Some(url) = settings.artifacts.as_deref().filter(|u| !u.starts_with("file:")) {
        return Err(unknown("AIDT_ARTIFACTS_URL", url, "file:PATH"));
    }
    let options = aidt_store_sqlite::Options::new(PARTITIONS, Arc::clone(clock));
    let sqlite = SqliteStore::open(&path, options)
        .map_err(|e| cannot(ErrorCode::Unavailable, "the database cannot be used", e))?;
    Ok(Adapters {
        store: Store::new(Arc::clone(&sqlite)),
        sqlite,
        queue: Arc::new(aidt_queue::memory::MemoryQueue::new(Arc::clone(clock), process.to_string())),
        locks: Arc::new(aidt_lock::memory::MemoryLocks::new()),
    })
}

fn database(settings: &Settings, home: &Home) -> Result<PathBuf, HostError> {
    let Some(url) = &settings.database else { return Ok(home.database()) };
    let path = url.strip_prefix("sqlite:").ok_or_else(|| unknown("AIDT_DATABASE_URL", url, "sqlite:PATH"))?;
    let path = path.strip_prefix("//").unwrap_or(path);
    if path.is_empty() {
        return Err(unknown("AIDT_DATABASE_URL", url, "sqlite:PATH"));
    }
    Ok(settings.cwd.join(path))
}

fn only_memory(name: &str, url: Option<&str>) -> Result<(), HostError> {
    match url {
        None | Some("memory:") => Ok(()),
        Some(url) => Err(unknown(name, url, "memory:")),
    }
}

fn unknown(name: &str, url: &str, known: &str) -> HostError {
    HostError::new(ErrorCode::InvalidArgument, format!("{name} is '{url}': this build knows {known}"))
}
