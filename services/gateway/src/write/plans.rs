//! Compiled plans, kept by what they were compiled from: submitting the same plan again is cheap.

use crate::lru::Lru;
use aidt_domain::{Digest, Snapshot, canonical_json};
use aidt_plan::{Catalogue, Compiled, Diagnostic, Source, compile};
use bytes::Bytes;
use std::sync::{Arc, Mutex, PoisonError};

/// A compiled plan and its document take about this many times the document's bytes.
const PARSED: usize = 5;

/// A plan, ready to be run.
#[derive(Debug)]
pub(crate) struct Prepared {
    pub(crate) snapshot: Snapshot,
    /// Content address of the document.
    pub(crate) digest: Digest,
    /// RFC 8785 bytes of the snapshot.
    pub(crate) document: Bytes,
    pub(crate) warnings: Vec<Diagnostic>,
}

/// Compiles plans against one catalogue.
#[derive(Debug)]
pub(crate) struct Plans {
    catalogue: Arc<Catalogue>,
    cache: Mutex<Lru<Digest, Arc<Prepared>>>,
}

impl Plans {
    pub(crate) fn new(catalogue: Arc<Catalogue>, budget: usize) -> Self {
        Self { catalogue, cache: Mutex::new(Lru::new(budget)) }
    }

    pub(crate) fn prepare(&self, source: &Source) -> Result<Arc<Prepared>, Vec<Diagnostic>> {
        let key = Digest::of(format!("{}\n{}\n{}", source.name.len(), source.name, source.text).as_bytes());
        if let Some(prepared) = self.cache().get(&key) {
            return Ok(prepared);
        }
        let Compiled { snapshot, warnings } = compile(source, &self.catalogue)?;
        let document = Bytes::from(canonical_json(&snapshot));
        let prepared = Arc::new(Prepared { digest: Digest::of(&document), snapshot, document, warnings });
        self.cache().put(key, prepared.clone(), prepared.document.len() * PARSED);
        Ok(prepared)
    }

    fn cache(&self) -> std::sync::MutexGuard<'_, Lru<Digest, Arc<Prepared>>> {
        // A cache is whole after every call, also when another thread panicked.
        self.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{plan, tool};

    #[test]
    fn the_same_text_of_the_same_name_is_compiled_once() {
        let plans = Plans::new(Arc::new(Catalogue::new(vec![tool("debug.echo"), tool("debug.sleep")])), 1024 * 1024);
        let prepare = |name: &str, text: String| plans.prepare(&Source { name: name.to_owned(), text }).unwrap();
        let first = prepare("a", plan().to_string());
        assert!(Arc::ptr_eq(&first, &prepare("a", plan().to_string())));
        let other = prepare("b", plan().to_string());
        assert!(!Arc::ptr_eq(&first, &other), "warnings name the file");
        assert_eq!((first.digest, &first.document), (other.digest, &other.document), "a name is no part of a plan");
        assert_eq!(serde_json::from_slice::<Snapshot>(&first.document).unwrap(), first.snapshot);
    }
}
