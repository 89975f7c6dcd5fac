//! Messages become calls, or dead letters.

use super::call::{Call, Claim, Phase};
use super::{Core, Letter, Ticket};
use crate::pool::{Arrival, Taken};
use crate::spans::Spans;
use crate::workers::CallNo;
use aidt_domain::{StepMessage, Timestamp};
use aidt_proto::{DecodeError, decode_entries, decode_step};
use aidt_store::DeadLetter;
use bytes::Bytes;
use smallvec::{SmallVec, smallvec};
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::time::Instant;

/// What the broker says of a message.
#[derive(Clone, Copy)]
struct Envelope {
    pool: usize,
    taken: Taken,
    ticket: Ticket,
    published_at: Option<Timestamp>,
    doubtful: bool,
}

impl Core {
    pub(super) fn take_arrivals(&mut self, now: Instant) {
        for pool in 0..self.pools.len() {
            for arrival in self.pools[pool].desk.take_arrivals() {
                self.arrive(pool, arrival, now);
            }
        }
    }

    fn arrive(&mut self, pool: usize, arrival: Arrival, now: Instant) {
        let Arrival { taken, delivery } = arrival;
        let body = delivery.body.clone();
        let (published_at, doubtful) = (delivery.published_at, delivery.doubtful);
        let entries = decode_entries(delivery.body);
        let count = entries.as_ref().map_or(1, |entries| entries.len().max(1));
        let ticket = self.pools[pool].open(taken, count);
        let envelope = Envelope { pool, taken, ticket, published_at, doubtful };
        match entries {
            // Shared by nobody: nothing to do.
            Ok(entries) if entries.is_empty() => self.pools[pool].done(ticket),
            Ok(entries) => entries.into_iter().for_each(|entry| self.read(envelope, entry, now)),
            Err(error) => self.unreadable(envelope, body, &error, now),
        }
    }

    fn read(&mut self, envelope: Envelope, entry: Bytes, now: Instant) {
        match decode_step(&entry) {
            Ok(step) => self.admit(envelope, step, now),
            Err(error) => self.unreadable(envelope, entry, &error, now),
        }
    }

    /// Poison is kept with its reason; what is of a newer format is left to a newer process.
    fn unreadable(&mut self, envelope: Envelope, bytes: Bytes, error: &DecodeError, now: Instant) {
        let side = &mut self.pools[envelope.pool];
        if error.is_newer_format() {
            if side.hold(envelope.taken, now) {
                tracing::warn!(pool = %side.pool, %error, "steps are left to a newer process");
            }
            return;
        }
        let inlet = format!("steps:{}", side.pool);
        tracing::error!(%inlet, %error, "a step message cannot be read; it becomes a dead letter");
        if let Some(to) = aidt_proto::step_address(&bytes) {
            self.lanes.publish.push(self.never_ran(to, &error.to_string()));
        }
        self.bury(envelope.pool, smallvec![envelope.ticket], &bytes, error.to_string());
    }

    pub(super) fn bury(&mut self, pool: usize, tickets: SmallVec<[Ticket; 1]>, bytes: &Bytes, reason: String) {
        let (project, run) =
            aidt_proto::step_address(bytes).map_or((None, None), |to| (Some(to.project), Some(to.run)));
        let letter = DeadLetter {
            id: 0,
            inlet: format!("steps:{}", self.pools[pool].pool),
            project,
            run,
            reason,
            headers: BTreeMap::new(),
            bytes: bytes.clone(),
            at: Timestamp::default(),
        };
        self.lanes.letters.push(Letter { letter, pool, tickets });
    }

    /// The dead letters are kept, durably.
    pub(super) fn buried(&mut self, letters: Vec<Letter>) {
        for Letter { pool, tickets, .. } in letters {
            tickets.into_iter().for_each(|ticket| self.pools[pool].done(ticket));
        }
    }

    fn admit(&mut self, envelope: Envelope, step: StepMessage, now: Instant) {
        let key = (step.run, step.step, step.dispatch);
        if let Some(&no) = self.by_key.get(&key) {
            self.delivered_again(no, envelope);
            return;
        }
        self.next_call += 1;
        let no = CallNo(self.next_call);
        if let Some(instruments) = aidt_telemetry::instruments().filter(|_| envelope.doubtful) {
            instruments.redelivered(step.pool.as_str());
        }
        let call = Call {
            spans: Spans::process(&step, self.system, envelope.doubtful),
            published_at: envelope.published_at.unwrap_or(step.dispatched_at),
            step: Arc::new(step),
            pool: envelope.pool,
            tickets: smallvec![envelope.ticket],
            phase: Phase::Claiming,
            claim: Claim::No,
            doubtful: envelope.doubtful,
            since: now,
            started: None,
            last_life: now,
            stop: None,
            result: None,
            text: None,
            armed: None,
            early_published: false,
            judged_by: None,
            obligations: None,
        };
        self.pools[envelope.pool].unplaced += 1;
        self.by_key.insert(key, no);
        self.calls.insert(no, call);
        self.ready(no, now);
    }

    /// A dispatch that is in hand came once more: one execution serves both messages.
    fn delivered_again(&mut self, no: CallNo, envelope: Envelope) {
        let call = self.calls.get_mut(&no).expect("the index names only calls in hand");
        let settled = call.early_published || (call.claim == Claim::Held && !call.is_unplaced());
        if settled || call.pool != envelope.pool {
            self.pools[envelope.pool].done(envelope.ticket);
        } else {
            call.tickets.push(envelope.ticket);
        }
    }

    /// Messages of a newer format were held long enough: a newer process may want them.
    pub(super) fn give_back_newer(&mut self, now: Instant) {
        let hold = self.config.newer_format_hold;
        for side in &mut self.pools {
            if side.held_since().is_some_and(|since| since + hold <= now) {
                side.give_back();
            }
        }
    }
}
