//! Serving connections with limits: how many, how long for a request's head, how long a client may
//! leave its answer unread. A client that is over one is dropped, and its permits with it.

mod connection;
mod stalled;

use axum::Router;
use axum::serve::Listener;
use connection::connection;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// Limits of a listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Connections that are open at once; others wait to be accepted.
    pub max_connections: usize,
    /// From the start of a connection, or the end of an answer, to the end of a request's head.
    pub head_timeout: Duration,
    /// The largest head, in bytes (at least 8 KiB).
    pub max_head_bytes: u32,
    /// How long a client may leave what was sent to it unread.
    pub write_timeout: Duration,
    /// How long requests in flight may go on after the shutdown began.
    pub drain: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_connections: 4096,
            head_timeout: Duration::from_secs(30),
            max_head_bytes: 64 * 1024,
            write_timeout: Duration::from_secs(30),
            drain: Duration::from_secs(5),
        }
    }
}

/// Serves HTTP/1 and HTTP/2 (h2c) on a listener until the shutdown; then no connection is accepted,
/// requests in flight are finished for a while, and what is left is dropped. Not cancel safe:
/// connections are dropped with it.
///
/// A TCP listener should set `TCP_NODELAY` ([`axum::serve::ListenerExt::tap_io`]): a stream's frames
/// are small, and each would wait for the acknowledgement of the one before.
pub async fn serve<L: Listener>(mut listener: L, router: Router, limits: Limits, shutdown: CancellationToken) {
    let room = Arc::new(Semaphore::new(limits.max_connections));
    let mut open = JoinSet::new();
    loop {
        tokio::select! {
            biased;
            () = shutdown.cancelled() => break,
            Some(_) = open.join_next() => {}
            (io, permit) = accept(&mut listener, &room) => {
                open.spawn(connection(io, router.clone(), limits.clone(), shutdown.clone(), permit));
            }
        }
    }
    drop(listener);
    let drained = async { while open.join_next().await.is_some() {} };
    if tokio::time::timeout(limits.drain, drained).await.is_err() {
        tracing::warn!(left = open.len(), "connections were still open at the end of the drain");
    }
    open.shutdown().await;
}

async fn accept<L: Listener>(listener: &mut L, room: &Arc<Semaphore>) -> (L::Io, OwnedSemaphorePermit) {
    let permit = room.clone().acquire_owned().await.expect("the semaphore is never closed");
    (listener.accept().await.0, permit)
}

#[cfg(test)]
mod tests;
