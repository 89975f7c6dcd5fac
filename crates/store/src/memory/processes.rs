//! Lives of service processes.

use super::{MemoryStore, Result};
use crate::types::{ProcessRow, Processed};
use crate::{CLOSED_KEPT, Processes};
use aidt_domain::{ProcessId, Timestamp};
use async_trait::async_trait;

#[async_trait]
impl Processes for MemoryStore {
    async fn register(&self, mut process: ProcessRow) -> Result<()> {
        let mut state = self.state();
        let now = state.now;
        state.processes.retain(|_, row| !row.closed || now.since(row.heartbeat) < CLOSED_KEPT);
        process.heartbeat = now;
        process.closed = state.processes.get(&process.id).is_some_and(|row| row.closed);
        state.processes.insert(process.id, process);
        Ok(())
    }

    async fn heartbeat(&self, process: ProcessId) -> Result<Processed> {
        let mut state = self.state();
        let now = state.now;
        let row = state.processes.get_mut(&process).filter(|row| !row.closed);
        let lost = row.is_none();
        if let Some(row) = row {
            row.heartbeat = now;
        }
        let asked = state.claims.iter().filter(|(_, holder)| holder.stop && holder.process == Some(process));
        let cancels = asked.map(|(key, _)| *key).filter(|key| state.out(*key).is_some()).collect();
        Ok(Processed { now, lost, cancels })
    }

    async fn close(&self, process: ProcessId) -> Result<()> {
        if let Some(row) = self.state().processes.get_mut(&process) {
            row.closed = true;
        }
        Ok(())
    }

    async fn close_others(&self, me: ProcessId) -> Result<u32> {
        let mut closed = 0;
        for row in self.state().processes.values_mut().filter(|row| row.id != me && !row.closed) {
            row.closed = true;
            closed += 1;
        }
        Ok(closed)
    }

    async fn live(&self, dead_after_ms: u64) -> Result<(Vec<ProcessRow>, Timestamp)> {
        let state = self.state();
        let now = state.now;
        let alive = |row: &&ProcessRow| !row.closed && now.since(row.heartbeat).as_millis() <= dead_after_ms.into();
        Ok((state.processes.values().filter(alive).cloned().collect(), now))
    }
}
