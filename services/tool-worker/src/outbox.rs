//! Frames on their way to the hub. Pushing never waits, so the loop always reads what the hub says; what
//! does not fit into the stream waits here, and tools that print are held back meanwhile.

use aidt_proto::v1::WorkerFrame;
use aidt_proto::v1::worker_frame::Frame;
use std::collections::VecDeque;
use tokio::sync::mpsc;

#[derive(Debug)]
pub(crate) struct Outbox {
    stream: mpsc::Sender<WorkerFrame>,
    backlog: VecDeque<WorkerFrame>,
}

impl Outbox {
    /// The outbox and the stream that it fills.
    pub(crate) fn new() -> (Self, mpsc::Receiver<WorkerFrame>) {
        let (stream, frames) = mpsc::channel(64);
        (Self { stream, backlog: VecDeque::new() }, frames)
    }

    /// Sends in the order of the pushes. On a stream that ended nothing happens: the loop learns of it by
    /// the other direction.
    pub(crate) fn push(&mut self, frame: Frame) {
        self.push_frame(WorkerFrame { frame: Some(frame) });
    }

    /// See [`Self::push`].
    pub(crate) fn push_frame(&mut self, frame: WorkerFrame) {
        if !self.backlog.is_empty() {
            self.backlog.push_back(frame);
        } else if let Err(mpsc::error::TrySendError::Full(frame)) = self.stream.try_send(frame) {
            self.backlog.push_back(frame);
        }
    }

    /// Whether frames wait for room.
    pub(crate) fn is_backlogged(&self) -> bool {
        !self.backlog.is_empty()
    }

    /// Sends one waiting frame when there is room. Cancel safe.
    pub(crate) async fn flush(&mut self) {
        match self.stream.reserve().await {
            Ok(permit) => {
                if let Some(frame) = self.backlog.pop_front() {
                    permit.send(frame);
                }
            }
            Err(_) => self.backlog.clear(),
        }
    }
}
