//! Where a process listens: one TCP address for whatever it serves, and embedded the home's socket.

use crate::error::cannot;
use crate::tls::TlsListener;
use aidt_cli::HostError;
use aidt_domain::ErrorCode;
use aidt_gateway::Limits;
use axum::Router;
use axum::serve::ListenerExt as _;
use rustls::ServerConfig;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::net::UnixListener;
use tokio_util::sync::CancellationToken;

/// A bound address and what is served there, on whichever thread serves it.
pub(crate) struct Listening {
    pub(crate) listener: TcpListener,
    pub(crate) router: Router,
    /// Only for whom it believes.
    pub(crate) tls: Option<Arc<ServerConfig>>,
}

impl Listening {
    /// Until `stop`.
    pub(crate) async fn serve(self, stop: CancellationToken) -> std::io::Result<()> {
        self.listener.set_nonblocking(true)?;
        let listener = tokio::net::TcpListener::from_std(self.listener)?;
        if let Some(tls) = self.tls {
            aidt_gateway::serve(TlsListener::new(listener, tls), self.router, Limits::default(), stop).await;
            return Ok(());
        }
        // Frames are small: they must not wait for the ack of the one before.
        let listener = listener.tap_io(|stream| drop(stream.set_nodelay(true)));
        aidt_gateway::serve(listener, self.router, Limits::default(), stop).await;
        Ok(())
    }
}

/// Binds an address before anything runs. Port 0 picks a free one; the address says which.
pub(crate) async fn bind(address: SocketAddr) -> Result<(TcpListener, SocketAddr), HostError> {
    let failed = |e| {
        let what = format!("cannot listen on {address} (another process may; try another port)");
        cannot(ErrorCode::Unavailable, what, e)
    };
    let listener = tokio::net::TcpListener::bind(address).await.map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    Ok((listener.into_std().map_err(failed)?, address))
}

/// The home's socket; removed when dropped.
pub(crate) struct Socket {
    path: PathBuf,
}

impl Socket {
    /// Binds it, for its owner only. Whoever holds the home's lock may remove what an earlier holder left.
    pub(crate) fn bind(path: &Path) -> Result<(Self, UnixListener), HostError> {
        let failed = |e| cannot(ErrorCode::Unavailable, format!("cannot listen on {}", path.display()), e);
        match std::fs::remove_file(path) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => return Err(failed(e)),
            _ => {}
        }
        let listener = UnixListener::bind(path).map_err(failed)?;
        let owner_only = std::os::unix::fs::PermissionsExt::from_mode(0o600);
        std::fs::set_permissions(path, owner_only).map_err(failed)?;
        Ok((Self { path: path.to_owned() }, listener))
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        drop(std::fs::remove_file(&self.path));
    }
}
