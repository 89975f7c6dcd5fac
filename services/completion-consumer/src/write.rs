//! The transaction of a turn, and what may happen only after it.

use crate::measure::letters;
use crate::owner::Owner;
use crate::takeover::own_command;
use crate::turn::{Turn, TurnFailed, Work};
use aidt_domain::{CommandBody, PartitionId, RunId};
use aidt_queue::Tag;
use aidt_store::{Batch, Commit, Kind, NewRun, SegmentRow, StoreError, TimerRow};
use aidt_telemetry::timed;
use std::collections::{BTreeMap, BTreeSet};

/// So many failures in a row make a conflict some run's fault.
const CONFLICTS: u32 = 5;

impl Owner {
    /// Commit, then make it visible, then publish, then ack. Answers the deliveries that are done.
    pub(crate) async fn finish_turn(&mut self, mut turn: Turn) -> Result<BTreeSet<(PartitionId, Tag)>, TurnFailed> {
        let touched = self.touched(&turn);
        let letters = letters(&turn);
        let batches = self.batches(&mut turn)?;
        let commit = match self.commit(batches).await {
            Ok(commit) => commit,
            Err(failure) => {
                self.suspect(&turn, &failure.source);
                return Err(failure);
            }
        };
        turn.spans.committed();
        let lost: Vec<PartitionId> = self.held.keys().copied().filter(|p| !commit.held.contains(p)).collect();
        for partition in lost.into_iter().filter(|p| touched.contains(p)) {
            // Another owner has it: nothing was written, nothing is published, nothing acked.
            tracing::info!(%partition, "lost a partition to another owner");
            if let Some(instruments) = aidt_telemetry::instruments() {
                instruments.partition_lost();
            }
            self.drop_lost(&mut turn, partition);
        }
        self.show_runs(&turn).await;
        self.note_burns(&commit);
        if let Err(source) = self.stop_calls(&turn).await {
            return Err(TurnFailed { what: "asking calls to stop", source });
        }
        for (partition, out_seq, pool, outgoing) in std::mem::take(&mut turn.publish) {
            if let Some(held) = self.held.get_mut(&partition) {
                held.unpublished.push_back((out_seq, pool, outgoing));
            }
        }
        self.publish_owed().await;
        self.ack(&turn.acks).await;
        self.measure_turn(&turn, &letters);
        for run in &turn.ended {
            self.condemned.remove(run);
        }
        let runs: Vec<RunId> = turn.works.keys().copied().collect();
        self.cache.settle(&runs);
        Ok(turn.acks.into_iter().collect())
    }

    fn touched(&self, turn: &Turn) -> BTreeSet<PartitionId> {
        let runs = turn.works.keys().filter_map(|r| self.cache.peek(*r)).map(|c| c.run.row.partition);
        let acks = turn.acks.iter().map(|(p, _)| *p);
        runs.chain(acks).chain(turn.inbox_done.keys().copied()).chain(turn.letters.keys().copied()).collect()
    }

    fn drop_lost(&mut self, turn: &mut Turn, partition: PartitionId) {
        let count = self.ports.store.run_log.partitions();
        let is_lost = |run: RunId| PartitionId::of(run, count) == partition;
        turn.works.retain(|run, _| !is_lost(*run));
        turn.spans.undo(is_lost);
        turn.acks.retain(|(p, _)| *p != partition);
        turn.publish.retain(|(p, ..)| *p != partition);
        self.forget(partition);
    }

    /// A partition's batch with nothing in it but its numbers.
    pub(crate) fn batch(&self, partition: PartitionId) -> Option<Batch> {
        let held = self.held.get(&partition)?;
        Some(Batch {
            partition,
            epoch: held.epoch,
            batch_id: held.batch_id.next(),
            published: held.published,
            out_seq: held.out_seq,
            cursor: held.cursor,
            incarnation: held.incarnation.clone(),
            turn: aidt_store::Turn::default(),
        })
    }

    fn batches(&mut self, turn: &mut Turn) -> Result<Vec<Batch>, TurnFailed> {
        let mut batches: BTreeMap<PartitionId, Batch> =
            self.touched(turn).into_iter().filter_map(|p| Some((p, self.batch(p)?))).collect();
        for (&run, work) in &mut turn.works {
            let Some(cached) = self.cache.get(run) else {
                let source =
                    StoreError::new("commit", Kind::Unavailable, format!("{run} was forgotten in its own turn"));
                return Err(TurnFailed { what: "writing a turn", source });
            };
            let partition = cached.run.row.partition;
            let Some(batch) = batches.get_mut(&partition) else { continue };
            write_history(&mut cached.run, work, batch);
            if let Some(held) = self.held.get_mut(&partition) {
                write_timers(run, work, batch, &mut held.timers);
            }
        }
        for (partition, seqs) in std::mem::take(&mut turn.inbox_done) {
            if let Some(batch) = batches.get_mut(&partition) {
                batch.turn.inbox_done = seqs;
            }
        }
        for (partition, letters) in std::mem::take(&mut turn.letters) {
            if let Some(batch) = batches.get_mut(&partition) {
                batch.turn.dead_letters = letters;
            }
        }
        Ok(batches.into_values().collect())
    }

    /// Commits. An ambiguous commit is an error like any other: the owner takes its partitions again and loads
    /// what is there.
    pub(crate) async fn commit(&mut self, batches: Vec<Batch>) -> Result<Commit, TurnFailed> {
        let numbers: Vec<_> = batches.iter().map(|b| (b.partition, b.batch_id, b.published)).collect();
        let commit = timed("commit", self.ports.store.run_log.commit(batches)).await;
        let commit = commit.map_err(TurnFailed::at("committing"))?;
        for (partition, batch_id, published) in numbers {
            if let (true, Some(held)) = (commit.held.contains(&partition), self.held.get_mut(&partition)) {
                held.batch_id = batch_id;
                held.published_stored = published;
            }
        }
        Ok(commit)
    }

    /// A commit that can never succeed is some run's fault: find out whose, then end that run.
    fn suspect(&mut self, turn: &Turn, error: &StoreError) {
        // A conflict goes away when the partition is taken again; one that stays is the run's.
        let passing = error.is_transient() || (error.kind == Kind::Conflict && self.failures < CONFLICTS);
        if passing {
            return;
        }
        let mut runs = turn.works.keys();
        match (runs.next(), runs.next()) {
            (Some(run), None) if self.condemned.contains_key(run) => {
                self.beyond_help.insert(*run);
            }
            (Some(&run), None) => {
                let message = format!("what follows cannot be stored: {error}");
                self.condemned.insert(run, aidt_domain::Failure::fatal(aidt_domain::ErrorCode::Internal, message));
            }
            _ => self.isolate = Some(BTreeSet::new()),
        }
    }

    fn note_burns(&mut self, commit: &Commit) {
        for burn in &commit.burns {
            let Some(cached) = self.cache.peek(burn.run) else { continue };
            let body = CommandBody::Burned { step: burn.step, dispatch: burn.dispatch, won: burn.won };
            let command = own_command(burn.run, body);
            if let Some(held) = self.held.get_mut(&cached.run.row.partition) {
                held.own.push_back(command);
            }
        }
    }
}

/// Rows and events of one run. Payloads find their place here, and the rows point to it.
fn write_history(run: &mut aidt_engine::Run, work: &mut Work, batch: &mut Batch) {
    if !work.events.is_empty() {
        let segment = aidt_proto::encode_segment(&work.events);
        for (event, at) in work.events.iter().zip(segment.refs) {
            if let Some(at) = at {
                run.place(event, at);
            }
        }
        batch.turn.segments.push(SegmentRow {
            run: run.row.id,
            first_seq: work.events[0].seq,
            count: u32::try_from(work.events.len()).expect("a turn's events are far below 4 billion"),
            events: segment.events,
            payloads: segment.payloads,
        });
    }
    work.changed.sort_unstable();
    work.changed.dedup();
    let id = run.row.id;
    batch.turn.steps.extend(work.changed.iter().map(|&ix| (id, run.step(ix).clone())));
    if work.is_new {
        batch.turn.new_runs.push(NewRun { row: run.row.clone() });
    } else if work.run_changed {
        batch.turn.runs.push(run.row.clone());
    }
    batch.turn.burns.extend(work.burns.iter().map(|&(ix, dispatch)| (id, ix, dispatch)));
}

fn write_timers(run: RunId, work: &Work, batch: &mut Batch, timers: &mut crate::timers::Timers) {
    for (&step, &at) in &work.timers {
        match at {
            Some(at) => {
                timers.set((run, step), at);
                batch.turn.timers_set.push(TimerRow { at, run, step });
            }
            None => {
                timers.clear((run, step));
                batch.turn.timers_cleared.push((run, step));
            }
        }
    }
}
