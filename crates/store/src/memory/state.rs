//! What is stored, and the lookups that several ports share.

use crate::types::{
    DeadLetter, InboxRow, JournalEntry, JournalKey, OpenStep, PartitionRow, PayloadAt, ProcessRow, SegmentRow, TimerRow,
};
use crate::{Kind, StoreError};
use aidt_domain::{
    BatchId, CommandId, Digest, DispatchNo, Epoch, OutSeq, PartitionId, ProcessId, Project, RunId, RunRow, Seq, StepIx,
    StepRow, StepState, Timestamp,
};
use bytes::Bytes;
use std::collections::{BTreeMap, BTreeSet};

/// Names a dispatch.
pub(super) type DispatchKey = (RunId, StepIx, DispatchNo);

/// A run with everything that hangs on it.
#[derive(Debug)]
pub(super) struct Run {
    /// Rises with each run; lists go by it.
    pub(super) number: u64,
    pub(super) row: RunRow,
    pub(super) steps: BTreeMap<StepIx, StepRow>,
    pub(super) segments: BTreeMap<Seq, SegmentRow>,
}

/// A claim, or a burn.
#[derive(Debug)]
pub(super) struct Holder {
    /// `None`: burned.
    pub(super) process: Option<ProcessId>,
    /// Asked to stop.
    pub(super) stop: bool,
}

/// An idempotency key that was used.
#[derive(Debug)]
pub(super) struct UsedKey {
    pub(super) body: Digest,
    pub(super) run: RunId,
    pub(super) at: Timestamp,
}

/// Everything that is stored.
#[derive(Debug)]
pub(super) struct State {
    /// The latest time that was seen: never goes back.
    pub(super) now: Timestamp,
    pub(super) partitions: Vec<PartitionRow>,
    pub(super) inbox: BTreeMap<(PartitionId, u64), InboxRow>,
    pub(super) inbox_ids: BTreeMap<CommandId, (PartitionId, u64)>,
    pub(super) last_inbox: u64,
    pub(super) keys: BTreeMap<(Project, String), UsedKey>,
    pub(super) documents: BTreeMap<Digest, Bytes>,
    pub(super) runs: BTreeMap<RunId, Run>,
    pub(super) run_numbers: BTreeMap<u64, RunId>,
    /// Steps that are ready, dispatched or running: what a takeover reads.
    pub(super) open: BTreeSet<(PartitionId, u64, StepIx)>,
    pub(super) timers: BTreeSet<(PartitionId, TimerRow)>,
    pub(super) timer_of: BTreeMap<(RunId, Option<StepIx>), (PartitionId, TimerRow)>,
    pub(super) claims: BTreeMap<DispatchKey, Holder>,
    pub(super) journal: BTreeMap<JournalKey, Vec<JournalEntry>>,
    pub(super) logs: BTreeMap<(RunId, StepIx, DispatchNo, u64), Bytes>,
    pub(super) dead_letters: BTreeMap<u64, DeadLetter>,
    pub(super) last_dead_letter: u64,
    pub(super) processes: BTreeMap<ProcessId, ProcessRow>,
}

impl State {
    pub(super) fn new(partitions: u16) -> Self {
        Self {
            now: Timestamp::default(),
            partitions: (0..partitions).map(|id| new_partition(PartitionId(id))).collect(),
            inbox: BTreeMap::new(),
            inbox_ids: BTreeMap::new(),
            last_inbox: 0,
            keys: BTreeMap::new(),
            documents: BTreeMap::new(),
            runs: BTreeMap::new(),
            run_numbers: BTreeMap::new(),
            open: BTreeSet::new(),
            timers: BTreeSet::new(),
            timer_of: BTreeMap::new(),
            claims: BTreeMap::new(),
            journal: BTreeMap::new(),
            logs: BTreeMap::new(),
            dead_letters: BTreeMap::new(),
            last_dead_letter: 0,
            processes: BTreeMap::new(),
        }
    }

    /// A step's row, if it has left `pending`.
    pub(super) fn step(&self, run: RunId, step: StepIx) -> Option<&StepRow> {
        self.runs.get(&run)?.steps.get(&step)
    }

    /// The step's row if this is its current dispatch and it has not ended.
    pub(super) fn out(&self, (run, step, dispatch): DispatchKey) -> Option<&StepRow> {
        self.step(run, step).filter(|row| row.dispatch == dispatch && row.state.is_out())
    }

    /// Steps of a partition that are ready, or that are out, oldest run first.
    pub(super) fn open_of(
        &self,
        partition: PartitionId,
        after: Option<(u64, StepIx)>,
        wanted: fn(StepState) -> bool,
    ) -> impl Iterator<Item = OpenStep> {
        let from = after.unwrap_or((0, StepIx(0)));
        self.open
            .range((partition, from.0, from.1)..=(partition, u64::MAX, StepIx(u32::MAX)))
            .filter(move |(_, number, step)| Some((*number, *step)) != after)
            .filter_map(move |(_, number, step)| {
                let run = self.run_numbers[number];
                let row = &self.runs[&run].steps[step];
                wanted(row.state).then_some(OpenStep { run, step: *step, dispatch: row.dispatch })
            })
    }

    /// The bytes that a reference names.
    pub(super) fn payload(&self, operation: &'static str, (run, at): &PayloadAt) -> Result<Bytes, StoreError> {
        let start = at.offset as usize;
        self.runs
            .get(run)
            .and_then(|stored| stored.segments.get(&at.segment))
            .and_then(|segment| {
                let end = start.checked_add(at.len as usize)?;
                (end <= segment.payloads.len()).then(|| segment.payloads.slice(start..end))
            })
            .ok_or_else(|| {
                let message = format!(
                    "{run} has no payload of {} bytes at {} in the segment from event {}",
                    at.len, at.offset, at.segment
                );
                StoreError::new(operation, Kind::Corrupt, message)
            })
    }

    /// Keeps a command unless its id is there.
    pub(super) fn put_inbox(&mut self, mut row: InboxRow) -> bool {
        if self.inbox_ids.contains_key(&row.id) {
            return false;
        }
        self.last_inbox += 1;
        row.seq = self.last_inbox;
        row.at = self.now;
        self.inbox_ids.insert(row.id, (row.partition, row.seq));
        self.inbox.insert((row.partition, row.seq), row);
        true
    }

    /// Keeps what nothing could be done with.
    pub(super) fn put_dead_letter(&mut self, mut letter: DeadLetter) {
        self.last_dead_letter += 1;
        letter.id = self.last_dead_letter;
        letter.at = self.now;
        self.dead_letters.insert(letter.id, letter);
    }
}

fn new_partition(id: PartitionId) -> PartitionRow {
    PartitionRow {
        id,
        epoch: Epoch(0),
        owner: None,
        published: OutSeq(0),
        out_seq: OutSeq(0),
        cursor: 0,
        batch_id: BatchId(0),
        format: 1,
        incarnation: String::new(),
    }
}
