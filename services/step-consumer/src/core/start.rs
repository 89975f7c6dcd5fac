//! Is the start valid, is it allowed, is there a slot.

use super::call::{Claim, Phase};
use super::{ClaimAsk, Core, JudgeAsk, Mode};
use crate::judge::{Again, Context};
use crate::outcome::{cancelled, queue_timeout};
use crate::workers::{CallNo, NoPlace, ToolCall};
use aidt_domain::{EffectHint, Outcome};
use aidt_store::{ClaimState, StoreError};
use std::sync::Arc;
use tokio::time::Instant;

impl Core {
    /// A call in hand that may not have been looked at: does whatever comes before its start.
    pub(super) fn ready(&mut self, no: CallNo, now: Instant) {
        let Some(call) = self.calls.get(&no) else { return };
        let store_now = self.store_now(now);
        if call.needs_claim(store_now, self.config.doubtful_after) {
            self.enter(no, Phase::Claiming, now);
            self.ask_claim(no);
        } else if call.stop.is_some() {
            let failure = cancelled(EffectHint::None, "it had not begun");
            self.finish(no, Outcome::Cancelled(failure), None, now);
        } else if self.mode() == Mode::Draining {
            self.finish(no, Outcome::Released, None, now);
        } else if call.step.queue_deadline.is_some_and(|deadline| store_now > deadline) {
            self.finish(no, Outcome::Failed(queue_timeout()), None, now);
        } else {
            self.judge(no, now);
        }
    }

    /// Judged again only when the active policy is another one, and then it may only become stricter.
    fn judge(&mut self, no: CallNo, now: Instant) {
        let call = &self.calls[&no];
        let policy = self.gate.current();
        let judged_by = call.judged_by.as_deref().unwrap_or(&call.step.decision.revision);
        if *judged_by != *policy.revision() {
            let ask = JudgeAsk { call: no, project: call.step.project.clone(), run: call.step.run };
            self.lanes.contexts.push(ask);
            self.enter(no, Phase::Judging, now);
            self.arm(no);
            return;
        }
        self.enter(no, Phase::Placing, now);
        if self.mode() == Mode::Fenced {
            self.wait_for_place(no);
        } else {
            self.place(no, now);
        }
    }

    /// What the policy is told of a run has been read: judges, and goes on.
    pub(super) fn judge_again(&mut self, no: CallNo, context: Result<Context, StoreError>, now: Instant) {
        let Some(call) = self.calls.get_mut(&no).filter(|call| call.phase == Phase::Judging) else { return };
        let mut span = call.spans.decide(&call.step);
        let judged = match context {
            Ok(context) => self.gate.again(&call.step, &context),
            Err(error) => Again::Refused(self.gate.blind(&call.step, &error)),
        };
        span.set("aidt.verdict", if matches!(judged, Again::Allowed { .. }) { "allow" } else { "deny" });
        span.set("aidt.policy.revision", self.gate.current().revision());
        drop(span);
        match judged {
            Again::Allowed { obligations } => {
                call.judged_by = Some(self.gate.current().revision().into());
                call.obligations = Some(obligations);
                self.ready(no, now);
            }
            Again::Refused(decision) => self.finish(no, Outcome::Refused(decision), None, now),
        }
    }

    fn place(&mut self, no: CallNo, now: Instant) {
        let call = self.calls.get_mut(&no).expect("only calls in hand are placed");
        let obligations = match &call.obligations {
            Some(obligations) => Arc::clone(obligations),
            None => self.gate.obligations(&call.step),
        };
        let traceparent = call.spans.call(&call.step);
        let tool = ToolCall { no, step: Arc::clone(&call.step), index: 0, obligations, traceparent };
        let placed = self.workers.start(tool);
        if placed.is_err() {
            call.spans.not_called();
        }
        match placed {
            Ok(()) => self.started(no, now),
            Err(NoPlace::Full) => self.wait_for_place(no),
            Err(NoPlace::Unserved) => {
                let until = self.store_now(now).plus(self.config.unserved_delay);
                self.finish(no, Outcome::Deferred(until), None, now);
            }
        }
    }

    fn started(&mut self, no: CallNo, now: Instant) {
        self.enter(no, Phase::Running, now);
        let at = self.store_now(now);
        let call = self.calls.get_mut(&no).expect("only calls in hand are started");
        call.started = Some((now, at));
        call.last_life = now;
        if call.claim == Claim::Held {
            self.say_started(no);
            self.ack(no);
        }
        self.arm(no);
    }

    fn wait_for_place(&mut self, no: CallNo) {
        let pool = self.calls[&no].pool;
        if !self.pools[pool].placing.contains(&no) {
            self.pools[pool].placing.push_back(no);
        }
        self.arm(no);
    }

    /// Tries those again that wait for a slot, oldest first.
    pub(super) fn place_waiting(&mut self, now: Instant) {
        if self.mode() == Mode::Fenced {
            return;
        }
        for pool in 0..self.pools.len() {
            if self.pools[pool].placing.is_empty() || self.workers.free(&self.pools[pool].pool) == 0 {
                continue;
            }
            for no in std::mem::take(&mut self.pools[pool].placing) {
                if self.calls.get(&no).is_some_and(|call| call.phase == Phase::Placing) {
                    self.ready_again(no, now);
                }
            }
        }
    }

    /// As [`ready`](Self::ready), without forgetting how long the call has waited for a slot.
    fn ready_again(&mut self, no: CallNo, now: Instant) {
        let since = self.calls[&no].since;
        self.ready(no, now);
        if let Some(call) = self.calls.get_mut(&no).filter(|call| call.phase == Phase::Placing) {
            call.since = since;
            self.arm(no);
        }
    }

    /// Asks the store for the claim, unless this process has asked for this very dispatch before: then
    /// somebody here runs it or ran it.
    pub(super) fn ask_claim(&mut self, no: CallNo) {
        let call = &self.calls[&no];
        if !self.life.ledger().reserve(call.key()) {
            self.lose(no);
            return;
        }
        self.push_claim(no);
    }

    fn push_claim(&mut self, no: CallNo) {
        let request = self.claim_request(&self.calls[&no]);
        self.lanes.claims.push(ClaimAsk { call: no, request });
        self.claims_asked += 1;
        let call = self.calls.get_mut(&no).expect("looked up above");
        call.claim = Claim::Asked;
        call.spans.claim(&call.step, true);
        self.arm(no);
    }

    /// The store has answered.
    pub(super) fn claimed(&mut self, asks: &[ClaimAsk], answers: &[ClaimState], now: Instant) {
        for (ask, answer) in asks.iter().zip(answers) {
            let Some(call) = self.calls.get_mut(&ask.call) else { continue };
            call.spans.claim(&call.step, false);
            match answer {
                // The answer is from before the fence: it may have been taken away since.
                ClaimState::Won if self.fenced => self.push_claim(ask.call),
                ClaimState::Won => {
                    call.claim = Claim::Held;
                    self.won(ask.call, now);
                }
                ClaimState::Held(_) | ClaimState::Burned | ClaimState::Stale => {
                    tracing::debug!(run = %call.step.run, step = %call.step.path, ?answer, "a start is not valid");
                    self.lose(ask.call);
                }
            }
        }
    }

    fn won(&mut self, no: CallNo, now: Instant) {
        let call = &self.calls[&no];
        match call.phase {
            Phase::Claiming | Phase::Judging | Phase::Placing => self.ready(no, now),
            Phase::Running => {
                self.say_started(no);
                self.ack(no);
                self.arm(no);
            }
            Phase::Ended => self.conclude(no, now),
            Phase::Late | Phase::Over => self.ack(no),
        }
    }

    /// Somebody else has the dispatch, or nobody shall: the message is acked and dropped, the call with
    /// all that it did is forgotten.
    fn lose(&mut self, no: CallNo) {
        if matches!(self.calls[&no].phase, Phase::Running | Phase::Ended | Phase::Late | Phase::Over) {
            self.workers.cancel(no, "another executor has the step");
            self.workers.leave(no);
        }
        self.ack(no);
        self.remove(no);
    }

    /// The store can never answer this: the message becomes a dead letter.
    pub(super) fn claim_refused(&mut self, ask: &ClaimAsk, reason: &str) {
        let Some(call) = self.calls.get_mut(&ask.call) else { return };
        let pool = call.pool;
        let bytes = aidt_proto::encode_step(&call.step);
        let tickets = std::mem::take(&mut call.tickets);
        if let Some(to) = aidt_proto::step_address(&bytes) {
            self.lanes.publish.push(self.never_ran(to, reason));
        }
        self.bury(pool, tickets, &bytes, reason.to_owned());
        self.lose(ask.call);
    }
}
