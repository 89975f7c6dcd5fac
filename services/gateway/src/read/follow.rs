//! Following a run's history and live text, for one client.
//!
//! Pulled by the connection: what is held for a client is at most one piece of history. Subscribed
//! before the first read, so nothing falls between reading and following; what the fan-out lost is
//! read from the store, so events have no gap. Live text is best effort; the coalesced
//! `step_progress` events hold the same text.

use super::ReadError;
use super::history::events_after;
use super::watch::{Watch, subscribe};
use crate::Api;
use crate::web::Problem;
use aidt_domain::{Event, Project, RunId, Seq};
use aidt_lock::Live;
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;
use std::sync::Arc;
use tokio::sync::OwnedSemaphorePermit;

/// Events that are held for a client at most, and about how many bytes of payloads.
const HELD_EVENTS: usize = 256;
const HELD_BYTES: usize = 1024 * 1024;

/// What a client gets next.
#[derive(Debug)]
pub(crate) enum Frame {
    /// An entry of the history.
    Event(Box<Event>),
    /// Text that a step printed just now.
    Text(LiveText),
    /// The history cannot be read on; nothing follows.
    Failed(Problem),
}

/// Text that a step printed just now; `offset` is in the text of this dispatch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct LiveText {
    pub(crate) step: String,
    pub(crate) dispatch: u32,
    pub(crate) offset: u64,
    pub(crate) text: String,
}

/// One client's place in a run.
pub(crate) struct Follower {
    api: Arc<Api>,
    project: Project,
    run: RunId,
    cursor: Seq,
    /// Goes on when the history is read; else that is the end.
    follow: bool,
    /// Whether the run may have ended at the cursor.
    may_have_ended: bool,
    watch: Watch,
    text: Option<Box<dyn Live>>,
    held: VecDeque<Frame>,
    closed: bool,
    _permit: OwnedSemaphorePermit,
}

impl Follower {
    pub(crate) async fn open(
        api: Arc<Api>,
        project: Project,
        run: RunId,
        after: Seq,
        follow: bool,
        permit: OwnedSemaphorePermit,
    ) -> Self {
        let watch = Watch::open(&api.locks, run, api.config.poll).await;
        let text = if follow { subscribe(&*api.locks, &format!("live:{run}")).await } else { None };
        Self {
            api,
            project,
            run,
            cursor: after,
            follow,
            may_have_ended: true,
            watch,
            text,
            held: VecDeque::new(),
            closed: false,
            _permit: permit,
        }
    }

    /// What comes next; `None` after the last event of a run that has ended.
    pub(crate) async fn next(&mut self) -> Option<Frame> {
        loop {
            if let Some(frame) = self.held.pop_front() {
                return Some(frame);
            }
            if self.closed {
                return None;
            }
            match self.read().await {
                Ok(true) => {}
                Ok(false) => match self.wait().await {
                    Some(text) => return Some(Frame::Text(text)),
                    None => continue,
                },
                Err(ReadError::Store(error)) if self.follow && error.is_transient() => self.pause().await,
                Err(error) => {
                    self.closed = true;
                    return Some(Frame::Failed(error.into()));
                }
            }
        }
    }

    /// Reads on. `false`: there is nothing new, wait.
    async fn read(&mut self) -> Result<bool, ReadError> {
        let history = &*self.api.store.history;
        let piece = events_after(history, self.run, self.cursor, HELD_EVENTS, HELD_BYTES).await?;
        if let Some(last) = piece.events.last() {
            self.cursor = last.seq;
            self.may_have_ended |= piece.events.iter().any(|e| e.body.ends_run());
            self.held.extend(piece.events.into_iter().map(|e| Frame::Event(Box::new(e))));
            return Ok(true);
        }
        if !self.follow {
            self.closed = true;
        } else if self.may_have_ended {
            // After such an event a person may have reopened the run: its row says.
            let row = history.run(&self.project, self.run).await?;
            self.closed = row.as_ref().is_some_and(|r| r.state.is_terminal() && r.last_seq <= self.cursor);
            self.may_have_ended = row.is_some_and(|r| r.state.is_terminal());
        }
        Ok(self.closed)
    }

    /// Waits for events or text, or for the gateway to stop.
    async fn wait(&mut self) -> Option<LiveText> {
        tokio::select! {
            biased;
            () = self.api.shutdown.cancelled() => self.closed = true,
            () = self.watch.changed(self.cursor) => {}
            message = next_text(&mut self.text) => match message {
                Some(bytes) => return serde_json::from_slice(&bytes).ok(),
                None => self.text = None,
            },
        }
        None
    }

    /// The store cannot be reached: the client stays, and nothing is lost.
    async fn pause(&mut self) {
        tokio::select! {
            biased;
            () = self.api.shutdown.cancelled() => self.closed = true,
            () = tokio::time::sleep(self.api.config.poll) => {}
        }
    }
}

async fn next_text(text: &mut Option<Box<dyn Live>>) -> Option<bytes::Bytes> {
    match text {
        Some(live) => live.next().await,
        None => std::future::pending().await,
    }
}
