//! The ports behind which all state of aidt stands, a real in-memory implementation, and the
//! conformance suite that every adapter runs.
//!
//! - [`RunLog`]: the owner's loads and its one transaction a turn, behind the partition's epoch.
//! - [`Inbox`]: commands that nobody could derive again. Accepted means in here.
//! - [`Claims`]: who runs a dispatch; whoever inserts first decides.
//! - [`Journal`]: what an agent step has asked and been answered.
//! - [`Catalog`]: documents by digest, tool entries.
//! - [`History`]: what the gateway reads.
//! - [`Processes`]: lives of service processes, with heartbeats, by the store's clock.
//! - [`StepLogs`], [`DeadLetters`].
//!
//! A new adapter implements these and calls [`conformance`]'s functions from its tests. Ports carry
//! bytes plus the fields that they index, and never look into the bytes. This crate knows no SQL.

#![forbid(unsafe_code)]

mod check;
pub mod conformance;
mod error;
pub mod memory;
mod port;
mod types;

use std::time::Duration;

/// How long an idempotency key is remembered, by the store's clock.
pub const IDEMPOTENCY_KEPT: Duration = Duration::from_secs(24 * 3600);

/// How long after its last heartbeat a closed life's row is kept.
pub const CLOSED_KEPT: Duration = Duration::from_secs(24 * 3600);

pub use check::appended;
pub use error::{Kind, StoreError};
pub use port::{Catalog, Claims, DeadLetters, History, Inbox, Journal, Processes, RunLog, StepLogs, Store};
pub use types::{
    Batch, BurnResult, Claim, ClaimRequest, ClaimState, Commit, DeadLetter, InboxRow, JournalEntry, JournalKey,
    LogChunk, NewRun, OpenStep, PartitionRow, PayloadAt, ProcessRow, Processed, RunFilter, RunPage, SegmentRow, Shown,
    StoredRun, Submission, Submitted, TimerRow, Turn,
};
