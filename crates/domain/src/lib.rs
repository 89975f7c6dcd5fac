//! The words of aidt as types: ids, states, snapshots, commands, events, decisions, error codes.
//!
//! Everything here is a plain value. This crate never does I/O, never reads a clock, never draws a
//! random number, and depends on no runtime; whatever the rest of aidt agrees on stands here once.

#![forbid(unsafe_code)]

mod artifact;
mod clock;
mod command;
mod decision;
mod digest;
mod effect;
mod error;
mod event;
mod ids;
mod labels;
mod message;
mod row;
mod share;
mod snapshot;
mod state;

pub use artifact::Claim;
pub use clock::{Clock, Timestamp};
pub use command::{Actor, Command, CommandBody, Judged, ResolveAs, RetryScope, Start};
pub use decision::{Decision, Verdict};
pub use digest::{Digest, canonical_json};
pub use effect::{Effect, EffectHint};
pub use error::{ErrorCode, Failure};
pub use event::{Event, EventBody, Payload, RESERVED_KINDS};
pub use ids::{
    Attempt, BatchId, CommandId, DispatchNo, Epoch, Generation, IdError, OutSeq, PartitionId, Pool, ProcessId, Project,
    RunId, Seq, StepIx, StepPath, WorkerId, idempotency_key,
};
pub use labels::Labels;
pub use message::{Finished, Outcome, StepMessage, WorkspaceAt, WorkspaceChange};
pub use row::{Budget, OutputRef, RunRow, StepRow};
pub use share::{even_share_of, owner_of, share_of};
pub use snapshot::{
    InputSpec, InputType, Retry, Snapshot, StepKind, StepSpec, Timeouts, ToolEntry, ToolReads, WorkspaceSpec,
};
pub use state::{RunState, StepState};

/// The newest format of stored rows and envelopes that this build writes and reads.
pub const FORMAT: u32 = 1;

/// Payloads over this many bytes go to the artifact store; nothing larger enters a broker or a row.
pub const MAX_INLINE_BYTES: usize = 256 * 1024;
