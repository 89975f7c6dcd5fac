//! One dispatch in hand.

use crate::Config;
use crate::core::tickets::Ticket;
use crate::life::Key;
use crate::outcome::Cause;
use crate::spans::Spans;
use crate::text::{Log, Progress};
use crate::workers::Ended;
use aidt_domain::{Effect, StepMessage, Timestamp};
use smallvec::SmallVec;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// How far ahead of ours the publisher's estimate of the store's clock may be before a message counts as
/// coming from the future, and so as doubtful.
const CLOCK_SLACK_MS: i64 = 50;

/// Where a dispatch in hand stands.
///
/// ```text
/// (arrived) ──▶ Claiming ──won──▶ Placing ──▶ Running ──▶ Ended ──published──▶ (gone)
///     │             └─lost──▶ (gone)  ▲          │           ▲
///     └── fresh, read or idempotent ──┘          └─▶ Late ───┘ a word after the grace (none: Over)
/// ```
///
/// Before `Placing` comes `Judging` when the policy has changed since the owner judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Asks for the claim that its start demands.
    Claiming,
    /// The policy has changed; waits to be judged again.
    Judging,
    /// May start; waits for a slot.
    Placing,
    /// With a worker.
    Running,
    /// Its result waits: for the answer to a claim, or to be published.
    Ended,
    /// Reported without the worker's word, which may still come.
    Late,
    /// Reported without the worker's word, which can no longer come.
    Over,
}

/// What is known of the claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Claim {
    No,
    Asked,
    Held,
}

/// Told to stop.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stop {
    pub(crate) cause: Cause,
    /// When it is reported without the worker's word.
    pub(crate) until: Instant,
}

/// Text of a call. Most calls have none.
#[derive(Debug, Default)]
pub(crate) struct Text {
    pub(crate) log: Log,
    pub(crate) progress: Progress,
    /// When waiting log text is written.
    pub(crate) log_due: Option<Instant>,
}

/// One dispatch in hand.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) step: Arc<StepMessage>,
    /// Index of the pool that delivered it.
    pub(crate) pool: usize,
    /// The messages that carried it and are not acked.
    pub(crate) tickets: SmallVec<[Ticket; 1]>,
    pub(crate) phase: Phase,
    pub(crate) claim: Claim,
    /// Redelivered, republished, or in hand while this process was not sure to be alive.
    pub(crate) doubtful: bool,
    pub(crate) published_at: Timestamp,
    /// When it entered its phase.
    pub(crate) since: Instant,
    /// When it was given to a worker.
    pub(crate) started: Option<(Instant, Timestamp)>,
    pub(crate) last_life: Instant,
    pub(crate) stop: Option<Stop>,
    pub(crate) result: Option<Ended>,
    pub(crate) text: Option<Box<Text>>,
    /// When the loop looks at it next, as armed.
    pub(crate) armed: Option<Instant>,
    /// Its early report (see [`Phase::Late`]) is published.
    pub(crate) early_published: bool,
    /// The revision that judged it again.
    pub(crate) judged_by: Option<Arc<str>>,
    /// Stricter obligations of a newer policy.
    pub(crate) obligations: Option<Arc<str>>,
    pub(crate) spans: Spans,
}

impl Call {
    pub(crate) fn key(&self) -> Key {
        (self.step.run, self.step.step, self.step.dispatch)
    }

    /// In hand, and not yet with a worker.
    pub(crate) fn is_unplaced(&self) -> bool {
        matches!(self.phase, Phase::Claiming | Phase::Judging | Phase::Placing)
    }

    /// Whether its start must be validated by a claim (protocol.md §5).
    pub(crate) fn needs_claim(&self, store_now: Timestamp, doubtful_after: Duration) -> bool {
        let age = store_now.0.saturating_sub(self.published_at.0);
        let limit = i64::try_from(doubtful_after.as_millis()).unwrap_or(i64::MAX);
        self.claim == Claim::No
            && (self.step.effect == Effect::Once
                || self.doubtful
                || self.step.republished
                || age > limit
                || age < -CLOCK_SLACK_MS)
    }

    /// When it is claimed while it runs.
    fn claim_due(&self, started: Instant, config: &Config) -> Option<Instant> {
        let crowded = self.text.as_ref().is_some_and(|t| t.log.waiting() > crate::text::HEAD_BYTES);
        (self.claim == Claim::No).then(|| if crowded { started } else { started + config.claim_after })
    }

    pub(crate) fn run_deadline(&self, started: Instant) -> Instant {
        started + Duration::from_millis(self.step.run_ms)
    }

    pub(crate) fn silence_deadline(&self) -> Option<Instant> {
        self.step.heartbeat_ms.map(|ms| self.last_life + Duration::from_millis(ms))
    }

    fn text_due(&self, started: Instant, config: &Config) -> Option<Instant> {
        let text = self.text.as_ref().filter(|_| self.claim == Claim::Held)?;
        let progress = text.progress.due(started, config.progress_every);
        [text.log_due, progress].into_iter().flatten().min()
    }

    /// When the loop must look at it next.
    pub(crate) fn due(&self, config: &Config) -> Option<Instant> {
        match (self.phase, self.started) {
            (Phase::Placing, _) => Some(self.since + config.place_patience),
            (Phase::Running, Some((started, _))) => {
                let limits = match self.stop {
                    Some(stop) => [Some(stop.until), None],
                    None => [Some(self.run_deadline(started)), self.silence_deadline()],
                };
                let rest = [self.claim_due(started, config), self.text_due(started, config)];
                limits.into_iter().chain(rest).flatten().min()
            }
            _ => None,
        }
    }

    /// Whether its claim is due although it runs already.
    pub(crate) fn is_claim_due(&self, now: Instant, config: &Config) -> bool {
        self.started.and_then(|(started, _)| self.claim_due(started, config)).is_some_and(|due| due <= now)
    }
}
