//! The plans of runs, read once.

use super::ReadError;
use crate::lru::Lru;
use aidt_domain::{Digest, RunId};
use aidt_engine::Graph;
use aidt_store::Catalog;
use std::sync::{Arc, Mutex, PoisonError};

/// A parsed document takes about this many times its bytes.
const PARSED: usize = 4;

/// A cache of snapshots by digest. They never change, so it never goes stale.
#[derive(Debug)]
pub(crate) struct Graphs(Mutex<Lru<Digest, Arc<Graph>>>);

impl Graphs {
    pub(crate) fn new(budget: usize) -> Self {
        Self(Mutex::new(Lru::new(budget)))
    }

    pub(crate) async fn get(&self, catalog: &dyn Catalog, run: RunId, digest: Digest) -> Result<Arc<Graph>, ReadError> {
        if let Some(graph) = self.cache().get(&digest) {
            return Ok(graph);
        }
        let documents = catalog.documents(&[digest]).await?;
        let bytes = documents.first().map(|b| &b[..]).unwrap_or_default();
        let snapshot = serde_json::from_slice(bytes).map_err(|e| ReadError::BadSnapshot(run, e))?;
        let graph = Arc::new(Graph::new(digest, snapshot));
        self.cache().put(digest, graph.clone(), bytes.len() * PARSED);
        Ok(graph)
    }

    fn cache(&self) -> std::sync::MutexGuard<'_, Lru<Digest, Arc<Graph>>> {
        // A cache is whole after every call, also when another thread panicked.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
