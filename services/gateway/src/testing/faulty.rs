//! An inbox that fails.

use aidt_domain::{CommandId, PartitionId, RunId};
use aidt_store::{Inbox, InboxRow, Kind, StoreError, Submission, Submitted};
use async_trait::async_trait;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

/// How one insert fails.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Fault {
    /// Nothing was inserted.
    Before(Kind),
    /// It was inserted, and the answer was lost.
    After(Kind),
}

pub(crate) struct FaultyInbox {
    inner: Arc<dyn Inbox>,
    faults: Mutex<VecDeque<Fault>>,
}

impl FaultyInbox {
    pub(crate) fn new(inner: Arc<dyn Inbox>, faults: &[Fault]) -> Self {
        Self { inner, faults: Mutex::new(faults.iter().copied().collect()) }
    }
}

#[async_trait]
impl Inbox for FaultyInbox {
    async fn submit(&self, submission: Submission) -> Result<Submitted, StoreError> {
        let fault = self.faults.lock().unwrap().pop_front();
        match fault {
            None => self.inner.submit(submission).await,
            Some(Fault::Before(kind)) => Err(StoreError::new("submit", kind, "planted")),
            Some(Fault::After(kind)) => {
                self.inner.submit(submission).await?;
                Err(StoreError::new("submit", kind, "planted"))
            }
        }
    }

    async fn inbox(&self, partition: PartitionId, after: u64, limit: u32) -> Result<Vec<InboxRow>, StoreError> {
        self.inner.inbox(partition, after, limit).await
    }

    async fn pending(&self, ids: &[CommandId]) -> Result<Vec<CommandId>, StoreError> {
        self.inner.pending(ids).await
    }

    async fn waiting(&self, run: RunId) -> Result<Vec<InboxRow>, StoreError> {
        self.inner.waiting(run).await
    }
}
