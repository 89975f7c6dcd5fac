//! Commands, claims, journals and lives as one process sees them.

use super::store::{Result, SimStore, read, write};
use crate::Plant;
use aidt_domain::{CommandId, PartitionId, ProcessId, RunId, Timestamp};
use aidt_store::{
    ClaimRequest, ClaimState, Claims, Inbox, InboxRow, Journal, JournalEntry, JournalKey, Kind, ProcessRow, Processed,
    Processes, Submission, Submitted,
};
use async_trait::async_trait;

#[async_trait]
impl Inbox for SimStore {
    async fn submit(&self, submission: Submission) -> Result<Submitted> {
        let command = submission.row.command.clone();
        self.before("submit").await?;
        let submitted = self.raw().submit(submission).await;
        super::queue::note_reported(&self.process.world, &command);
        self.after("submit").await?;
        submitted
    }

    async fn inbox(&self, partition: PartitionId, after: u64, limit: u32) -> Result<Vec<InboxRow>> {
        read!(self, "inbox", self.raw().inbox(partition, after, limit))
    }

    async fn pending(&self, ids: &[CommandId]) -> Result<Vec<CommandId>> {
        read!(self, "pending", self.raw().pending(ids))
    }

    async fn waiting(&self, run: RunId) -> Result<Vec<InboxRow>> {
        read!(self, "waiting", self.raw().waiting(run))
    }
}

#[async_trait]
impl Claims for SimStore {
    async fn claim(&self, requests: &[ClaimRequest]) -> Result<Vec<ClaimState>> {
        self.before("claim").await?;
        let mut answers = self.raw().claim(requests).await?;
        for (request, answer) in requests.iter().zip(&mut answers) {
            if *answer == ClaimState::Won {
                self.claimed(request);
            } else if self.is_planted(Plant::DoubleOnce) {
                *answer = ClaimState::Won;
            }
        }
        self.after("claim").await?;
        Ok(answers)
    }
}

#[async_trait]
impl Journal for SimStore {
    async fn open(&self, key: &JournalKey, claim: &ClaimRequest) -> Result<Vec<JournalEntry>> {
        self.before("open").await?;
        let entries = self.raw().open(key, claim).await?;
        self.claimed(claim);
        self.after("open").await?;
        Ok(entries)
    }

    async fn append(&self, key: &JournalKey, claim: &ClaimRequest, entry: JournalEntry) -> Result<()> {
        self.before("append").await?;
        let appended = self.raw().append(key, claim, entry).await;
        self.after("append").await?;
        match appended {
            Err(error) if error.kind == Kind::Conflict && self.is_planted(Plant::ThawedJournal) => Ok(()),
            other => other,
        }
    }
}

#[async_trait]
impl Processes for SimStore {
    async fn register(&self, process: ProcessRow) -> Result<()> {
        write!(self, "register", self.raw().register(process))
    }

    async fn heartbeat(&self, process: ProcessId) -> Result<Processed> {
        self.before("heartbeat").await?;
        let mut processed = self.raw().heartbeat(process).await;
        self.after("heartbeat").await?;
        if let (true, Ok(processed)) = (self.is_planted(Plant::RedisFlushKills), &mut processed) {
            processed.lost |= self.process.saw_flush();
        }
        processed
    }

    async fn close(&self, process: ProcessId) -> Result<()> {
        write!(self, "close", self.raw().close(process))
    }

    async fn close_others(&self, me: ProcessId) -> Result<u32> {
        write!(self, "close_others", self.raw().close_others(me))
    }

    async fn live(&self, dead_after_ms: u64) -> Result<(Vec<ProcessRow>, Timestamp)> {
        let mut live = read!(self, "live", self.raw().live(dead_after_ms));
        if let (true, Ok((_, now))) = (self.is_planted(Plant::ClockAhead), &mut live) {
            *now = self.process.skewed_now();
        }
        live
    }
}
