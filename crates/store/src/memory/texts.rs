//! Step logs and dead letters.

use super::{MemoryStore, Result};
use crate::types::{DeadLetter, LogChunk};
use crate::{DeadLetters, Kind, StepLogs, StoreError};
use aidt_domain::{DispatchNo, RunId, StepIx};
use async_trait::async_trait;

#[async_trait]
impl StepLogs for MemoryStore {
    async fn append_logs(&self, chunks: Vec<LogChunk>) -> Result<()> {
        let mut state = self.state();
        if let Some(chunk) = chunks.iter().find(|chunk| !state.runs.contains_key(&chunk.run)) {
            return Err(StoreError::new("append_logs", Kind::NotFound, format!("there is no {}", chunk.run)));
        }
        for LogChunk { run, step, dispatch, offset, bytes } in chunks {
            state.logs.entry((run, step, dispatch, offset)).or_insert(bytes);
        }
        Ok(())
    }

    async fn logs(&self, run: RunId, step: StepIx, from: (DispatchNo, u64), limit: u32) -> Result<Vec<LogChunk>> {
        let state = self.state();
        let range = (run, step, from.0, from.1)..=(run, step, DispatchNo(u32::MAX), u64::MAX);
        let chunks = state.logs.range(range).take(limit as usize);
        Ok(chunks
            .map(|(&(run, step, dispatch, offset), bytes)| LogChunk {
                run,
                step,
                dispatch,
                offset,
                bytes: bytes.clone(),
            })
            .collect())
    }
}

#[async_trait]
impl DeadLetters for MemoryStore {
    async fn bury(&self, letters: Vec<DeadLetter>) -> Result<()> {
        let mut state = self.state();
        for letter in letters {
            state.put_dead_letter(letter);
        }
        Ok(())
    }

    async fn dead_letters(&self, after: u64, limit: u32) -> Result<Vec<DeadLetter>> {
        let state = self.state();
        let rest = state.dead_letters.range(after.saturating_add(1)..);
        Ok(rest.take(limit as usize).map(|(_, letter)| letter.clone()).collect())
    }

    async fn drop_dead_letters(&self, ids: &[u64]) -> Result<Vec<u64>> {
        let mut state = self.state();
        Ok(ids.iter().copied().filter(|id| state.dead_letters.remove(id).is_some()).collect())
    }
}
