//! Cancels, timeouts, the fence, the drain.

use super::call::{Claim, Phase, Stop};
use super::{Core, Mode};
use crate::life::Key;
use crate::outcome::{Cause, is_refusal, outcome};
use crate::workers::{CallNo, Ended};
use aidt_domain::{Effect, Outcome};
use tokio::time::Instant;

impl Core {
    /// The owner wants a call to stop. Says nothing when it is not here.
    pub(crate) fn cancel(&mut self, key: Key, now: Instant) {
        let Some(&no) = self.by_key.get(&key) else { return };
        let phase = self.calls[&no].phase;
        match phase {
            Phase::Running => self.stop(no, Cause::Asked, now),
            Phase::Claiming | Phase::Judging | Phase::Placing => {
                let until = now + self.config.cancel_grace;
                let call = self.calls.get_mut(&no).expect("looked up above");
                call.stop.get_or_insert(Stop { cause: Cause::Asked, until });
                if phase == Phase::Placing && self.mode() != Mode::Fenced {
                    self.ready(no, now);
                }
            }
            Phase::Ended | Phase::Late | Phase::Over => {}
        }
    }

    /// Tells the worker to stop, and from when on its word is no longer waited for. The first cause counts.
    fn stop(&mut self, no: CallNo, cause: Cause, now: Instant) {
        let call = self.calls.get_mut(&no).expect("only calls in hand are stopped");
        if call.stop.is_some() {
            return;
        }
        call.stop = Some(Stop { cause, until: now + self.config.cancel_grace });
        self.workers.cancel(no, cause.reason());
        self.arm(no);
    }

    pub(super) fn fire_due(&mut self, now: Instant) {
        while let Some(&(at, no)) = self.dues.first()
            && at <= now
        {
            self.dues.pop_first();
            if let Some(call) = self.calls.get_mut(&no) {
                call.armed = None;
                self.due(no, now);
                self.arm(no);
            }
        }
    }

    fn due(&mut self, no: CallNo, now: Instant) {
        let call = &self.calls[&no];
        match call.phase {
            Phase::Placing => self.out_of_patience(no, now),
            Phase::Running => {
                self.check_limits(no, now);
                self.check_claim(no, now);
                self.write_text(no, now, false);
            }
            Phase::Claiming | Phase::Judging | Phase::Ended | Phase::Late | Phase::Over => {}
        }
    }

    fn check_limits(&mut self, no: CallNo, now: Instant) {
        let call = &self.calls[&no];
        let Some((started, _)) = call.started else { return };
        if let Some(stop) = call.stop {
            if stop.until <= now {
                self.give_up(no, now);
            }
        } else if call.run_deadline(started) <= now {
            self.stop(no, Cause::RunTimeout, now);
        } else if call.silence_deadline().is_some_and(|deadline| deadline <= now) {
            self.stop(no, Cause::Silence, now);
        }
    }

    /// No broker message is held open while a long step runs.
    fn check_claim(&mut self, no: CallNo, now: Instant) {
        let Some(call) = self.calls.get(&no) else { return };
        if call.phase == Phase::Running && call.is_claim_due(now, &self.config) {
            self.ask_claim(no);
        }
    }

    /// The worker did not say in time what happened: the owner is told so. Its word may still come.
    fn give_up(&mut self, no: CallNo, now: Instant) {
        let call = &self.calls[&no];
        let told = outcome(call.step.effect, call.stop.map(|stop| stop.cause), None);
        self.finish_early(no, told, now);
    }

    /// Every slot stayed busy: another process may have one.
    fn out_of_patience(&mut self, no: CallNo, now: Instant) {
        if self.mode() == Mode::Fenced {
            let call = self.calls.get_mut(&no).expect("only calls in hand are due");
            call.since = now;
            return;
        }
        self.ready(no, now);
        if self.calls.get(&no).is_some_and(|call| call.phase == Phase::Placing) {
            let until = self.store_now(now).plus(self.config.unserved_delay);
            self.finish(no, Outcome::Deferred(until), None, now);
        }
    }

    /// This process may be taken for dead: calls are cancelled, nothing is started or written. What was
    /// claimed and not started must be claimed again.
    pub(crate) fn fence(&mut self, now: Instant) {
        if self.fenced {
            return;
        }
        self.fenced = true;
        let numbers: Vec<_> = self.calls.keys().copied().collect();
        for no in numbers {
            let call = self.calls.get_mut(&no).expect("listed above");
            call.doubtful = true;
            match (call.phase, call.claim) {
                (Phase::Running, _) => self.stop(no, Cause::Fenced, now),
                (Phase::Claiming | Phase::Judging | Phase::Placing, Claim::Held) => self.claim_again(no, now),
                _ => {}
            }
        }
    }

    fn claim_again(&mut self, no: CallNo, now: Instant) {
        self.enter(no, Phase::Claiming, now);
        let call = &self.calls[&no];
        let request = self.claim_request(call);
        self.lanes.claims.push(super::ClaimAsk { call: no, request });
        self.calls.get_mut(&no).expect("looked up above").claim = Claim::Asked;
        self.arm(no);
    }

    /// The heartbeat is written again, and the row still stands.
    pub(crate) fn unfence(&mut self) {
        self.fenced = false;
    }

    /// Takes nothing more, and gives back what has not started.
    pub(crate) fn drain(&mut self, now: Instant) {
        if self.draining {
            return;
        }
        self.draining = true;
        let waiting: Vec<_> = self.calls.iter().filter(|(_, c)| c.phase == Phase::Placing).map(|(no, _)| *no).collect();
        waiting.into_iter().for_each(|no| self.ready(no, now));
    }

    /// The drain's grace is over. What may be repeated is handed back; a `once` is left to its worker,
    /// which reports it to the next step consumer.
    pub(crate) fn end_drain(&mut self, now: Instant) {
        let running: Vec<_> = self.calls.keys().copied().collect();
        for no in running {
            let call = &self.calls[&no];
            match call.phase {
                Phase::Running if call.step.effect != Effect::Once => {
                    self.stop(no, Cause::Drain, now);
                    self.give_up(no, now);
                }
                // What was said of them is on its way, with their claims; a worker's word that still comes is acked.
                Phase::Ended | Phase::Late | Phase::Over => {}
                _ => self.remove(no),
            }
        }
    }

    /// A call that ended with its worker's word, before its claim was answered or at once.
    pub(super) fn conclude(&mut self, no: CallNo, now: Instant) {
        let call = self.calls.get_mut(&no).expect("only calls in hand end");
        let Some(ended) = call.result.take() else { return };
        let (effect, cause) = (call.step.effect, call.stop.map(|stop| stop.cause));
        if is_refusal(cause, &ended) {
            let until = self.store_now(now).plus(self.config.unserved_delay);
            self.finish(no, Outcome::Deferred(until), Some((ended.worker, None)), now);
            return;
        }
        let Ended { result, worker, began_ago } = ended;
        let told = outcome(effect, cause, Some(result));
        self.finish(no, told, Some((worker, began_ago)), now);
    }
}
