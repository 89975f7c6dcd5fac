//! A command to a run that there is, and the answer of the run's owner to it.

use super::inbox::{submission, submit};
use crate::Api;
use crate::read::history::events_after;
use crate::read::{Found, ReadError, Watch, find};
use crate::web::{Caller, Problem};
use aidt_domain::{CommandBody, CommandId, Event, EventBody, RunId, RunState, Seq};
use aidt_proto::event_json;
use aidt_store::StoreError;
use axum::Json;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use serde::Serialize;
use serde_json::Value;
use std::sync::Arc;
use std::time::Duration;

/// How often the inbox is looked at while nobody says that the run has changed.
const LOOK: Duration = Duration::from_millis(100);

/// Events that are searched for the answer at once.
const PIECE: usize = 256;
const PIECE_BYTES: usize = 1024 * 1024;

/// What became of a command.
#[derive(Debug)]
pub(crate) struct Applied {
    run: RunId,
    state: RunState,
    command: CommandId,
    answer: Answer,
}

#[derive(Debug)]
enum Answer {
    /// The owner has not applied it yet; it will.
    Pending,
    /// Applied, with this event.
    Event(Box<Event>),
    /// Applied; nothing had to change.
    Nothing,
}

/// Hands a command to the run's owner and waits, for a bounded time, until it is applied. Not cancel
/// safe: a command that was accepted is applied, whether somebody waits or not.
pub(crate) async fn apply(api: &Arc<Api>, caller: &Caller, run: RunId, body: CommandBody) -> Result<Applied, Problem> {
    let before = match find(api, &caller.project, run).await? {
        Found::Stored(row) => row.last_seq,
        Found::Accepted(_) => Seq(0),
    };
    let mut watch = Watch::open(&api.locks, run, LOOK).await;
    let submission = submission(api, caller, run, body, Vec::new(), None);
    let command = submission.command();
    submit(api, submission).await?;
    let gone = wait_until_gone(api, &mut watch, command);
    let answer = match tokio::time::timeout(api.config.apply_timeout, gone).await {
        Ok(gone) => {
            gone?;
            answer_to(api, run, before, command).await?
        }
        Err(_) => Answer::Pending,
    };
    let state = find(api, &caller.project, run).await?.state();
    Ok(Applied { run, state, command, answer })
}

async fn wait_until_gone(api: &Api, watch: &mut Watch, command: CommandId) -> Result<(), StoreError> {
    loop {
        match api.store.inbox.pending(&[command]).await {
            Ok(left) if left.is_empty() => return Ok(()),
            Ok(_) => {}
            Err(error) if error.is_transient() => {}
            Err(error) => return Err(error),
        }
        watch.changed(Seq(0)).await;
    }
}

/// The first event after `before` whose cause is the command.
async fn answer_to(api: &Api, run: RunId, before: Seq, command: CommandId) -> Result<Answer, ReadError> {
    let mut after = before;
    loop {
        let piece = events_after(&*api.store.history, run, after, PIECE, PIECE_BYTES).await?;
        after = piece.events.last().map_or(after, |e| e.seq);
        match piece.events.into_iter().find(|e| e.cause == Some(command)) {
            Some(event) => return Ok(Answer::Event(Box::new(event))),
            None if piece.more => {}
            None => return Ok(Answer::Nothing),
        }
    }
}

/// What is answered: the event, with where the run is now.
#[derive(Debug, Serialize)]
struct View {
    id: RunId,
    state: RunState,
    applied: bool,
    command: CommandId,
    #[serde(flatten)]
    event: Option<Value>,
}

impl Applied {
    /// 200 and the event; 202 while it is not applied; a problem when it was refused.
    pub(crate) fn into_answer(self) -> Result<Response, Problem> {
        let Self { run: id, state, command, answer } = self;
        let (status, event) = match answer {
            Answer::Pending => (StatusCode::ACCEPTED, None),
            Answer::Nothing => (StatusCode::OK, None),
            Answer::Event(event) => {
                if let EventBody::CommandRefused { code, message, .. } = &event.body {
                    let problem = Problem::new(*code, message).with("id", id.to_string());
                    return Err(problem.with("state", state.as_str()).with("seq", event.seq.0));
                }
                (StatusCode::OK, Some(event_json(&event)))
            }
        };
        let applied = status == StatusCode::OK;
        Ok((status, Json(View { id, state, applied, command, event })).into_response())
    }
}
