//! An owner that writes what it is told, as the real one would: rows and events in one batch, then a
//! message to whoever follows.

use aidt_domain::{
    Attempt, BatchId, Command, CommandBody, CommandId, Digest, DispatchNo, Effect, ErrorCode, Event, EventBody,
    Failure, Generation, Labels, OutSeq, OutputRef, PartitionId, Payload, ProcessId, ResolveAs, RunId, RunRow,
    RunState, Seq, Snapshot, Start, StepIx, StepRow, StepState, Timestamp,
};
use aidt_lock::Locks;
use aidt_proto::{decode_command, encode_segment};
use aidt_store::{Batch, InboxRow, NewRun, SegmentRow, Store, StoredRun, Turn};
use bytes::Bytes;
use std::sync::Arc;
use uuid::Uuid;

pub(crate) struct Owner {
    store: Store,
    locks: Arc<dyn Locks>,
}

/// An event to write: its step, its body, its payload.
type NewEvent = (Option<StepIx>, EventBody, Option<(&'static str, Bytes)>);

/// What a write adds to a run.
#[derive(Default)]
pub(crate) struct Write {
    pub(crate) events: Vec<NewEvent>,
    pub(crate) state: Option<RunState>,
    pub(crate) error: Option<Failure>,
    pub(crate) steps: Vec<(StepIx, StepState)>,
    pub(crate) cause: Option<CommandId>,
    pub(crate) applied: Option<u64>,
}

impl Write {
    /// With an event, for a write that has none of its own.
    pub(crate) fn saying_so(mut self) -> Self {
        self.events.push((Some(self.steps[0].0), EventBody::StepSkipped { reason: "test".to_owned() }, None));
        self
    }
}

impl Owner {
    pub(crate) fn new(store: Store, locks: Arc<dyn Locks>) -> Self {
        Self { store, locks }
    }

    /// Applies all that is in the inbox.
    pub(crate) async fn turn(&self) {
        for partition in (0..self.store.run_log.partitions()).map(PartitionId) {
            for row in self.store.inbox.inbox(partition, 0, 1000).await.unwrap() {
                let command = decode_command(&row.command).unwrap();
                self.apply(row, command).await;
            }
        }
    }

    async fn apply(&self, inbox: InboxRow, command: Command) {
        let mut write = Write { cause: command.id, applied: Some(inbox.seq), ..Write::default() };
        if let CommandBody::Start(start) = command.body {
            return self.start(inbox, *start, &command.actor.0, write).await;
        }
        let stored = self.load(inbox.run).await;
        let by = command.actor.0;
        let (ended, name) = (stored.row.state.is_terminal(), command.body.name().to_owned());
        match command.body {
            CommandBody::Cancel { reason } if !ended => {
                write.events.push((None, EventBody::RunCancelling { by, reason }, None));
                write.events.push((None, EventBody::RunCancelled { unknown: Vec::new() }, None));
                write.state = Some(RunState::Cancelled);
            }
            CommandBody::Retry(_) if ended => {
                write.events.push((None, EventBody::RunReopened { by, steps: Vec::new() }, None));
                write.state = Some(RunState::Running);
            }
            CommandBody::Resolve { step, resolve }
                if stored.steps.iter().any(|s| s.path == step && s.state == StepState::Unknown) =>
            {
                let ix = stored.steps.iter().find(|s| s.path == step).unwrap().ix;
                let (resolve, output) = match resolve {
                    ResolveAs::Done(output) => ("done", Some(("output", Bytes::from(output.to_string())))),
                    ResolveAs::Failed(_) => ("failed", None),
                    ResolveAs::Retry => ("retry", None),
                };
                let body = EventBody::StepResolved { resolve: resolve.to_owned(), by, error: None };
                write.events.push((Some(ix), body, output));
                write.steps.push((ix, StepState::Done));
            }
            _ => {
                let message = format!("a run that is {} takes no {name}", stored.row.state);
                let body = EventBody::CommandRefused { command: name, code: ErrorCode::NotApplicable, message };
                write.events.push((None, body, None));
            }
        }
        self.write_to(stored, write).await;
    }

    async fn start(&self, inbox: InboxRow, start: Start, by: &str, mut write: Write) {
        let snapshot = self.snapshot(start.snapshot).await;
        let mut labels = snapshot.labels.clone();
        labels.extend(start.labels);
        let row = RunRow {
            project: inbox.project,
            id: inbox.run,
            partition: inbox.partition,
            snapshot: start.snapshot,
            plan: snapshot.name.clone(),
            state: RunState::Running,
            last_seq: Seq(0),
            inputs: None,
            outputs: None,
            error: None,
            head: None,
            priority: snapshot.priority,
            labels: labels.clone(),
            submitted_by: by.to_owned(),
            traceparent: None,
            budget: aidt_domain::Budget::default(),
            created_at: inbox.at,
            updated_at: inbox.at,
            ended_at: None,
        };
        let body = EventBody::RunStarted { plan: snapshot.name, snapshot: start.snapshot, labels, by: by.to_owned() };
        let inputs = serde_json::to_vec(&start.inputs).unwrap();
        write.events.push((None, body, Some(("inputs", inputs.into()))));
        self.write_to(StoredRun { row, steps: Vec::new() }, write).await;
    }

    /// Writes to a run that there is.
    pub(crate) async fn write(&self, run: RunId, write: Write) {
        let stored = self.load(run).await;
        self.write_to(stored, write).await;
    }

    /// A step is done, with this output.
    pub(crate) async fn finish(&self, run: RunId, ix: u32, output: &str) {
        let body = EventBody::StepFinished {
            worker: "w".to_owned(),
            started_at: None,
            commit: None,
            paths: Vec::new(),
            log: String::new(),
        };
        let event = (Some(StepIx(ix)), body, Some(("output", Bytes::from(output.to_owned()))));
        self.write(run, Write { events: vec![event], steps: vec![(StepIx(ix), StepState::Done)], ..Write::default() })
            .await;
    }

    /// The run is done, with these outputs.
    pub(crate) async fn end(&self, run: RunId, outputs: &str) {
        let event = (None, EventBody::RunDone, Some(("outputs", Bytes::from(outputs.to_owned()))));
        self.write(run, Write { events: vec![event], state: Some(RunState::Done), ..Write::default() }).await;
    }

    async fn load(&self, run: RunId) -> StoredRun {
        self.store.run_log.load(&[run]).await.unwrap().pop().unwrap()
    }

    async fn snapshot(&self, digest: Digest) -> Snapshot {
        serde_json::from_slice(&self.store.catalog.documents(&[digest]).await.unwrap()[0]).unwrap()
    }

    async fn write_to(&self, stored: StoredRun, write: Write) {
        let snapshot = self.snapshot(stored.row.snapshot).await;
        let mut row = stored.row;
        let at = self.store.run_log.now().await.unwrap();
        let new = row.last_seq == Seq(0);
        let first_seq = row.last_seq.next();
        let mut events: Vec<Event> = Vec::new();
        for (step, body, payload) in write.events {
            row.last_seq = row.last_seq.next();
            let payload = payload.map(|(name, bytes)| Payload { name, bytes, labels: Labels::NONE });
            let step_path = step.map(|ix| snapshot.steps[ix.0 as usize].path.clone());
            let (dispatch, attempt) = (DispatchNo(u32::from(step.is_some())), Attempt(u32::from(step.is_some())));
            let (seq, cause, generation) = (row.last_seq, write.cause, Generation(1));
            events.push(Event { seq, at, cause, step: step_path, dispatch, attempt, generation, body, payload });
        }
        let segment = encode_segment(&events);
        let mut outputs: Vec<(StepIx, OutputRef)> = Vec::new();
        for (event, at) in events.iter().zip(&segment.refs) {
            match (event.payload.as_ref().map(|p| p.name), at) {
                (Some("inputs"), Some(at)) => row.inputs = Some(at.clone()),
                (Some("outputs"), Some(at)) => row.outputs = Some(at.clone()),
                (Some("output"), Some(at)) => {
                    let ix = snapshot.steps.iter().position(|s| Some(&s.path) == event.step.as_ref()).unwrap();
                    outputs.push((StepIx(u32::try_from(ix).unwrap()), at.clone()));
                }
                _ => {}
            }
        }
        row.state = write.state.unwrap_or(row.state);
        row.error = write.error;
        row.updated_at = at;
        row.ended_at = row.state.is_terminal().then_some(at);
        let count = u32::try_from(events.len()).unwrap();
        let segment = SegmentRow { run: row.id, first_seq, count, events: segment.events, payloads: segment.payloads };
        let steps = write.steps.into_iter().map(|(ix, state)| {
            let output = outputs.iter().find(|(o, _)| *o == ix).map(|(_, at)| at.clone());
            (row.id, step_row(&snapshot, ix, state, at, output))
        });
        let turn = Turn {
            segments: vec![segment],
            steps: steps.collect(),
            inbox_done: write.applied.into_iter().collect(),
            new_runs: if new { vec![NewRun { row: row.clone() }] } else { Vec::new() },
            runs: if new { Vec::new() } else { vec![row.clone()] },
            ..Turn::default()
        };
        self.commit(row.partition, turn).await;
        let message = Bytes::from(row.last_seq.to_string());
        self.locks.publish(&format!("run:{}", row.id), message).await.unwrap();
    }

    async fn commit(&self, partition: PartitionId, turn: Turn) {
        let held = self.store.run_log.take(partition, ProcessId(Uuid::nil()), 1).await.unwrap();
        let batch = Batch {
            partition,
            epoch: held.epoch,
            batch_id: BatchId(held.batch_id.0 + 1),
            published: held.published,
            out_seq: held.out_seq,
            cursor: held.cursor,
            incarnation: held.incarnation,
            turn,
        };
        let commit = self.store.run_log.commit(vec![batch]).await.unwrap();
        assert_eq!(commit.held, [partition]);
    }
}

fn step_row(snapshot: &Snapshot, ix: StepIx, state: StepState, at: Timestamp, output: Option<OutputRef>) -> StepRow {
    let spec = &snapshot.steps[ix.0 as usize];
    StepRow {
        ix,
        path: spec.path.clone(),
        state,
        dispatch: DispatchNo(1),
        attempt: Attempt(1),
        generation: Generation(1),
        pool: spec.kind.tool().map(|t| t.pool.clone()),
        effect: Effect::Read,
        priority: 0,
        out_seq: OutSeq(0),
        dispatch_event: Seq(0),
        clean_attempt: None,
        ready_at: Some(at),
        dispatched_at: Some(at),
        started_at: None,
        ended_at: state.is_terminal().then_some(at),
        wake_at: None,
        error: None,
        output,
    }
}
