//! A connection that is kept up.

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, RedisError};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::sleep;

/// How often a connection is tried that nobody may be using: what is cut silently is noticed by then.
const HEARTBEAT: Duration = Duration::from_secs(1);

/// Between attempts to connect, doubling.
const PAUSE: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(1));

/// Requests that may wait for being written, beyond which callers queue up.
pub(crate) const PIPELINE_BUFFER: usize = 4096;

/// A connection and which one it is, counted from 1.
#[derive(Clone)]
pub(crate) struct Up {
    pub(crate) connection: MultiplexedConnection,
    pub(crate) generation: u64,
}

#[derive(Clone)]
pub(crate) enum State {
    Up(Up),
    /// Why.
    Down(Option<RedisError>),
}

/// Clones share the connection.
#[derive(Clone)]
pub(crate) struct Link {
    state: Arc<watch::Sender<State>>,
}

/// There is no connection now.
#[derive(Debug, thiserror::Error)]
#[error("no connection to Redis")]
pub(crate) struct NotConnected(#[source] pub(crate) Option<RedisError>);

impl Link {
    pub(crate) fn new() -> Self {
        Self { state: Arc::new(watch::Sender::new(State::Down(None))) }
    }

    /// The connection, without waiting for one.
    pub(crate) fn get(&self) -> Result<Up, NotConnected> {
        match &*self.state.borrow() {
            State::Up(up) => Ok(up.clone()),
            State::Down(cause) => Err(NotConnected(cause.clone())),
        }
    }

    pub(crate) fn states(&self) -> watch::Receiver<State> {
        self.state.subscribe()
    }

    /// Takes a connection out of use that did not answer, or not as one that can be used: at once, so
    /// that nobody else waits for it. Another takes its place in the background.
    pub(crate) fn give_up(&self, generation: u64, cause: RedisError) {
        self.state.send_if_modified(|state| {
            let current = matches!(state, State::Up(up) if up.generation == generation);
            if current {
                *state = State::Down(Some(cause));
            }
            current
        });
    }

    /// Connects, watches, and connects again, for as long as it is polled.
    pub(crate) async fn keep_up(
        self,
        name: &'static str,
        client: Client,
        configure: impl Fn(u64) -> AsyncConnectionConfig,
    ) {
        let (mut pause, mut told) = (PAUSE.0, false);
        for generation in 1.. {
            match client.get_multiplexed_async_connection_with_config(&configure(generation)).await {
                Ok(connection) => {
                    (pause, told) = (PAUSE.0, false);
                    tracing::info!(name, generation, "connected to Redis");
                    self.state.send_replace(State::Up(Up { connection: connection.clone(), generation }));
                    self.watch_over(Up { connection, generation }).await;
                    let error = self.get().err().map(|e| Box::new(e) as Box<dyn std::error::Error>);
                    tracing::warn!(name, generation, error, "lost the connection to Redis; connecting again");
                }
                Err(error) => {
                    if !told {
                        tracing::warn!(name, error = &error as &dyn std::error::Error, "cannot connect to Redis");
                    }
                    told = true;
                    self.state.send_replace(State::Down(Some(error)));
                }
            }
            sleep(pause).await;
            pause = (pause * 2).min(PAUSE.1);
        }
    }

    /// Until somebody gave it up.
    async fn watch_over(&self, mut up: Up) {
        let mut states = self.states();
        let down = states.wait_for(|state| matches!(state, State::Down(_)));
        let heartbeat = async {
            loop {
                sleep(HEARTBEAT).await;
                if let Err(error) = redis::cmd("PING").query_async::<()>(&mut up.connection).await {
                    self.give_up(up.generation, error);
                }
            }
        };
        tokio::select! {
            biased;
            _ = down => {}
            () = heartbeat => {}
        }
    }
}
