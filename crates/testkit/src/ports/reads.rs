//! What one process reads of documents and history, and what it prints and buries.

use super::store::{Result, SimStore, read, write};
use aidt_domain::{Digest, DispatchNo, OutputRef, Project, RunId, RunRow, Seq, StepIx, StepRow};
use aidt_store::{
    Catalog, DeadLetter, DeadLetters, History, LogChunk, PayloadAt, RunFilter, RunPage, SegmentRow, Shown, StepLogs,
};
use async_trait::async_trait;
use bytes::Bytes;

#[async_trait]
impl Catalog for SimStore {
    async fn documents(&self, digests: &[Digest]) -> Result<Vec<Bytes>> {
        read!(self, "documents", self.raw().documents(digests))
    }

    async fn put_documents(&self, documents: &[(Digest, Bytes)]) -> Result<()> {
        write!(self, "put_documents", self.raw().put_documents(documents))
    }
}

#[async_trait]
impl History for SimStore {
    async fn run(&self, project: &Project, run: RunId) -> Result<Option<RunRow>> {
        read!(self, "run", self.raw().run(project, run))
    }

    async fn runs(&self, filter: &RunFilter, after: Option<RunId>, limit: u32) -> Result<RunPage> {
        read!(self, "runs", self.raw().runs(filter, after, limit))
    }

    async fn steps(&self, run: RunId, after: Option<StepIx>, limit: u32) -> Result<Vec<StepRow>> {
        read!(self, "steps", self.raw().steps(run, after, limit))
    }

    async fn segments(&self, run: RunId, after: Seq, limit: u32) -> Result<Vec<SegmentRow>> {
        read!(self, "segments", self.raw().segments(run, after, limit))
    }

    async fn payload(&self, at: &PayloadAt) -> Result<Bytes> {
        read!(self, "payload", self.raw().payload(at))
    }

    async fn shown(&self, run: RunId, payloads: &[OutputRef]) -> Result<Shown> {
        read!(self, "shown", self.raw().shown(run, payloads))
    }
}

#[async_trait]
impl StepLogs for SimStore {
    async fn append_logs(&self, chunks: Vec<LogChunk>) -> Result<()> {
        write!(self, "append_logs", self.raw().append_logs(chunks))
    }

    async fn logs(&self, run: RunId, step: StepIx, from: (DispatchNo, u64), limit: u32) -> Result<Vec<LogChunk>> {
        read!(self, "logs", self.raw().logs(run, step, from, limit))
    }
}

#[async_trait]
impl DeadLetters for SimStore {
    async fn bury(&self, letters: Vec<DeadLetter>) -> Result<()> {
        self.process.world.count("command", "buried");
        write!(self, "bury", self.raw().bury(letters))
    }

    async fn dead_letters(&self, after: u64, limit: u32) -> Result<Vec<DeadLetter>> {
        read!(self, "dead_letters", self.raw().dead_letters(after, limit))
    }

    async fn drop_dead_letters(&self, ids: &[u64]) -> Result<Vec<u64>> {
        write!(self, "drop_dead_letters", self.raw().drop_dead_letters(ids))
    }
}
