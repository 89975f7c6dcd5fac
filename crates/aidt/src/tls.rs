//! Mutual TLS between step consumers and tool workers. The one provider of cryptography is aws-lc-rs
//! (docs/decisions/0004).

use crate::error::cannot;
use crate::settings::WorkerTls;
use aidt_cli::HostError;
use aidt_domain::ErrorCode;
use axum::serve::Listener;
use rustls::pki_types::pem::{Error as PemError, PemObject as _};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::server::TlsStream;
use tokio_rustls::{TlsAcceptor, TlsConnector, client};

/// How long a peer may take to show who it is.
const HANDSHAKE_WITHIN: Duration = Duration::from_secs(10);
/// Peers that are at it at once; others wait.
const HANDSHAKES: usize = 256;
/// What is spoken inside: HTTP/2, which gRPC needs.
const PROTOCOL: &[u8] = b"h2";

/// Makes aws-lc-rs what every crate uses that does not say. Before anything else.
pub(crate) fn install_provider() {
    // Only a second call finds one there, and it is the same.
    drop(rustls::crypto::aws_lc_rs::default_provider().install_default());
}

/// What a step consumer shows, and whom it believes.
pub(crate) fn server(tls: &WorkerTls) -> Result<Arc<ServerConfig>, HostError> {
    let verifier = WebPkiClientVerifier::builder(Arc::new(roots(tls)?)).build();
    let verifier = verifier.map_err(|e| unfit("AIDT_WORKER_TLS_CA_FILE", e))?;
    let (chain, key) = identity(tls)?;
    let config = ServerConfig::builder().with_client_cert_verifier(verifier).with_single_cert(chain, key);
    let mut config = config.map_err(|e| unfit("AIDT_WORKER_TLS_CERT_FILE and AIDT_WORKER_TLS_KEY_FILE", e))?;
    config.alpn_protocols = vec![PROTOCOL.to_vec()];
    Ok(Arc::new(config))
}

/// What a worker shows, and whom it believes.
pub(crate) fn client(tls: &WorkerTls) -> Result<Arc<ClientConfig>, HostError> {
    let (chain, key) = identity(tls)?;
    let config = ClientConfig::builder().with_root_certificates(roots(tls)?).with_client_auth_cert(chain, key);
    let mut config = config.map_err(|e| unfit("AIDT_WORKER_TLS_CERT_FILE and AIDT_WORKER_TLS_KEY_FILE", e))?;
    config.alpn_protocols = vec![PROTOCOL.to_vec()];
    Ok(Arc::new(config))
}

fn roots(tls: &WorkerTls) -> Result<RootCertStore, HostError> {
    let setting = "AIDT_WORKER_TLS_CA_FILE";
    let mut roots = RootCertStore::empty();
    for certificate in certificates(setting, &tls.ca)? {
        roots.add(certificate).map_err(|e| unfit(setting, e))?;
    }
    Ok(roots)
}

fn identity(tls: &WorkerTls) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), HostError> {
    let key = PrivateKeyDer::from_pem_slice(tls.key.expose().as_bytes());
    let key = key.map_err(|e| unfit("AIDT_WORKER_TLS_KEY_FILE", e))?;
    Ok((certificates("AIDT_WORKER_TLS_CERT_FILE", &tls.cert)?, key))
}

fn certificates(setting: &str, pem: &str) -> Result<Vec<CertificateDer<'static>>, HostError> {
    let found: Result<Vec<_>, PemError> = CertificateDer::pem_slice_iter(pem.as_bytes()).collect();
    let found = found.map_err(|e| unfit(setting, e))?;
    if found.is_empty() { Err(unfit(setting, PemError::NoItemsFound)) } else { Ok(found) }
}

fn unfit(setting: &str, source: impl std::error::Error + Send + Sync + 'static) -> HostError {
    cannot(ErrorCode::InvalidArgument, format!("{setting} cannot be used for TLS"), source)
}

/// Connects, and has the other side show that it is `host`.
pub(crate) async fn connect(
    config: Arc<ClientConfig>,
    host: &str,
    address: &str,
) -> std::io::Result<client::TlsStream<TcpStream>> {
    let name = ServerName::try_from(host.to_owned()).map_err(std::io::Error::other)?;
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let shaking = tokio::time::timeout(HANDSHAKE_WITHIN, TlsConnector::from(config).connect(name, stream));
    let shaken = shaking.await.map_err(|_| std::io::Error::other("the TLS handshake took too long"))?;
    let whom = || format!("{host} at {address} is not whom AIDT_WORKER_TLS_CA_FILE vouches for");
    shaken.map_err(|e| std::io::Error::new(e.kind(), format!("{}: {e}", whom())))
}

/// A listener whose connections have shown who they are. Those that do not are dropped and logged. They hold up nobody
/// else while fewer than [`HANDSHAKES`] are at it: whoever reaches the port and keeps so many silent connections open
/// keeps new workers out for as long. Keep the port where only workers reach it.
pub(crate) struct TlsListener {
    listener: TcpListener,
    acceptor: TlsAcceptor,
    shaking: JoinSet<Option<(TlsStream<TcpStream>, SocketAddr)>>,
}

impl TlsListener {
    pub(crate) fn new(listener: TcpListener, config: Arc<ServerConfig>) -> Self {
        Self { listener, acceptor: TlsAcceptor::from(config), shaking: JoinSet::new() }
    }
}

impl Listener for TlsListener {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        loop {
            tokio::select! {
                biased;
                Some(done) = self.shaking.join_next() => {
                    if let Ok(Some(accepted)) = done {
                        return accepted;
                    }
                }
                (stream, address) = Listener::accept(&mut self.listener), if self.shaking.len() < HANDSHAKES => {
                    self.shaking.spawn(shake(self.acceptor.clone(), stream, address));
                }
            }
        }
    }

    fn local_addr(&self) -> std::io::Result<Self::Addr> {
        self.listener.local_addr()
    }
}

async fn shake(
    acceptor: TlsAcceptor,
    stream: TcpStream,
    address: SocketAddr,
) -> Option<(TlsStream<TcpStream>, SocketAddr)> {
    let late = |_| std::io::Error::other("it took too long");
    let nodelay = stream.set_nodelay(true);
    let shaken = tokio::time::timeout(HANDSHAKE_WITHIN, acceptor.accept(stream)).await.map_err(late).flatten();
    match nodelay.and(shaken) {
        Ok(stream) => Some((stream, address)),
        Err(error) => {
            tracing::warn!(%address, error = &error as &dyn std::error::Error, "a peer did not show who it is");
            None
        }
    }
}

#[cfg(test)]
mod tests;
