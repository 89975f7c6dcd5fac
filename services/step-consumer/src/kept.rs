//! Results of claimed steps, kept for a while after the broker has confirmed them.
//!
//! A broker that is wiped loses what no owner had taken yet. A step that nobody claimed is published
//! again by its owner; a claimed one is not, for it runs or ran here: so its result is said again here.
//!
//! And a process whose life is closed while results of its claims are still on their way would have those
//! steps taken for lost, and done again: so whoever drains asks whether they are recorded.

use crate::core::{Origin, Publication};
use aidt_queue::QueueError;
use aidt_store::{ClaimRequest, ClaimState, StoreError};
use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;
use tokio::time::Instant;

/// How long a result is kept: by then an owner has recorded it, or the store is down.
const KEPT: Duration = Duration::from_secs(60);
/// Results kept at most, and their bytes.
const MOST: usize = 10_000;
const MOST_BYTES: usize = 32 * 1024 * 1024;
/// How often it is asked whether the broker was wiped, while there is something to lose.
const LOOK: Duration = Duration::from_secs(1);
/// How often it is asked whether results are recorded, while draining.
const ASK: Duration = Duration::from_millis(20);

/// What is kept.
#[derive(Debug, Default)]
pub(crate) struct Kept {
    results: VecDeque<Reported>,
    bytes: usize,
    /// The broker's incarnation, as it was seen last.
    incarnation: Option<String>,
    look_at: Option<Instant>,
    looking: bool,
    ask_at: Option<Instant>,
    asking: bool,
}

#[derive(Debug)]
struct Reported {
    since: Instant,
    publication: Publication,
    /// This process's claim, until it is known that the owner has recorded the result.
    claim: Option<ClaimRequest>,
}

impl Kept {
    /// Keeps a result that the broker has confirmed, and the claim that it ends.
    pub(crate) fn keep(&mut self, mut publication: Publication, claim: Option<ClaimRequest>, now: Instant) {
        publication.origin = Origin::Note;
        self.bytes += publication.body.len();
        self.results.push_back(Reported { since: now, publication, claim });
        while self.results.len() > MOST || self.bytes > MOST_BYTES {
            self.drop_oldest();
        }
        self.look_at.get_or_insert(now + LOOK);
    }

    /// Whether to ask now for the broker's incarnation: at first, and while something is kept.
    pub(crate) fn must_look(&mut self, now: Instant) -> bool {
        while self.results.front().is_some_and(|result| result.since + KEPT <= now) {
            self.drop_oldest();
        }
        let due = self.incarnation.is_none() || !self.results.is_empty();
        let must = due && !self.looking && self.look_at.is_none_or(|at| at <= now);
        self.looking |= must;
        must
    }

    /// What the broker says of itself. Answers what must be said again.
    pub(crate) fn looked(&mut self, incarnation: Result<String, QueueError>, now: Instant) -> Vec<Publication> {
        self.looking = false;
        self.look_at = Some(now + LOOK);
        let Ok(current) = incarnation else { return Vec::new() };
        if self.results.is_empty() {
            self.look_at = None;
        }
        match self.incarnation.replace(current) {
            Some(before) if Some(&before) != self.incarnation.as_ref() => {
                tracing::warn!(results = self.results.len(), "the broker was wiped: results are published again");
                self.results.iter().map(|result| result.publication.clone()).collect()
            }
            _ => Vec::new(),
        }
    }

    /// When to look next.
    pub(crate) fn wakes_at(&self) -> Option<Instant> {
        self.look_at.filter(|_| !self.looking && (self.incarnation.is_none() || !self.results.is_empty()))
    }

    /// Whether no result is known to be still on its way to its owner.
    pub(crate) fn is_recorded(&self) -> bool {
        !self.asking && self.unrecorded() == 0
    }

    /// How many are.
    pub(crate) fn unrecorded(&self) -> usize {
        self.results.iter().filter(|result| result.claim.is_some()).count()
    }

    /// The claims to ask about now, `most` of them: one that can be had again is still open.
    pub(crate) fn must_ask(&mut self, most: usize, now: Instant) -> Vec<ClaimRequest> {
        if self.asking || self.ask_at.is_some_and(|at| now < at) {
            return Vec::new();
        }
        let claims: Vec<_> = self.results.iter().filter_map(|result| result.claim.clone()).take(most).collect();
        self.asking = !claims.is_empty();
        claims
    }

    /// What the store says of these claims.
    pub(crate) fn asked(&mut self, claims: &[ClaimRequest], answer: Result<Vec<ClaimState>, StoreError>, now: Instant) {
        self.asking = false;
        let Ok(states) = answer else {
            self.ask_at = Some(now + ASK);
            return;
        };
        let recorded: BTreeSet<&ClaimRequest> = claims
            .iter()
            .zip(&states)
            .filter(|(_, state)| **state != ClaimState::Won)
            .map(|(claim, _)| claim)
            .collect();
        self.ask_at = (recorded.len() < claims.len()).then_some(now + ASK);
        for result in &mut self.results {
            result.claim.take_if(|claim| recorded.contains(claim));
        }
    }

    /// When to ask next, if something is still on its way.
    pub(crate) fn asks_at(&self) -> Option<Instant> {
        self.ask_at.filter(|_| !self.asking && !self.is_recorded())
    }

    fn drop_oldest(&mut self) {
        if let Some(result) = self.results.pop_front() {
            self.bytes -= result.publication.body.len();
        }
    }
}
