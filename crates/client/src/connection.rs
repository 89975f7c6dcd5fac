//! Connections to one endpoint, kept alive between calls.

use crate::{ClientError, Endpoint};
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::net::{TcpStream, UnixStream};
use tokio::task::JoinSet;

/// Idle connections kept for the next call.
const MAX_IDLE: usize = 256;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

pub(crate) type Sender = SendRequest<Full<Bytes>>;

/// A pool of HTTP/1.1 connections and the tasks that drive them; dropping it ends both.
#[derive(Clone)]
pub(crate) struct Connections {
    endpoint: Endpoint,
    shared: Arc<Mutex<Shared>>,
}

#[derive(Default)]
struct Shared {
    idle: Vec<Sender>,
    drivers: JoinSet<()>,
}

impl Connections {
    pub(crate) fn new(endpoint: Endpoint) -> Self {
        Self { endpoint, shared: Arc::default() }
    }

    pub(crate) fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// Sends on a kept connection, or a new one. A kept connection that turns out to be closed before
    /// anything was sent is replaced. Not cancel safe: a dropped call may have been sent.
    pub(crate) async fn send(
        &self,
        mut request: Request<Full<Bytes>>,
    ) -> Result<(Response<Incoming>, Sender), ClientError> {
        let name = format!("{} {}", request.method(), request.uri().path());
        while let Some(mut sender) = self.take_idle() {
            match sender.try_send_request(request).await {
                Ok(response) => return Ok((response, sender)),
                Err(mut error) => match error.take_message() {
                    Some(unsent) => request = unsent,
                    None => return Err(self.lost(name, error.into_error())),
                },
            }
        }
        let mut sender = self.connect().await?;
        match sender.try_send_request(request).await {
            Ok(response) => Ok((response, sender)),
            Err(error) => Err(self.lost(name, error.into_error())),
        }
    }

    /// Gives a connection back whose response was read to its end.
    pub(crate) fn keep(&self, sender: Sender) {
        let mut shared = self.lock();
        if shared.idle.len() < MAX_IDLE && !sender.is_closed() {
            shared.idle.push(sender);
        }
    }

    pub(crate) fn lost(
        &self,
        request: String,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> ClientError {
        ClientError::Lost { endpoint: self.endpoint.clone(), request, source: source.into() }
    }

    fn take_idle(&self) -> Option<Sender> {
        let mut shared = self.lock();
        while let Some(sender) = shared.idle.pop() {
            if sender.is_ready() {
                return Some(sender);
            }
        }
        None
    }

    async fn connect(&self) -> Result<Sender, ClientError> {
        let failed = |source| ClientError::Connect { endpoint: self.endpoint.clone(), source };
        match tokio::time::timeout(CONNECT_TIMEOUT, self.open()).await {
            Ok(Ok(sender)) => Ok(sender),
            Ok(Err(source)) => Err(failed(source)),
            Err(late) => Err(failed(io::Error::new(io::ErrorKind::TimedOut, late))),
        }
    }

    async fn open(&self) -> io::Result<Sender> {
        match &self.endpoint {
            Endpoint::Tcp(authority) => {
                let stream = TcpStream::connect(authority).await?;
                stream.set_nodelay(true)?;
                self.handshake(TokioIo::new(stream)).await
            }
            Endpoint::Unix(path) => self.handshake(TokioIo::new(UnixStream::connect(path).await?)).await,
        }
    }

    async fn handshake<T>(&self, io: T) -> io::Result<Sender>
    where
        T: hyper::rt::Read + hyper::rt::Write + Unpin + Send + 'static,
    {
        let (sender, connection) = http1::handshake(io).await.map_err(io::Error::other)?;
        let mut shared = self.lock();
        while shared.drivers.try_join_next().is_some() {}
        // Whatever ends a connection is told to the request that it carried.
        shared.drivers.spawn(async move { drop(connection.await) });
        Ok(sender)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
