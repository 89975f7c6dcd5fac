//! Following a run across lost connections, and across servers that hand over to one another.

use crate::{Client, ClientError, EventStream, Update};
use aidt_domain::{ErrorCode, RunId, Seq};
use async_trait::async_trait;
use std::time::Duration;

/// The first and the longest wait between two tries to connect again.
const WAITS: (Duration, Duration) = (Duration::from_millis(20), Duration::from_secs(2));

/// Finds a server; asked again after each lost connection.
#[async_trait]
pub trait Locate: Send + Sync {
    /// A client of a server that should answer now.
    async fn locate(&self) -> Result<Client, ClientError>;
}

/// One server, for good.
#[async_trait]
impl Locate for Client {
    async fn locate(&self) -> Result<Client, ClientError> {
        Ok(self.clone())
    }
}

/// A run's updates, each event once and in order, whatever happens to the connection.
pub struct Follow<'a> {
    locate: &'a dyn Locate,
    run: RunId,
    after: Seq,
    patience: Duration,
    stream: Option<EventStream>,
}

impl<'a> Follow<'a> {
    /// Follows `run` from the event that comes after `after`. After `patience` without a server it gives up.
    #[must_use]
    pub fn new(locate: &'a dyn Locate, run: RunId, after: Seq, patience: Duration) -> Self {
        Self { locate, run, after, patience, stream: None }
    }

    /// The number of the last event that was given.
    #[must_use]
    pub fn last(&self) -> Seq {
        self.after
    }

    /// The next update; `None` when the run has ended and its whole history was given.
    ///
    /// Cancel safe where [`Locate::locate`] is: no event is lost or given twice.
    pub async fn next(&mut self) -> Result<Option<Update>, ClientError> {
        loop {
            if self.stream.is_none() {
                self.stream = Some(self.connect().await?);
            }
            let stream = self.stream.as_mut().expect("it was just opened");
            match stream.next().await {
                Ok(Some(update)) => {
                    if let Update::Event(event) = &update {
                        self.after = event.seq;
                    }
                    return Ok(Some(update));
                }
                Ok(None) => {
                    if self.has_ended().await? {
                        return Ok(None);
                    }
                    self.stream = None;
                    // A server that closes at once, again and again, is not to be stormed.
                    tokio::time::sleep(WAITS.0).await;
                }
                Err(error) if error.is_connection() => self.stream = None,
                Err(error) => return Err(error),
            }
        }
    }

    /// A stream ends with its run, or because its server stops.
    async fn has_ended(&self) -> Result<bool, ClientError> {
        let id = self.run;
        let run = retrying(self.locate, self.patience, |client| async move { client.run(id).await }).await?;
        let last = run.more.get("last_seq").and_then(serde_json::Value::as_u64);
        let read = last.is_none_or(|last| last <= self.after.0);
        Ok(run.state.is_terminal() && read)
    }

    async fn connect(&self) -> Result<EventStream, ClientError> {
        retrying(self.locate, self.patience, |client| {
            let (run, after) = (self.run, self.after);
            async move { client.events(run, after).await }
        })
        .await
    }
}

/// Calls, and while the connection is at fault calls again, of whatever server is found then, until
/// `patience` is over. For calls that may be repeated: those that only look, and those with a key.
pub async fn retrying<T, F: Future<Output = Result<T, ClientError>>>(
    locate: &dyn Locate,
    patience: Duration,
    mut call: impl FnMut(Client) -> F,
) -> Result<T, ClientError> {
    let deadline = tokio::time::Instant::now() + patience;
    let mut wait = WAITS.0;
    loop {
        let error = match locate.locate().await {
            Ok(client) => match call(client).await {
                Ok(value) => return Ok(value),
                Err(error) => error,
            },
            Err(error) => error,
        };
        let pause = error.problem().and_then(|p| p.retry_after).map_or(wait, |after| after.max(wait));
        if !passes(&error) || tokio::time::Instant::now() + pause > deadline {
            return Err(error);
        }
        tokio::time::sleep(pause).await;
        wait = (wait * 2).min(WAITS.1);
    }
}

/// Whether it may be over soon: the connection broke, or the server says that it cannot just now.
fn passes(error: &ClientError) -> bool {
    let shed = error
        .problem()
        .is_some_and(|p| matches!(p.code, ErrorCode::Unavailable | ErrorCode::Overloaded | ErrorCode::RateLimited));
    error.is_connection() || shed
}
