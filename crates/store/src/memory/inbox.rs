//! Commands, idempotency keys and documents.

use super::state::UsedKey;
use super::{MemoryStore, Result};
use crate::types::{InboxRow, Submission, Submitted};
use crate::{Catalog, IDEMPOTENCY_KEPT, Inbox, Kind, StoreError};
use aidt_domain::{CommandId, Digest, PartitionId, RunId};
use async_trait::async_trait;
use bytes::Bytes;

#[async_trait]
impl Inbox for MemoryStore {
    async fn submit(&self, submission: Submission) -> Result<Submitted> {
        self.check_partition("submit", submission.row.partition)?;
        let mut state = self.state();
        let now = state.now;
        let key = submission.idempotency.map(|(key, body)| ((submission.row.project.clone(), key), body));
        if let Some((key, body)) = &key
            && let Some(used) = state.keys.get(key).filter(|used| now.since(used.at) < IDEMPOTENCY_KEPT)
        {
            return Ok(if used.body == *body { Submitted::Repeated(used.run) } else { Submitted::KeyReused });
        }
        if let Some(place) = state.inbox_ids.get(&submission.row.id) {
            return Ok(Submitted::Repeated(state.inbox[place].run));
        }
        let run = submission.row.run;
        state.put_inbox(submission.row);
        for (digest, bytes) in submission.documents {
            state.documents.entry(digest).or_insert(bytes);
        }
        if let Some((key, body)) = key {
            state.keys.retain(|_, used| now.since(used.at) < IDEMPOTENCY_KEPT);
            state.keys.insert(key, UsedKey { body, run, at: now });
        }
        Ok(Submitted::Accepted)
    }

    async fn inbox(&self, partition: PartitionId, after: u64, limit: u32) -> Result<Vec<InboxRow>> {
        let state = self.state();
        let rows = state.inbox.range((partition, after.saturating_add(1))..=(partition, u64::MAX));
        Ok(rows.take(limit as usize).map(|(_, row)| row.clone()).collect())
    }

    async fn pending(&self, ids: &[CommandId]) -> Result<Vec<CommandId>> {
        let state = self.state();
        Ok(ids.iter().filter(|id| state.inbox_ids.contains_key(id)).copied().collect())
    }

    async fn waiting(&self, run: RunId) -> Result<Vec<InboxRow>> {
        Ok(self.state().inbox.values().filter(|row| row.run == run).cloned().collect())
    }
}

#[async_trait]
impl Catalog for MemoryStore {
    async fn documents(&self, digests: &[Digest]) -> Result<Vec<Bytes>> {
        let state = self.state();
        digests
            .iter()
            .map(|digest| {
                state.documents.get(digest).cloned().ok_or_else(|| {
                    StoreError::new("documents", Kind::NotFound, format!("there is no document {digest}"))
                })
            })
            .collect()
    }

    async fn put_documents(&self, documents: &[(Digest, Bytes)]) -> Result<()> {
        let mut state = self.state();
        for (digest, bytes) in documents {
            state.documents.entry(*digest).or_insert_with(|| bytes.clone());
        }
        Ok(())
    }
}
