//! What came of the calls of ports. A port that is down is tried again in place, after a pause; only what
//! a port refuses again and again is given up, and kept as a dead letter.

use super::report::unsayable;
use super::{ClaimAsk, Core, JudgeAsk, Letter, Origin, Publication};
use crate::judge::Context;
use aidt_domain::Timestamp;
use aidt_queue::QueueError;
use aidt_store::{ClaimState, DeadLetter, LogChunk, StoreError};
use std::collections::BTreeMap;
use tokio::time::Instant;

impl Core {
    pub(crate) fn settle_claims(
        &mut self,
        asks: Vec<ClaimAsk>,
        answer: Result<Vec<ClaimState>, StoreError>,
        now: Instant,
    ) {
        match answer {
            Ok(answers) => {
                self.lanes.claims.succeeded();
                self.claimed(&asks, &answers, now);
            }
            Err(error) if error.is_transient() => {
                tracing::warn!(%error, "claims could not be asked for; they are tried again");
                self.lanes.claims.failed(asks, now);
            }
            Err(error) => {
                if let Some(ask) = self.lanes.claims.refused(asks, now) {
                    tracing::error!(%error, run = %ask.request.run, "a claim cannot be asked for");
                    self.claim_refused(&ask, &format!("its claim is refused by the store: {error}"));
                }
            }
        }
    }

    pub(crate) fn settle_contexts(&mut self, answers: Vec<(JudgeAsk, Result<Context, StoreError>)>, now: Instant) {
        let mut again = Vec::new();
        for (ask, answer) in answers {
            match answer {
                Err(error) if error.is_transient() => again.push(ask),
                answer => self.judge_again(ask.call, answer, now),
            }
        }
        if again.is_empty() {
            self.lanes.contexts.succeeded();
        } else {
            self.lanes.contexts.failed(again, now);
        }
    }

    /// `draining`: the results go into the inbox next, so there is no reason to pause.
    pub(crate) fn settle_published(
        &mut self,
        publications: Vec<Publication>,
        confirmed: Result<(), QueueError>,
        draining: bool,
        now: Instant,
    ) {
        match confirmed {
            Ok(()) => {
                self.lanes.publish.succeeded();
                self.published(publications, now);
            }
            Err(error) if draining || error.kind != aidt_queue::Kind::Invalid => {
                tracing::warn!(%error, results = publications.len(), "results could not be published; they are kept");
                self.lanes.publish.failed(publications, now);
            }
            Err(error) => {
                if let Some(publication) = self.lanes.publish.refused(publications, now) {
                    tracing::error!(%error, run = %publication.run, "the broker refuses a command");
                    self.unpublishable(publication, &error.to_string());
                }
            }
        }
    }

    pub(crate) fn settle_handed_over(
        &mut self,
        publications: Vec<Publication>,
        kept: Result<(), StoreError>,
        now: Instant,
    ) {
        match kept {
            Ok(()) => {
                self.lanes.publish.succeeded();
                self.published(publications, now);
            }
            Err(error) => {
                tracing::warn!(%error, "results could not be put into the inbox; they are tried again");
                self.lanes.publish.failed(publications, now);
            }
        }
    }

    pub(crate) fn settle_letters(&mut self, letters: Vec<Letter>, kept: Result<(), StoreError>, now: Instant) {
        match kept {
            Ok(()) => {
                self.lanes.letters.succeeded();
                self.buried(letters);
            }
            Err(error) => {
                tracing::warn!(%error, "dead letters could not be kept; they are tried again");
                self.lanes.letters.failed(letters, now);
            }
        }
    }

    pub(crate) fn settle_logs(&mut self, chunks: Vec<LogChunk>, written: Result<(), StoreError>, now: Instant) {
        match written {
            Ok(()) => self.lanes.logs.succeeded(),
            Err(error) if error.is_transient() => self.lanes.logs.failed(chunks, now),
            Err(error) => {
                if let Some(chunk) = self.lanes.logs.refused(chunks, now) {
                    // Text is no state: a piece that the store will never take is not worth a run.
                    tracing::warn!(%error, run = %chunk.run, "a piece of a log is dropped");
                }
            }
        }
    }

    /// No broker will ever take it: the run whose result it is learns so, and is not left to wait.
    fn unpublishable(&mut self, publication: Publication, reason: &str) {
        let letter = DeadLetter {
            id: 0,
            inlet: "commands".to_owned(),
            project: Some(publication.project.clone()),
            run: Some(publication.run),
            reason: reason.to_owned(),
            headers: BTreeMap::from([("partition".to_owned(), publication.partition.to_string())]),
            bytes: publication.body,
            at: Timestamp::default(),
        };
        let (Origin::Call(no) | Origin::Early(no)) = publication.origin else { return };
        let Some(call) = self.calls.get_mut(&no) else { return };
        let (pool, tickets) = (call.pool, std::mem::take(&mut call.tickets));
        self.lanes.publish.push(unsayable(call, self.life.process(), reason));
        self.lanes.letters.push(Letter { letter, pool, tickets });
        self.remove(no);
    }
}
