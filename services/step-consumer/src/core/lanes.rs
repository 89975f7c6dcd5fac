//! What ports are to do, in order.

use super::Ticket;
use crate::lane::Lane;
use crate::workers::CallNo;
use aidt_domain::{PartitionId, Project, RunId};
use aidt_store::{ClaimRequest, DeadLetter, LogChunk};
use bytes::Bytes;
use smallvec::SmallVec;
use std::collections::VecDeque;

/// Asks for a claim on behalf of a call.
#[derive(Clone, Debug)]
pub(crate) struct ClaimAsk {
    pub(crate) call: CallNo,
    pub(crate) request: ClaimRequest,
}

/// Asks what the policy is told of a call's run.
#[derive(Clone, Debug)]
pub(crate) struct JudgeAsk {
    pub(crate) call: CallNo,
    pub(crate) project: Project,
    pub(crate) run: RunId,
}

/// What a published command settles.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// The result of a call: its messages are acked, its worker may forget it.
    Call(CallNo),
    /// A report without the worker's word: its messages are acked.
    Early(CallNo),
    /// The result of an earlier consumer's call: its worker may forget it.
    Orphan(u64),
    /// Nothing: it is for people.
    Note,
}

/// A command to publish.
#[derive(Clone, Debug)]
pub(crate) struct Publication {
    pub(crate) partition: PartitionId,
    pub(crate) run: RunId,
    pub(crate) project: Project,
    pub(crate) body: Bytes,
    pub(crate) traceparent: Option<String>,
    pub(crate) origin: Origin,
}

/// A message that nothing can be done with.
#[derive(Debug)]
pub(crate) struct Letter {
    pub(crate) letter: DeadLetter,
    pub(crate) pool: usize,
    /// The messages to ack once it is kept.
    pub(crate) tickets: SmallVec<[Ticket; 1]>,
}

/// What ports are to do.
#[derive(Debug, Default)]
pub(crate) struct Lanes {
    pub(crate) claims: Lane<ClaimAsk>,
    pub(crate) contexts: Lane<JudgeAsk>,
    pub(crate) publish: Lane<Publication>,
    pub(crate) letters: Lane<Letter>,
    pub(crate) logs: Lane<LogChunk>,
    pub(crate) live: VecDeque<(String, Bytes)>,
}
