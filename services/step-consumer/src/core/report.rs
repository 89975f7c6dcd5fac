//! What workers say, and what owners are told.

use super::call::{Call, Claim, Phase, Text};
use super::{Core, Origin, Publication};
use crate::outcome::outcome;
use crate::text::Piece;
use crate::workers::{CallNo, Ended, Orphan, Report, Settled, ToolResult};
use aidt_domain::{
    Actor, Command, CommandBody, DispatchNo, EffectHint, ErrorCode, Failure, Finished, Labels, Outcome, PartitionId,
    ProcessId, Project, RunId, StepIx, Timestamp,
};
use aidt_store::LogChunk;
use bytes::Bytes;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// Whose word a result is: the worker, and how long ago it began the call.
type Word = (Arc<str>, Option<Duration>);

impl Core {
    pub(crate) fn report(&mut self, report: Report, now: Instant) {
        match report {
            Report::Progress { call, message } => self.progress(call, &message, now),
            Report::Output { call, offset, data } => self.output(call, offset, &data, now),
            Report::Ended { call, ended } => self.ended(call, *ended, now),
            Report::Orphan(orphan) => self.orphan(*orphan, now),
        }
    }

    fn progress(&mut self, no: CallNo, message: &str, now: Instant) {
        let Some(call) = self.calls.get_mut(&no) else { return };
        call.last_life = now;
        if !message.is_empty() {
            call.text.get_or_insert_default().progress.push(message);
            self.arm(no);
        }
    }

    fn output(&mut self, no: CallNo, offset: u64, data: &Bytes, now: Instant) {
        let (limit, log_bytes, every) = (self.config.log_limit, self.config.log_bytes, self.config.log_every);
        let Some(call) = self.calls.get_mut(&no) else { return };
        call.last_life = now;
        let text = call.text.get_or_insert_default();
        let before_gap = text.log.push(offset, data, limit);
        if text.log.waiting() > 0 {
            text.log_due.get_or_insert(now + every);
        }
        let (full, held) = (text.log.waiting() >= log_bytes, call.claim == Claim::Held);
        if let Some(piece) = before_gap.filter(|_| held) {
            self.write_piece(no, piece);
        }
        if full && held {
            self.write_log(no, false);
        }
        self.arm(no);
    }

    fn ended(&mut self, no: CallNo, ended: Ended, now: Instant) {
        let Some(call) = self.calls.get_mut(&no) else { return };
        match call.phase {
            Phase::Late => self.late(no, ended, now),
            // The answer to the claim decides whether anybody may see the result.
            Phase::Running if call.claim == Claim::Asked => {
                call.result = Some(ended);
                self.enter(no, Phase::Ended, now);
                self.arm(no);
            }
            Phase::Running => {
                call.result = Some(ended);
                self.conclude(no, now);
            }
            _ => {}
        }
    }

    /// The worker's word after all: it may settle what was reported as unclear.
    fn late(&mut self, no: CallNo, ended: Ended, now: Instant) {
        let call = &self.calls[&no];
        if let ToolResult::Lost { .. } = ended.result {
            if call.early_published {
                self.remove(no);
            } else {
                self.enter(no, Phase::Over, now);
            }
            return;
        }
        let told = outcome(call.step.effect, call.stop.map(|stop| stop.cause), Some(ended.result));
        self.finish(no, told, Some((ended.worker, ended.began_ago)), now);
    }

    /// Tells the owner how a call ended.
    pub(super) fn finish(&mut self, no: CallNo, mut told: Outcome, word: Option<Word>, now: Instant) {
        if let Outcome::Done { labels, .. } = &mut told {
            // What went in may come out: provenance is not lost on the way through a tool.
            labels.extend(&self.calls[&no].step.labels);
        }
        self.write_text(no, now, true);
        self.enter(no, Phase::Ended, now);
        self.say_finished(no, told, word, Origin::Call(no), now);
    }

    /// Tells the owner how a call ended as far as is known, without the worker's word.
    pub(super) fn finish_early(&mut self, no: CallNo, told: Outcome, now: Instant) {
        self.write_text(no, now, false);
        self.enter(no, Phase::Late, now);
        self.say_finished(no, told, None, Origin::Early(no), now);
    }

    fn say_finished(&mut self, no: CallNo, told: Outcome, word: Option<Word>, origin: Origin, now: Instant) {
        let store_now = self.store_now(now);
        let process = self.life.process();
        let call = self.calls.get_mut(&no).expect("only calls in hand are reported");
        let given = call.started.map(|(_, at)| at);
        let (worker, began_ago) = word.map_or((String::new(), None), |(w, ago)| (w.to_string(), ago));
        call.spans.ended(&told);
        let finished = Finished {
            step: call.step.step,
            dispatch: call.step.dispatch,
            outcome: told,
            started_at: given.map(|at| began_ago.map_or(at, |ago| before(store_now, ago).max(at))),
            process,
            worker,
            log: call.text.as_mut().map_or_else(Bytes::new, |text| text.log.head()),
        };
        let body = CommandBody::Finished(Box::new(finished));
        let publication = publication(call, body, origin);
        self.lanes.publish.push(publication);
        self.arm(no);
    }

    /// Tells the owner that a dispatch became a dead letter before it was started.
    pub(super) fn never_ran(&self, to: aidt_proto::StepAddress, reason: &str) -> Publication {
        let what = format!("the step's message became a dead letter: {reason}");
        let failure = Failure::fatal(ErrorCode::Internal, what);
        let finished = failed(to.step, to.dispatch, self.life.process(), failure);
        Publication {
            partition: to.partition,
            run: to.run,
            body: encode(&to.project, to.run, None, CommandBody::Finished(Box::new(finished))),
            project: to.project,
            traceparent: None,
            origin: Origin::Note,
        }
    }

    /// A claimed call began: a hint for people, and the base of the owner's backstop.
    pub(super) fn say_started(&mut self, no: CallNo) {
        let process = self.life.process();
        let call = self.calls.get_mut(&no).expect("only calls in hand are started");
        let Some((_, at)) = call.started else { return };
        let body = CommandBody::Started { step: call.step.step, dispatch: call.step.dispatch, process, at };
        self.lanes.publish.push(publication(call, body, Origin::Note));
    }

    /// Writes text that is due, of a claimed call: nobody else may write under its dispatch.
    pub(super) fn write_text(&mut self, no: CallNo, now: Instant, at_end: bool) {
        let every = self.config.progress_every;
        let Some(call) = self.calls.get_mut(&no) else { return };
        let Some((started, _)) = call.started.filter(|_| call.claim == Claim::Held) else { return };
        let Some(text) = call.text.as_mut() else { return };
        let log_due = at_end || text.log_due.is_some_and(|due| due <= now);
        let progress_due = at_end || text.progress.due(started, every).is_some_and(|due| due <= now);
        if progress_due && let Some((offset, text)) = text.progress.take(now) {
            let (step, dispatch) = (call.step.step, call.step.dispatch);
            let body = CommandBody::Progress { step, dispatch, offset, text };
            let publication = publication(call, body, Origin::Note);
            self.lanes.publish.push(publication);
        }
        if log_due {
            self.write_log(no, at_end);
        }
    }

    fn write_log(&mut self, no: CallNo, at_end: bool) {
        let text: &mut Text = self.calls.get_mut(&no).and_then(|c| c.text.as_deref_mut()).expect("has text");
        text.log_due = None;
        if let Some(piece) = text.log.take(at_end) {
            self.write_piece(no, piece);
        }
    }

    fn write_piece(&mut self, no: CallNo, piece: Piece) {
        let step = Arc::clone(&self.calls[&no].step);
        let live = serde_json::json!({
            "step": step.path,
            "dispatch": step.dispatch,
            "offset": piece.offset,
            "text": String::from_utf8_lossy(&piece.bytes),
        });
        self.say_live(format!("live:{}", step.run), live.to_string().into());
        self.lanes.logs.push(LogChunk {
            run: step.run,
            step: step.step,
            dispatch: step.dispatch,
            offset: piece.offset,
            bytes: piece.bytes,
        });
    }

    /// The result of an earlier consumer's call goes where it belongs; the owner drops what is not current.
    fn orphan(&mut self, orphan: Orphan, now: Instant) {
        let Orphan { no, route, ended } = orphan;
        let store_now = self.store_now(now);
        let mut told = outcome(route.effect, None, Some(ended.result));
        if let Outcome::Done { labels, .. } = &mut told {
            // The provenance of its arguments went with the consumer that placed the call.
            labels.extend(&Labels::one("unknown"));
        }
        let finished = Finished {
            step: route.step,
            dispatch: route.dispatch,
            outcome: told,
            started_at: ended.began_ago.map(|ago| before(store_now, ago)),
            process: self.life.process(),
            worker: ended.worker.to_string(),
            log: Bytes::new(),
        };
        let body = CommandBody::Finished(Box::new(finished));
        self.lanes.publish.push(Publication {
            body: encode(&route.project, route.run, route.traceparent.as_deref(), body),
            partition: route.partition,
            run: route.run,
            project: route.project,
            traceparent: route.traceparent,
            origin: Origin::Orphan(no),
        });
    }

    /// These commands are published, confirmed: messages are acked, workers may forget.
    pub(super) fn published(&mut self, publications: Vec<Publication>, now: Instant) {
        let mut settled = Vec::with_capacity(publications.len());
        for publication in publications {
            let claim_of = |no| {
                let claimed = self.calls.get(&no).filter(|call| call.claim == Claim::Held);
                claimed.map(|call| self.claim_request(call))
            };
            let claim = match publication.origin {
                Origin::Call(no) => {
                    let claim = claim_of(no);
                    self.reported += 1;
                    settled.push(Settled::Call(no));
                    self.ack(no);
                    self.remove(no);
                    claim.map(Some)
                }
                Origin::Early(no) => {
                    let claim = claim_of(no);
                    self.published_early(no);
                    claim.map(Some)
                }
                Origin::Orphan(no) => {
                    self.reported += 1;
                    settled.push(Settled::Orphan(no));
                    // The claim is another life's.
                    Some(None)
                }
                Origin::Note => None,
            };
            if let Some(claim) = claim {
                self.kept.keep(publication, claim, now);
            }
        }
        if !settled.is_empty() {
            self.workers.settle(&settled);
        }
    }

    fn published_early(&mut self, no: CallNo) {
        self.reported += 1;
        self.ack(no);
        let Some(call) = self.calls.get_mut(&no) else { return };
        call.early_published = true;
        if call.phase == Phase::Over {
            self.remove(no);
        }
    }
}

fn before(now: Timestamp, ago: Duration) -> Timestamp {
    Timestamp(now.0.saturating_sub(i64::try_from(ago.as_millis()).unwrap_or(i64::MAX)))
}

/// What is said instead of a result that no broker takes.
pub(super) fn unsayable(call: &mut Call, process: ProcessId, reason: &str) -> Publication {
    let what = format!("the step's result became a dead letter, for the broker refuses it: {reason}");
    let failure = Failure { effect: EffectHint::Maybe, ..Failure::fatal(ErrorCode::Internal, what) };
    let finished = failed(call.step.step, call.step.dispatch, process, failure);
    publication(call, CommandBody::Finished(Box::new(finished)), Origin::Note)
}

fn failed(step: StepIx, dispatch: DispatchNo, process: ProcessId, failure: Failure) -> Finished {
    Finished {
        step,
        dispatch,
        outcome: Outcome::Failed(failure),
        started_at: None,
        process,
        worker: String::new(),
        log: Bytes::new(),
    }
}

fn publication(call: &mut Call, body: CommandBody, origin: Origin) -> Publication {
    let traceparent = call.spans.report(&call.step, body.name());
    let step = &call.step;
    let (project, run): (&Project, RunId) = (&step.project, step.run);
    let partition: PartitionId = step.partition;
    Publication {
        partition,
        run,
        project: project.clone(),
        body: encode(project, run, traceparent.as_deref(), body),
        traceparent,
        origin,
    }
}

fn encode(project: &Project, run: RunId, traceparent: Option<&str>, body: CommandBody) -> Bytes {
    let command = Command {
        id: None,
        project: project.clone(),
        run,
        actor: Actor::default(),
        traceparent: traceparent.map(str::to_owned),
        body,
    };
    aidt_proto::encode_command(&command).expect("a step consumer's commands travel by the broker")
}
