//! A partition that this process took.

use crate::timers::Timers;
use aidt_domain::{BatchId, Command, Epoch, OutSeq, PartitionId, Pool, ProcessId, RunId, StepIx, Timestamp};
use aidt_queue::Outgoing;
use aidt_store::PartitionRow;
use std::collections::{BTreeMap, VecDeque};

/// A partition that this process took, between turns.
#[derive(Debug)]
pub(crate) struct Held {
    pub(crate) id: PartitionId,
    pub(crate) epoch: Epoch,
    pub(crate) batch_id: BatchId,
    pub(crate) out_seq: OutSeq,
    /// Every dispatch up to this one was published.
    pub(crate) published: OutSeq,
    /// What of `published` is in the store.
    pub(crate) published_stored: OutSeq,
    pub(crate) cursor: i64,
    pub(crate) incarnation: String,
    pub(crate) timers: Timers,
    /// Somebody said that the inbox has rows, or it was not looked at for a while.
    pub(crate) look_into_inbox: bool,
    /// Inbox rows up to here are left to a newer process.
    pub(crate) inbox_after: u64,
    /// Commands that the owner made itself, for the next turn.
    pub(crate) own: VecDeque<Command>,
    /// Ready steps that are in the store only.
    pub(crate) more_ready: More,
    /// Confirmed by nobody yet: to be published once the queue takes it.
    pub(crate) unpublished: VecDeque<(OutSeq, Pool, Outgoing)>,
    /// Steps that are handed out and not ended: the pool whose window they take.
    pub(crate) out: BTreeMap<(RunId, StepIx), Out>,
}

/// What of a partition's backlog is not in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum More {
    Nothing,
    /// What comes after this one; `None`: all of it.
    After(Option<(RunId, StepIx)>),
}

/// A step that is handed out.
#[derive(Clone, Debug)]
pub(crate) struct Out {
    pub(crate) pool: Pool,
    /// Who is known to have claimed it.
    pub(crate) process: Option<ProcessId>,
    /// How often it was published again; the wait doubles.
    pub(crate) republished: u32,
    /// When to look whether anything became of it.
    pub(crate) look_at: Timestamp,
}

impl Held {
    pub(crate) fn new(row: PartitionRow, incarnation: String) -> Self {
        Self {
            id: row.id,
            epoch: row.epoch,
            batch_id: row.batch_id,
            out_seq: row.out_seq,
            published: row.published,
            published_stored: row.published,
            cursor: row.cursor,
            incarnation,
            timers: Timers::default(),
            look_into_inbox: true,
            inbox_after: 0,
            own: VecDeque::new(),
            more_ready: More::After(None),
            unpublished: VecDeque::new(),
            out: BTreeMap::new(),
        }
    }
}
