//! Ports that can be switched off.

use aidt_domain::{Clock, PartitionId, Pool, ProcessId};
use aidt_queue::memory::MemoryQueue;
use aidt_queue::{Commands, Delivery, Kind, Outgoing, Queue, QueueError, Readers, Steps, Tag};
use aidt_store::{
    ClaimRequest, ClaimState, Claims, Inbox, InboxRow, ProcessRow, Processed, Processes, Store, StoreError, Submission,
    Submitted,
};
use async_trait::async_trait;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex};

type Stored<T> = Result<T, StoreError>;

pub(crate) struct SwitchQueue {
    pub(crate) memory: MemoryQueue,
    /// Publishing fails.
    pub(crate) down: AtomicBool,
    pub(crate) publishes: AtomicU64,
    pub(crate) nudges: AtomicU64,
    told: Arc<Mutex<Option<Readers>>>,
}

/// Keeps what it is told.
struct ToldSteps {
    inner: Box<dyn Steps>,
    told: Arc<Mutex<Option<Readers>>>,
}

#[async_trait]
impl Steps for ToldSteps {
    async fn recv(&mut self, max: usize) -> Result<Vec<Delivery>, QueueError> {
        assert!(self.told.lock().unwrap().is_some(), "it takes something before it knows what is its own");
        self.inner.recv(max).await
    }

    async fn ack(&mut self, tags: &[Tag]) -> Result<(), QueueError> {
        self.inner.ack(tags).await
    }

    fn set_prefetch(&mut self, prefetch: u32) -> bool {
        self.inner.set_prefetch(prefetch)
    }

    fn share(&mut self, readers: &Readers) {
        *self.told.lock().unwrap() = Some(readers.clone());
    }
}

impl SwitchQueue {
    pub(crate) fn new(clock: Arc<dyn Clock>) -> Self {
        Self {
            memory: MemoryQueue::new(clock, "first".to_owned()),
            down: AtomicBool::new(false),
            publishes: AtomicU64::new(0),
            nudges: AtomicU64::new(0),
            told: Arc::default(),
        }
    }

    /// Who reads, as a stream was told last.
    pub(crate) fn told(&self) -> Readers {
        self.told.lock().unwrap().clone().expect("a stream was told")
    }
}

#[async_trait]
impl Queue for SwitchQueue {
    async fn incarnation(&self) -> Result<String, QueueError> {
        self.memory.incarnation().await
    }

    async fn publish_steps(&self, steps: Vec<(Pool, Outgoing)>) -> Result<(), QueueError> {
        self.memory.publish_steps(steps).await
    }

    async fn publish_commands(&self, commands: Vec<(PartitionId, Outgoing)>) -> Result<(), QueueError> {
        self.publishes.fetch_add(1, SeqCst);
        if self.down.load(SeqCst) {
            return Err(QueueError { operation: "publish_commands", kind: Kind::Unavailable, source: None });
        }
        self.memory.publish_commands(commands).await
    }

    async fn nudge(&self, partitions: &[PartitionId]) {
        self.nudges.fetch_add(partitions.len() as u64, SeqCst);
        self.memory.nudge(partitions).await;
    }

    async fn steps(&self, pool: &Pool, prefetch: u32) -> Result<Box<dyn Steps>, QueueError> {
        let inner = self.memory.steps(pool, prefetch).await?;
        Ok(Box::new(ToldSteps { inner, told: Arc::clone(&self.told) }))
    }

    async fn commands(&self, partitions: &[(PartitionId, i64)]) -> Result<Box<dyn Commands>, QueueError> {
        self.memory.commands(partitions).await
    }
}

/// Switches for claims, heartbeats and the inbox.
pub(crate) struct SwitchStore {
    store: Store,
    /// Claims fail.
    pub(crate) claims_down: AtomicBool,
    /// Heartbeats fail.
    pub(crate) heart_down: AtomicBool,
    /// Looks at who is alive fail.
    pub(crate) looks_down: AtomicBool,
    /// The inbox fails.
    pub(crate) inbox_down: AtomicBool,
    /// Calls of `claim`.
    pub(crate) claim_calls: AtomicU64,
    /// Commands put into the inbox.
    pub(crate) submitted: AtomicU64,
}

impl SwitchStore {
    pub(crate) fn over(store: Store) -> (Arc<Self>, Store) {
        let this = Arc::new(Self {
            store: store.clone(),
            claims_down: AtomicBool::new(false),
            heart_down: AtomicBool::new(false),
            looks_down: AtomicBool::new(false),
            inbox_down: AtomicBool::new(false),
            claim_calls: AtomicU64::new(0),
            submitted: AtomicU64::new(0),
        });
        let switched = Store { claims: this.clone(), processes: this.clone(), inbox: this.clone(), ..store };
        (this, switched)
    }
}

fn check(down: &AtomicBool, operation: &'static str) -> Stored<()> {
    match down.load(SeqCst) {
        true => Err(StoreError::new(operation, aidt_store::Kind::Unavailable, "switched off")),
        false => Ok(()),
    }
}

#[async_trait]
impl Claims for SwitchStore {
    async fn claim(&self, requests: &[ClaimRequest]) -> Stored<Vec<ClaimState>> {
        self.claim_calls.fetch_add(1, SeqCst);
        check(&self.claims_down, "claim")?;
        self.store.claims.claim(requests).await
    }
}

#[async_trait]
impl Processes for SwitchStore {
    async fn register(&self, process: ProcessRow) -> Stored<()> {
        check(&self.heart_down, "register")?;
        self.store.processes.register(process).await
    }

    async fn heartbeat(&self, process: ProcessId) -> Stored<Processed> {
        check(&self.heart_down, "heartbeat")?;
        self.store.processes.heartbeat(process).await
    }

    async fn close(&self, process: ProcessId) -> Stored<()> {
        self.store.processes.close(process).await
    }

    async fn close_others(&self, me: ProcessId) -> Stored<u32> {
        self.store.processes.close_others(me).await
    }

    async fn live(&self, dead_after_ms: u64) -> Stored<(Vec<ProcessRow>, aidt_domain::Timestamp)> {
        check(&self.looks_down, "live")?;
        self.store.processes.live(dead_after_ms).await
    }
}

#[async_trait]
impl Inbox for SwitchStore {
    async fn submit(&self, submission: Submission) -> Stored<Submitted> {
        check(&self.inbox_down, "submit")?;
        self.submitted.fetch_add(1, SeqCst);
        self.store.inbox.submit(submission).await
    }

    async fn inbox(&self, partition: PartitionId, after: u64, limit: u32) -> Stored<Vec<InboxRow>> {
        self.store.inbox.inbox(partition, after, limit).await
    }

    async fn pending(&self, ids: &[aidt_domain::CommandId]) -> Stored<Vec<aidt_domain::CommandId>> {
        self.store.inbox.pending(ids).await
    }

    async fn waiting(&self, run: aidt_domain::RunId) -> Stored<Vec<InboxRow>> {
        self.store.inbox.waiting(run).await
    }
}
