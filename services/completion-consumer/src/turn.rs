//! One turn: take what is there, decide, render and judge, until nothing is open; then one transaction.

use crate::held::Out;
use crate::owner::Owner;
use crate::receive::dead_letter;
use crate::spans::{self, Spans};
use crate::takeover::{UNCLAIMED, own_command};
use aidt_domain::{
    Command, CommandBody, DispatchNo, Event, EventBody, PartitionId, Pool, RunId, RunState, StepIx, StepState,
    Timestamp,
};
use aidt_engine::Effects;
use aidt_queue::{Delivery, Outgoing, Tag};
use aidt_store::{DeadLetter, Kind, StoreError};
use bytes::Bytes;
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use tokio::time::Instant;

/// Why a turn did not go through.
pub(crate) struct TurnFailed {
    pub(crate) what: &'static str,
    pub(crate) source: StoreError,
}

impl TurnFailed {
    pub(crate) fn at(what: &'static str) -> impl Fn(StoreError) -> Self {
        move |source| Self { what, source }
    }
}

/// Where a command came from, so that it can be marked as applied.
pub(crate) enum Source {
    Inbox(u64),
    Broker(Bytes),
    Own,
    /// A timer row that fired: cleared, unless the engine sets it again.
    Timer(Option<StepIx>),
}

/// What a turn has come to for one run.
#[derive(Default)]
pub(crate) struct Work {
    pub(crate) is_new: bool,
    pub(crate) events: Vec<Event>,
    pub(crate) changed: Vec<StepIx>,
    pub(crate) run_changed: bool,
    pub(crate) timers: BTreeMap<Option<StepIx>, Option<Timestamp>>,
    pub(crate) burns: Vec<(StepIx, DispatchNo)>,
    pub(crate) stops: Vec<(StepIx, DispatchNo)>,
    /// Conditions to evaluate.
    pub(crate) evaluate: Vec<StepIx>,
    pub(crate) conclude: bool,
}

/// What a turn has come to.
pub(crate) struct Turn {
    pub(crate) now: Timestamp,
    pub(crate) works: BTreeMap<RunId, Work>,
    pub(crate) inbox_done: BTreeMap<PartitionId, Vec<u64>>,
    pub(crate) acks: Vec<(PartitionId, Tag)>,
    pub(crate) letters: BTreeMap<PartitionId, Vec<DeadLetter>>,
    pub(crate) publish: Vec<(PartitionId, aidt_domain::OutSeq, Pool, Outgoing)>,
    /// Condemned runs that this turn ends.
    pub(crate) ended: Vec<RunId>,
    pub(crate) spans: Spans,
}

impl Owner {
    /// One turn over all held partitions. False when there was nothing to do. Takes the deliveries that it
    /// is done with out of `deliveries`; on an error they are all still there.
    pub(crate) async fn turn(&mut self, deliveries: &mut Vec<(PartitionId, Delivery)>) -> Result<bool, TurnFailed> {
        let now = self.now();
        let mut turn = Turn {
            now,
            works: BTreeMap::new(),
            inbox_done: BTreeMap::new(),
            acks: Vec::new(),
            letters: BTreeMap::new(),
            publish: Vec::new(),
            ended: Vec::new(),
            spans: Spans::begin(),
        };
        let mut commands = self.decode(deliveries, &mut turn);
        commands.extend(self.gather(&mut turn).await?);
        let isolating = self.isolate.is_some();
        self.isolate_one(&mut turn, &mut commands);
        let nothing_taken = commands.is_empty();
        self.load_for(&commands).await.map_err(TurnFailed::at("loading runs"))?;
        for (partition, command, source) in commands {
            self.take_command(&mut turn, partition, command, source)?;
        }
        self.settle(&mut turn).await?;
        if !isolating {
            self.admit(&mut turn).await?;
        } else if nothing_taken {
            self.admit_one(&mut turn).await?;
        }
        let worked = !turn.works.is_empty() || !turn.inbox_done.is_empty() || !turn.acks.is_empty();
        if worked {
            let done = self.finish_turn(turn).await?;
            deliveries.retain(|(partition, d)| !done.contains(&(*partition, d.tag)));
        }
        Ok(worked)
    }

    fn take_command(
        &mut self,
        turn: &mut Turn,
        partition: PartitionId,
        command: Command,
        source: Source,
    ) -> Result<(), TurnFailed> {
        if !self.held.contains_key(&partition) {
            return Ok(());
        }
        let is_new = match &command.body {
            CommandBody::Start(start) if !self.cache.contains(command.run) => self.create(&command, start, partition),
            _ => false,
        };
        if is_new {
            turn.works.entry(command.run).or_default().is_new = true;
        }
        let known = self.cache.contains(command.run) && !self.condemned.contains_key(&command.run);
        if known {
            turn.works.entry(command.run).or_default();
            if let Some(cached) = self.cache.get(command.run) {
                turn.spans.apply(&command, cached, turn.now);
            }
            self.apply(turn, partition, &command)?;
            if let (Source::Timer(step), Some(work)) = (&source, turn.works.get_mut(&command.run)) {
                work.timers.entry(*step).or_insert(None);
            }
        } else {
            self.undeliverable(turn, partition, &command, &source)?;
        }
        match source {
            Source::Inbox(seq) => turn.inbox_done.entry(partition).or_default().push(seq),
            Source::Broker(..) | Source::Own | Source::Timer(_) => {}
        }
        Ok(())
    }

    /// For a run that is not there or cannot be worked on.
    fn undeliverable(
        &mut self,
        turn: &mut Turn,
        partition: PartitionId,
        command: &Command,
        source: &Source,
    ) -> Result<(), TurnFailed> {
        let condemned = self.condemned.get(&command.run).cloned();
        let curable = self.cache.contains(command.run) && !self.beyond_help.contains(&command.run);
        if let (Some(failure), true) = (&condemned, curable) {
            let end = own_command(command.run, CommandBody::Poisoned(failure.clone()));
            self.apply(turn, partition, &end)?;
            turn.ended.push(command.run);
        }
        let reason = condemned.map_or_else(|| "there is no such run".to_owned(), |f| f.to_string());
        let (inlet, bytes) = match source {
            Source::Inbox(_) => ("inbox", aidt_proto::encode_command(command).unwrap_or_default()),
            Source::Broker(bytes) => ("commands", bytes.clone()),
            Source::Own | Source::Timer(_) => return Ok(()),
        };
        tracing::warn!(run = %command.run, command = command.body.name(), reason, "buried a command");
        let mut letter = dead_letter(inlet, Some(command.run), reason, bytes, turn.now);
        letter.project = Some(command.project.clone());
        letter.headers.insert("partition".to_owned(), partition.to_string());
        turn.letters.entry(partition).or_default().push(letter);
        Ok(())
    }

    /// Lets the engine decide, and takes note of what follows. A panic condemns the run and undoes the turn.
    pub(crate) fn apply(
        &mut self,
        turn: &mut Turn,
        partition: PartitionId,
        command: &Command,
    ) -> Result<(), TurnFailed> {
        let now = turn.now;
        let Some(cached) = self.cache.get(command.run) else { return Ok(()) };
        let mut fx = Effects::default();
        let applied = catch_unwind(AssertUnwindSafe(|| cached.run.apply(command, now, &mut fx)));
        if let Err(panic) = applied {
            let what = panic.downcast_ref::<String>().map(String::as_str).or(panic.downcast_ref::<&str>().copied());
            let message = format!("applying {}: {}", command.body.name(), what.unwrap_or("a panic"));
            self.condemn(command.run, message.clone());
            let source = StoreError::new("apply", Kind::Invalid, message);
            return Err(TurnFailed { what: "applying a command", source });
        }
        keep_outputs(cached, &fx);
        if let CommandBody::Started { step, dispatch, process, .. } = &command.body
            && cached.run.is_current(*step, *dispatch)
            && let Some(out) = self.held.get_mut(&partition).and_then(|h| h.out.get_mut(&(command.run, *step)))
        {
            out.process = Some(*process);
        }
        self.note(turn, partition, command.run, fx);
        Ok(())
    }

    fn note(&mut self, turn: &mut Turn, partition: PartitionId, run: RunId, fx: Effects) {
        let now = turn.now;
        let work = turn.works.entry(run).or_default();
        work.events.extend(fx.events);
        work.run_changed |= fx.run_changed;
        work.timers.extend(fx.timers);
        work.burns.extend(fx.burns);
        work.stops.extend(fx.stops);
        work.evaluate.extend(fx.evaluate);
        work.conclude |= fx.conclude;
        self.note_windows(partition, run, &fx.changed, now);
        let work = turn.works.entry(run).or_default();
        work.changed.extend(fx.changed);
        for (at, ix) in fx.backstops {
            if let Some(out) = self.held.get_mut(&partition).and_then(|h| h.out.get_mut(&(run, ix))) {
                out.look_at = at;
            }
        }
        for ix in fx.dispatched {
            self.hand_out(turn, partition, run, ix);
        }
        for ix in fx.ready {
            self.enqueue(run, ix);
        }
    }

    /// Who is in the window: what is handed out and not ended.
    fn note_windows(&mut self, partition: PartitionId, run: RunId, changed: &[StepIx], now: Timestamp) {
        let (Some(cached), Some(held)) = (self.cache.peek(run), self.held.get_mut(&partition)) else { return };
        for &ix in changed {
            let row = cached.run.step(ix);
            let key = (run, ix);
            if !row.state.is_out() {
                if let Some(out) = held.out.remove(&key)
                    && let Some(n) = self.in_window.get_mut(&out.pool)
                {
                    *n = n.saturating_sub(1);
                }
            } else if let (StepState::Dispatched, Some(pool)) = (row.state, &row.pool) {
                let out = Out { pool: pool.clone(), process: None, republished: 0, look_at: now.plus(UNCLAIMED) };
                if held.out.insert(key, out).is_none() {
                    *self.in_window.entry(pool.clone()).or_default() += 1;
                }
            }
        }
    }

    fn hand_out(&mut self, turn: &mut Turn, partition: PartitionId, run: RunId, ix: StepIx) {
        let (Some(cached), Some(held)) = (self.cache.get(run), self.held.get_mut(&partition)) else { return };
        held.out_seq = held.out_seq.next();
        cached.run.set_out_seq(ix, held.out_seq);
        let seq = cached.run.step(ix).dispatch_event;
        let Some(event) = turn.works.get(&run).and_then(|w| w.events.iter().rev().find(|e| e.seq == seq)) else {
            return;
        };
        if let Some(mut message) = crate::publish::step_message(&cached.run, ix, event, false) {
            turn.spans.publish(&mut message, self.ports.queue.system());
            let outgoing = crate::publish::outgoing(&message);
            turn.publish.push((partition, held.out_seq, message.pool, outgoing));
        }
    }

    /// Puts a ready step into the backlog of its pool.
    pub(crate) fn enqueue(&mut self, run: RunId, ix: StepIx) {
        let Some(cached) = self.cache.peek(run) else { return };
        let row = cached.run.step(ix);
        if let (StepState::Ready, Some(pool)) = (row.state, &row.pool) {
            self.backlog.push(crate::backlog::Waiting {
                pool: pool.clone(),
                project: cached.run.row.project.clone(),
                priority: row.priority,
                since: row.ready_at.unwrap_or_default(),
                run,
                step: ix,
            });
        }
    }

    /// Answers what the engine asked for, until nothing is open: conditions and the runs' outputs.
    pub(crate) async fn settle(&mut self, turn: &mut Turn) -> Result<(), TurnFailed> {
        loop {
            let mut asked = Vec::new();
            for (&run, work) in &mut turn.works {
                asked.extend(work.evaluate.drain(..).map(|ix| (run, Some(ix))));
                if std::mem::take(&mut work.conclude) {
                    asked.push((run, None));
                }
            }
            if asked.is_empty() {
                return Ok(());
            }
            self.fetch(&asked, true).await?;
            for (run, ix) in asked {
                let Some(cached) = self.cache.peek(run) else { continue };
                let body = match ix {
                    Some(ix) => CommandBody::Conditioned {
                        step: ix,
                        wanted: crate::gate::guarded(|| crate::gate::condition(cached, ix)),
                    },
                    None => match crate::gate::guarded(|| Ok(crate::gate::outputs(cached))) {
                        Ok((outputs, labels)) => CommandBody::Concluded(outputs, labels),
                        Err(failure) => CommandBody::Concluded(Err(failure), aidt_domain::Labels::NONE),
                    },
                };
                let (command, partition) = (own_command(run, body), cached.run.row.partition);
                self.apply(turn, partition, &command)?;
            }
        }
    }

    /// Lets ready steps into the windows: rendered, judged, handed out.
    async fn admit(&mut self, turn: &mut Turn) -> Result<(), TurnFailed> {
        let started = Instant::now();
        while started.elapsed() < self.config.turn_budget {
            let admitted = self.next_admitted();
            if admitted.is_empty() {
                break;
            }
            let runs: Vec<RunId> = admitted.iter().map(|(r, _)| *r).collect();
            self.load(&runs).await.map_err(TurnFailed::at("loading runs"))?;
            self.hand_over(turn, admitted).await?;
        }
        Ok(())
    }

    /// Renders and judges these steps, if they are still ready, and applies the verdicts.
    pub(crate) async fn hand_over(
        &mut self,
        turn: &mut Turn,
        admitted: Vec<(RunId, StepIx)>,
    ) -> Result<(), TurnFailed> {
        let still: Vec<_> = admitted.into_iter().filter(|(run, ix)| self.is_ready(*run, *ix)).collect();
        let asked: Vec<_> = still.iter().map(|(run, ix)| (*run, Some(*ix))).collect();
        self.fetch(&asked, false).await?;
        for (run, ix) in still {
            let Some(cached) = self.cache.get(run) else { continue };
            let span = turn.spans.judge(cached, ix, turn.now);
            let gate = &mut self.gate;
            let judged = crate::gate::guarded(|| gate.judge(cached, ix));
            spans::judged(span, &judged);
            let body = CommandBody::Judged { step: ix, judged };
            let (command, partition) = (own_command(run, body), cached.run.row.partition);
            self.apply(turn, partition, &command)?;
        }
        self.settle(turn).await
    }

    pub(crate) fn is_ready(&self, run: RunId, ix: StepIx) -> bool {
        let Some(cached) = self.cache.peek(run) else { return false };
        cached.run.row.state == RunState::Running && cached.run.state(ix) == StepState::Ready
    }

    pub(crate) fn next_admitted(&mut self) -> Vec<(RunId, StepIx)> {
        let mut admitted = Vec::new();
        for pool in self.backlog.pools() {
            for _ in 0..self.room(&pool).min(self.config.batch) {
                let Some(next) = self.backlog.pop(&pool) else { break };
                admitted.push(next);
            }
        }
        admitted
    }
}

/// What expressions may read next, before it is stored: what was recorded, not what was reported.
fn keep_outputs(cached: &mut crate::cache::Cached, fx: &Effects) {
    for &ix in fx.changed.iter().filter(|ix| cached.run.state(**ix) != StepState::Done) {
        cached.outputs.remove(&ix);
    }
    for event in &fx.events {
        let (EventBody::StepFinished { .. } | EventBody::StepResolved { .. }, Some(payload), Some(path)) =
            (&event.body, &event.payload, &event.step)
        else {
            continue;
        };
        let Some(ix) = cached.run.graph.find(path) else { continue };
        if cached.plan.is_read.get(ix.0 as usize).copied().unwrap_or(false)
            && let Ok(value) = serde_json::from_slice(&payload.bytes)
        {
            let kept = crate::cache::Kept {
                value: Arc::new(value),
                labels: Arc::new(payload.labels.clone()),
                len: payload.bytes.len(),
            };
            cached.outputs.insert(ix, kept);
        }
    }
}
