//! The port, on Redis.

use crate::fanout::Fanout;
use crate::link::{Link, NotConnected, PIPELINE_BUFFER, State, Up};
use crate::live;
use crate::options::{Options, OptionsError};
use crate::outbox::{OUTBOX_BYTES, Outbox};
use crate::scripts::{Script, Scripts};
use aidt_lock::gcra::Rate;
use aidt_lock::{Kind, Lease, Live, LockError, Locks, Permit};
use async_trait::async_trait;
use bytes::Bytes;
use redis::{AsyncConnectionConfig, FromRedisValue, ProtocolVersion};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::timeout;

/// Leases that one script lists, so that it does not hold Redis up.
const PAGE: usize = 500;

/// The longest time to live that Redis is told, in milliseconds: a thousand years.
const LONGEST: u128 = 31_556_952_000_000;

/// [`Locks`] on Redis; clones share both connections, which close with the last of them.
#[derive(Clone)]
pub struct RedisLocks {
    inner: Arc<Inner>,
}

struct Inner {
    prefix: String,
    response_timeout: Duration,
    scripts: Scripts,
    commands: Link,
    subscriptions: Link,
    outbox: Arc<Outbox>,
    fanout: Arc<Fanout>,
    /// Dropped with this, which ends them.
    _tasks: JoinSet<()>,
}

impl RedisLocks {
    /// Starts connecting, and waits for it at most [`Options::connect_timeout`]. A Redis that is away or
    /// refuses is no error here, since it may come back: ask [`RedisLocks::ready`]. Needs a tokio
    /// runtime that lives as long as this.
    pub async fn connect(options: Options) -> Result<Self, OptionsError> {
        options.check_prefix()?;
        let (for_commands, for_subscriptions) =
            (options.client(ProtocolVersion::RESP2)?, options.client(ProtocolVersion::RESP3)?);
        let (commands, subscriptions) = (Link::new(), Link::new());
        let (outbox, fanout) = (Arc::<Outbox>::default(), Arc::<Fanout>::default());

        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(options.connect_timeout))
            .set_response_timeout(Some(options.response_timeout))
            .set_pipeline_buffer_size(PIPELINE_BUFFER);
        let start = format!("{}:live:", options.prefix).into_bytes();
        let configure = live::configure(&options, start.clone(), fanout.clone());
        let mut tasks = JoinSet::new();
        tasks.spawn(commands.clone().keep_up("commands", for_commands, move |_| config.clone()));
        tasks.spawn(subscriptions.clone().keep_up("subscriptions", for_subscriptions, configure));
        tasks.spawn(live::keep_told(subscriptions.clone(), start, fanout.clone()));
        tasks.spawn({
            let (outbox, commands) = (outbox.clone(), commands.clone());
            async move { outbox.send(commands).await }
        });

        for link in [&commands, &subscriptions] {
            let mut states = link.states();
            let tried = states.wait_for(|state| !matches!(state, State::Down(None)));
            // Neither an attempt that takes longer nor one that failed matters here.
            let _ = timeout(options.connect_timeout, tried).await;
        }
        Ok(Self {
            inner: Arc::new(Inner {
                prefix: options.prefix,
                response_timeout: options.response_timeout,
                scripts: Scripts::new(),
                commands,
                subscriptions,
                outbox,
                fanout,
                _tasks: tasks,
            }),
        })
    }

    /// Whether both connections are up now; else why not.
    pub fn ready(&self) -> Result<(), LockError> {
        self.inner.commands.get().map_err(|down| not_connected("ready", down))?;
        self.inner.subscriptions.get().map_err(|down| not_connected("ready", down))?;
        Ok(())
    }
}

impl fmt::Debug for RedisLocks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisLocks").field("prefix", &self.inner.prefix).finish_non_exhaustive()
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.fanout.end();
    }
}

impl Inner {
    fn key(&self, kind: &str, name: &str) -> Vec<u8> {
        format!("{}:{kind}:{name}", self.prefix).into_bytes()
    }

    /// All leases' names, in a sorted set.
    fn index(&self) -> Vec<u8> {
        format!("{}:leases", self.prefix).into_bytes()
    }

    /// Runs a script within the time that a call may take.
    async fn run<T: FromRedisValue>(
        &self,
        operation: &'static str,
        script: &Script,
        keys: &[&[u8]],
        arguments: &[&[u8]],
    ) -> Result<T, LockError> {
        let Up { mut connection, generation } = self.commands.get().map_err(|down| not_connected(operation, down))?;
        let answer = timeout(self.response_timeout, script.run(&mut connection, keys, arguments)).await;
        let error = match answer {
            Ok(Ok(value)) => return Ok(value),
            Ok(Err(error)) => error,
            Err(_) => std::io::Error::from(std::io::ErrorKind::TimedOut).into(),
        };
        if error.is_timeout() || error.is_unrecoverable_error() {
            self.commands.give_up(generation, error.clone());
        }
        // What Redis answered with an error has not happened.
        let kind = if error.is_io_error() { Kind::Unknown } else { Kind::Unavailable };
        Err(failed(operation, kind, error))
    }
}

#[async_trait]
impl Locks for RedisLocks {
    async fn lease(&self, name: &str, holder: &str, ttl: Duration) -> Result<Lease, LockError> {
        let inner = &*self.inner;
        // Rounded up: Redis counts whole milliseconds, and knows no lease of none.
        let ttl = ttl.as_nanos().div_ceil(1_000_000).clamp(1, LONGEST).to_string();
        let (key, index) = (inner.key("lease", name), inner.index());
        let arguments = [name.as_bytes(), holder.as_bytes(), ttl.as_bytes()];
        let by: Option<Vec<u8>> = inner.run("lease", &inner.scripts.lease, &[&key, &index], &arguments).await?;
        Ok(by.map_or(Lease::Held, |by| Lease::Taken { by: text(&by) }))
    }

    async fn release(&self, name: &str, holder: &str) -> Result<(), LockError> {
        let inner = &*self.inner;
        let (key, index) = (inner.key("lease", name), inner.index());
        let arguments = [name.as_bytes(), holder.as_bytes()];
        inner.run("release", &inner.scripts.release, &[&key, &index], &arguments).await
    }

    async fn leases(&self, prefix: &str) -> Result<Vec<(String, String)>, LockError> {
        let inner = &*self.inner;
        let (start, index, page) = (inner.key("lease", ""), inner.index(), PAGE.to_string());
        let mut from = [b"[", prefix.as_bytes()].concat();
        // No byte of UTF-8 is that large.
        let to = [b"(", prefix.as_bytes(), b"\xff"].concat();
        let mut found = Vec::new();
        loop {
            let arguments = [&start[..], &from, &to, page.as_bytes()];
            let (last, held): (Option<Vec<u8>>, Vec<(Vec<u8>, Vec<u8>)>) =
                inner.run("leases", &inner.scripts.list, &[&index], &arguments).await?;
            found.extend(held.iter().map(|(name, holder)| (text(name), text(holder))));
            let Some(last) = last else { return Ok(found) };
            from = [b"(", &last[..]].concat();
        }
    }

    async fn take(&self, bucket: &str, per_second: f64, burst: u32) -> Result<Permit, LockError> {
        let inner = &*self.inner;
        let rate = Rate::new(per_second, burst)
            .ok_or_else(|| failed("take", Kind::Invalid, format!("no rate: {per_second} per second, burst {burst}")))?;
        let (interval, tolerance) = (format!("{:e}", rate.interval()), format!("{:e}", rate.tolerance()));
        let arguments = [interval.as_bytes(), tolerance.as_bytes()];
        let key = inner.key("bucket", bucket);
        let wait: Option<f64> = inner.run("take", &inner.scripts.take, &[&key], &arguments).await?;
        Ok(wait.map_or(Permit::Granted, |microseconds| {
            Permit::RetryAfter(Duration::try_from_secs_f64(microseconds / 1e6).unwrap_or(Duration::MAX))
        }))
    }

    /// Returns at once: a task sends what was published since it last did, in order, as one pipeline.
    async fn publish(&self, channel: &str, message: Bytes) -> Result<(), LockError> {
        let inner = &*self.inner;
        inner.commands.get().map_err(|down| not_connected("publish", down))?;
        if inner.outbox.add(inner.key("live", channel), message) {
            return Ok(());
        }
        let cause = format!("{OUTBOX_BYTES} bytes of messages wait for Redis already");
        Err(failed("publish", Kind::Unavailable, cause))
    }

    async fn subscribe(&self, channel: &str) -> Result<Box<dyn Live>, LockError> {
        let inner = &*self.inner;
        let down = || match inner.subscriptions.get() {
            Ok(_) => failed("subscribe", Kind::Unavailable, "Redis has not confirmed"),
            Err(down) => not_connected("subscribe", down),
        };
        let subscribed = timeout(inner.response_timeout, async {
            // What this process published before is not for who comes now.
            inner.outbox.flushed().await;
            let (subscription, confirmed) = inner.fanout.subscribe(channel)?;
            confirmed.await.ok().map(|()| subscription)
        });
        match subscribed.await.ok().flatten() {
            Some(subscription) => Ok(Box::new(subscription)),
            None => Err(down()),
        }
    }
}

/// Names and holders are only ever written as text.
fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn not_connected(operation: &'static str, down: NotConnected) -> LockError {
    failed(operation, Kind::Unavailable, down)
}

fn failed(
    operation: &'static str,
    kind: Kind,
    cause: impl Into<Box<dyn std::error::Error + Send + Sync>>,
) -> LockError {
    LockError { operation, kind, source: Some(cause.into()) }
}
