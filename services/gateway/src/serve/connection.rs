//! One connection.

use super::Limits;
use super::stalled::Stalled;
use axum::Router;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::service::TowerToHyperService;
use std::pin::pin;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::OwnedSemaphorePermit;
use tokio_util::sync::CancellationToken;

/// How often a silent HTTP/2 peer is asked whether it is still there.
const PING: Duration = Duration::from_secs(20);

pub(super) async fn connection<I>(
    io: I,
    router: Router,
    limits: Limits,
    shutdown: CancellationToken,
    _permit: OwnedSemaphorePermit,
) where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let io = TokioIo::new(Stalled::new(io, limits.head_timeout, limits.write_timeout));
    let builder = builder(&limits);
    let mut served = pin!(builder.serve_connection_with_upgrades(io, TowerToHyperService::new(router)));
    let result = tokio::select! {
        biased;
        result = served.as_mut() => result,
        () = shutdown.cancelled() => {
            served.as_mut().graceful_shutdown();
            served.await
        }
    };
    if let Err(error) = result {
        tracing::debug!(error = &*error as &dyn std::error::Error, "a connection ended");
    }
}

fn builder(limits: &Limits) -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    let head = limits.max_head_bytes.max(8 * 1024);
    builder.http1().timer(TokioTimer::new()).header_read_timeout(limits.head_timeout).max_buf_size(head as usize);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_header_list_size(head)
        .keep_alive_interval(PING)
        .keep_alive_timeout(limits.write_timeout);
    builder
}
