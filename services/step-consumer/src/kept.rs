//! Results of claimed steps, kept for a while after the broker has confirmed them.
//!
//! A broker that is wiped loses what no owner had taken yet. A step that nobody claimed is published
//! again by its owner; a claimed one is not, for it runs or ran here: so its result is said again here.

use crate::core::{Origin, Publication};
use aidt_queue::QueueError;
use std::collections::VecDeque;
use std::time::Duration;
use tokio::time::Instant;

/// How long a result is kept: by then an owner has recorded it, or the store is down.
const KEPT: Duration = Duration::from_secs(60);
/// Results kept at most, and their bytes.
const MOST: usize = 10_000;
const MOST_BYTES: usize = 32 * 1024 * 1024;
/// How often it is asked whether the broker was wiped, while there is something to lose.
const LOOK: Duration = Duration::from_secs(1);

/// What is kept.
#[derive(Debug, Default)]
pub(crate) struct Kept {
    results: VecDeque<(Instant, Publication)>,
    bytes: usize,
    /// The broker's incarnation, as it was seen last.
    incarnation: Option<String>,
    look_at: Option<Instant>,
    looking: bool,
}

impl Kept {
    /// Keeps a result that the broker has confirmed.
    pub(crate) fn keep(&mut self, mut result: Publication, now: Instant) {
        result.origin = Origin::Note;
        self.bytes += result.body.len();
        self.results.push_back((now, result));
        while self.results.len() > MOST || self.bytes > MOST_BYTES {
            self.drop_oldest();
        }
        self.look_at.get_or_insert(now + LOOK);
    }

    /// Whether to ask now for the broker's incarnation: at first, and while something is kept.
    pub(crate) fn must_look(&mut self, now: Instant) -> bool {
        while self.results.front().is_some_and(|(since, _)| *since + KEPT <= now) {
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
                self.results.iter().map(|(_, result)| result.clone()).collect()
            }
            _ => Vec::new(),
        }
    }

    /// When to look next.
    pub(crate) fn wakes_at(&self) -> Option<Instant> {
        self.look_at.filter(|_| !self.looking && (self.incarnation.is_none() || !self.results.is_empty()))
    }

    fn drop_oldest(&mut self) {
        if let Some((_, result)) = self.results.pop_front() {
            self.bytes -= result.body.len();
        }
    }
}
