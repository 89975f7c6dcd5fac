//! Reads beside the owner's: a few connections, and documents that were read before.

use crate::error::{Failed, OpenError};
use crate::open;
use aidt_domain::Digest;
use aidt_store::{Kind, StoreError};
use bytes::Bytes;
use rusqlite::Connection;
use std::collections::{HashMap, VecDeque};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::Semaphore;

/// Connections that only look, lent to one blocking task at a time.
#[derive(Debug)]
pub(crate) struct Readers {
    path: PathBuf,
    idle: Mutex<Vec<Connection>>,
    permits: Arc<Semaphore>,
}

impl Readers {
    pub(crate) fn new(path: PathBuf, count: usize) -> Self {
        Self { path, idle: Mutex::new(Vec::new()), permits: Arc::new(Semaphore::new(count.max(1))) }
    }

    /// Reads off the caller's thread. Cancel safe: a read that nobody waits for ends by itself.
    pub(crate) async fn read<T, F>(self: &Arc<Self>, operation: &'static str, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T, Failed> + Send + 'static,
    {
        let closed = |_| StoreError::new(operation, Kind::Unavailable, "the store is closed");
        let permit = self.permits.clone().acquire_owned().await.map_err(closed)?;
        let readers = self.clone();
        let reading = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            readers.with_connection(operation, work)
        });
        reading.await.map_err(|error| StoreError::new(operation, Kind::Unavailable, error))?
    }

    fn with_connection<T>(
        &self,
        operation: &'static str,
        work: impl FnOnce(&Connection) -> Result<T, Failed>,
    ) -> Result<T, StoreError> {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let connection = match idle {
            Some(connection) => connection,
            None => open::reader(&self.path)
                .map_err(|error: OpenError| StoreError::new(operation, Kind::Unavailable, error))?,
        };
        let result = work(&connection).map_err(|failed| failed.of(operation, &self.path));
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(connection);
        result
    }
}

/// Bytes of documents that are kept.
const DOCUMENT_BYTES: usize = 32 * 1024 * 1024;

/// Documents that were read: they never change. The oldest go first.
#[derive(Debug, Default)]
pub(crate) struct Documents(Mutex<Kept>);

#[derive(Debug, Default)]
struct Kept {
    by_digest: HashMap<Digest, Bytes>,
    oldest: VecDeque<Digest>,
    bytes: usize,
}

impl Documents {
    pub(crate) fn get(&self, digest: &Digest) -> Option<Bytes> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).by_digest.get(digest).cloned()
    }

    pub(crate) fn keep(&self, digest: Digest, document: Bytes) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if document.len() > DOCUMENT_BYTES / 4 || kept.by_digest.contains_key(&digest) {
            return;
        }
        kept.bytes += document.len();
        kept.by_digest.insert(digest, document);
        kept.oldest.push_back(digest);
        while kept.bytes > DOCUMENT_BYTES
            && let Some(oldest) = kept.oldest.pop_front()
        {
            kept.bytes -= kept.by_digest.remove(&oldest).map_or(0, |document| document.len());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_are_kept_within_bounds() {
        let documents = Documents::default();
        let large = Bytes::from(vec![0; DOCUMENT_BYTES / 4]);
        let digest = |n: u8| Digest([n; 32]);
        for n in 0..5 {
            documents.keep(digest(n), large.clone());
            documents.keep(digest(n), large.clone());
        }
        assert_eq!(documents.get(&digest(0)), None, "the oldest has gone");
        assert!((1..5).all(|n| documents.get(&digest(n)).is_some()));
        documents.keep(digest(9), Bytes::from(vec![0; DOCUMENT_BYTES / 4 + 1]));
        assert_eq!(documents.get(&digest(9)), None, "one alone may not push out all others");
    }
}
