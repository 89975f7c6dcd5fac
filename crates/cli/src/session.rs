//! The server that a command talks to, whoever that is at the moment.

use crate::error::CliError;
use crate::host::{Embed, Host};
use crate::terminal::{Style, Terminal, visible};
use aidt_client::{Client, ClientError, Follow, Locate, retrying};
use aidt_domain::{RunId, Seq};
use async_trait::async_trait;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// How long a command bears to be without a server that it has talked to: a restart, or a drain and the
/// next process that takes the home.
const ONCE_CONNECTED: Duration = Duration::from_secs(60);
/// How long it tries to reach the home's socket for the first time: its embedder may just be ending.
const HANDED_OVER: Duration = Duration::from_secs(10);

/// Asks the host for an endpoint at first, and again after each lost connection.
pub(crate) struct Session<'a> {
    host: &'a dyn Host,
    terminal: &'a Terminal,
    embed: Embed,
    client: Mutex<Option<Client>>,
    connected: AtomicBool,
}

impl<'a> Session<'a> {
    pub(crate) fn new(host: &'a dyn Host, terminal: &'a Terminal, embed: Embed) -> Self {
        Self { host, terminal, embed, client: Mutex::default(), connected: AtomicBool::new(false) }
    }

    /// Calls, and calls again while the connection is at fault: for what may be repeated.
    pub(crate) async fn call<T, F: Future<Output = Result<T, ClientError>>>(
        &self,
        call: impl FnMut(Client) -> F,
    ) -> Result<T, CliError> {
        let answer = retrying(self, self.patience(), call).await?;
        self.connected.store(true, Ordering::Relaxed);
        Ok(answer)
    }

    /// Calls once: for what must not be done twice. Nothing is repeated but the search for a server.
    pub(crate) async fn call_once<T, F: Future<Output = Result<T, ClientError>>>(
        &self,
        mut call: impl FnMut(Client) -> F,
    ) -> Result<T, CliError> {
        let sent = retrying(self, self.patience(), |client| {
            let sent = call(client);
            async move {
                match sent.await {
                    Err(error @ (ClientError::Connect { .. } | ClientError::Unlocated { .. })) => Err(error),
                    other => Ok(other),
                }
            }
        });
        let answer = sent.await??;
        self.connected.store(true, Ordering::Relaxed);
        Ok(answer)
    }

    /// Follows a run across lost connections.
    pub(crate) fn follow(&self, run: RunId, after: Seq) -> Follow<'_> {
        Follow::new(self, run, after, self.patience())
    }

    fn patience(&self) -> Duration {
        match (self.connected.load(Ordering::Relaxed), &self.embed.server) {
            (true, _) => ONCE_CONNECTED,
            (false, None) => HANDED_OVER,
            // It may never have been there: say so at once.
            (false, Some(_)) => Duration::ZERO,
        }
    }
}

#[async_trait]
impl Locate for Session<'_> {
    async fn locate(&self) -> Result<Client, ClientError> {
        let endpoint = self
            .host
            .endpoint(&self.embed)
            .await
            .map_err(|error| ClientError::Unlocated { code: error.code, source: error.into() })?;
        if let Some(notice) = self.host.embedded_notice() {
            self.terminal.note(self.terminal.paint(Style::Warn, visible(&notice)));
        }
        let mut client = self.client.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(match &*client {
            Some(known) if *known.endpoint() == endpoint => known.clone(),
            _ => client.insert(Client::new(endpoint).part_of(self.host.traceparent())).clone(),
        })
    }
}
