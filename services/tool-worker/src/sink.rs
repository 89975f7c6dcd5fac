//! What a running tool shows: frames on their way to the session's loop.

use aidt_proto::v1::worker_frame::Frame;
use aidt_proto::v1::{CallId, Output, Progress, WorkerFrame};
use aidt_tools::Sink;
use async_trait::async_trait;
use bytes::Bytes;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::sync::mpsc;

/// Larger pieces of output are split.
const MAX_PIECE: usize = 64 * 1024;

/// One call's.
#[derive(Debug)]
pub(crate) struct CallSink {
    id: CallId,
    frames: mpsc::Sender<WorkerFrame>,
    offset: AtomicU64,
}

impl CallSink {
    pub(crate) fn new(id: CallId, frames: mpsc::Sender<WorkerFrame>) -> Self {
        Self { id, frames, offset: AtomicU64::new(0) }
    }
}

#[async_trait]
impl Sink for CallSink {
    fn progress(&self, fraction: Option<f64>, message: &str) {
        let progress = Progress {
            id: Some(self.id.clone()),
            fraction: fraction.map_or(-1.0, |f| f.clamp(0.0, 1.0)),
            message: message.to_owned(),
        };
        // The next sign of life says more than this one would, late.
        let _ = self.frames.try_send(WorkerFrame { frame: Some(Frame::Progress(progress)) });
    }

    async fn output(&self, mut data: Bytes) {
        while !data.is_empty() {
            let piece = data.split_to(data.len().min(MAX_PIECE));
            let offset = self.offset.fetch_add(piece.len() as u64, Ordering::Relaxed);
            let output = Output { id: Some(self.id.clone()), offset, data: piece };
            // Nobody reads any more only when the worker itself is gone.
            let _ = self.frames.send(WorkerFrame { frame: Some(Frame::Output(output)) }).await;
        }
    }
}
