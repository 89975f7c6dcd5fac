//! Finding a run: in its row, or, while its owner has not taken it up, in the inbox.

use super::ReadError;
use crate::Api;
use aidt_domain::{Command, CommandBody, PartitionId, Project, RunId, RunRow, RunState, Start, Timestamp};
use aidt_store::InboxRow;

/// A run, wherever it stands.
#[derive(Debug)]
pub(crate) enum Found {
    /// Its owner has taken it up.
    Stored(Box<RunRow>),
    /// Its start waits in the inbox: it reads as `created`.
    Accepted(Box<Accepted>),
}

/// A run whose start waits in the inbox.
#[derive(Debug)]
pub(crate) struct Accepted {
    pub(crate) id: RunId,
    pub(crate) start: Start,
    pub(crate) by: String,
    pub(crate) at: Timestamp,
    pub(crate) partition: PartitionId,
}

impl Found {
    pub(crate) fn state(&self) -> RunState {
        match self {
            Self::Stored(row) => row.state,
            Self::Accepted(_) => RunState::Created,
        }
    }
}

/// Finds a run of the project.
pub(crate) async fn find(api: &Api, project: &Project, run: RunId) -> Result<Found, ReadError> {
    let history = &api.store.history;
    if let Some(row) = history.run(project, run).await? {
        return Ok(Found::Stored(Box::new(row)));
    }
    for row in api.store.inbox.waiting(run).await? {
        if row.project == *project
            && let Some(accepted) = accepted(&row)?
        {
            return Ok(Found::Accepted(Box::new(accepted)));
        }
    }
    // It may have moved from the inbox to its row between the two looks.
    match history.run(project, run).await? {
        Some(row) => Ok(Found::Stored(Box::new(row))),
        None => Err(ReadError::NoRun(run)),
    }
}

/// The start in an inbox row, if it is one.
pub(crate) fn accepted(row: &InboxRow) -> Result<Option<Accepted>, ReadError> {
    let Command { actor, body, .. } =
        aidt_proto::decode_command(&row.command).map_err(|e| ReadError::Undecodable(row.run, e))?;
    Ok(match body {
        CommandBody::Start(start) => {
            Some(Accepted { id: row.run, start: *start, by: actor.0, at: row.at, partition: row.partition })
        }
        _ => None,
    })
}
