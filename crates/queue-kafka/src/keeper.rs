//! Keeps the topics: makes those that are missing, and notices those that are others than before.
//!
//! One thread asks the broker, every half second and when somebody wants to know. The life of what is queued is
//! the marker of the topic of commands; whoever notices that a topic of steps is another one raises it, so that
//! all processes learn of it. See `docs/decisions/0007-lives-of-kafka-topics.md`.

mod thread;

use crate::desk::Desk;
use crate::error::Error;
use crate::options::Options;
use futures::future::join_all;
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;
use thread::Thread;
use tokio::sync::oneshot;
use tokio::time::timeout;

/// How often in a row topics are looked at until nothing had to be done about them, and the pause between.
const ROUNDS: u32 = 50;
const PAUSE: Duration = Duration::from_millis(20);

/// How long a stream waits for an earlier one of its topic; a broker that is away must not keep it.
const LEAVING: Duration = Duration::from_secs(2);

/// So many commands of a partition are done before they are deleted: what a stream from the start of a
/// partition reads in vain.
const TRIM: i64 = 10_000;

/// The life of what is queued.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Life {
    pub(crate) cluster: String,
    pub(crate) marker: i64,
}

impl std::fmt::Display for Life {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{:x}", self.cluster, self.marker)
    }
}

/// A pool's topic as it is now.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PoolTopic {
    pub(crate) marker: i64,
    pub(crate) partitions: i32,
}

enum Ask {
    /// Look now.
    Life(oneshot::Sender<Result<Life, Error>>),
    /// Make sure that a pool's topic is there.
    Pool(String, oneshot::Sender<Result<PoolTopic, Error>>),
    /// Messages were lost: this is another life.
    Lost,
}

/// Talks to the thread, which ends with this.
#[derive(Debug)]
pub(crate) struct Keeper {
    asks: Sender<Ask>,
    shared: Arc<Shared>,
    patience: Duration,
}

#[derive(Debug)]
struct Shared {
    /// What the last look found; why it failed.
    seen: Mutex<Result<Life, String>>,
    desks: Mutex<Vec<Weak<Desk>>>,
}

impl Keeper {
    /// Starts the thread and waits for its first look.
    pub(crate) async fn start(options: Options) -> Result<Arc<Self>, Error> {
        let (asks, asked) = channel();
        let shared = Arc::new(Shared { seen: Mutex::new(Err("not looked yet".to_owned())), desks: Mutex::default() });
        // A look asks the broker a handful of things, each with its own time.
        let patience = options.request_timeout * 3;
        let its = Arc::clone(&shared);
        let (first, looked) = oneshot::channel();
        let work = move || match Thread::begin(options, its) {
            Ok(mut thread) => {
                if first.send(thread.look_and_tell()).is_ok() {
                    thread.serve(&asked);
                }
            }
            Err(error) => {
                let _ = first.send(Err(error));
            }
        };
        std::thread::Builder::new().name("aidt-kafka-keep".to_owned()).spawn(work).map_err(Error::Thread)?;
        looked.await.unwrap_or(Err(Error::Closed))?;
        Ok(Arc::new(Self { asks, shared, patience }))
    }

    /// What the last look found. Never waits.
    pub(crate) fn seen(&self) -> Result<Life, Error> {
        locked(&self.shared.seen).clone().map_err(Error::Gone)
    }

    /// Looks now. Cancel safe.
    pub(crate) async fn look(&self) -> Result<Life, Error> {
        self.ask(Ask::Life).await
    }

    /// Makes sure that a pool's topic is there. Cancel safe.
    pub(crate) async fn pool(&self, topic: &str) -> Result<PoolTopic, Error> {
        self.ask(|answer| Ask::Pool(topic.to_owned(), answer)).await
    }

    /// Messages of the topic of commands are lost: begins another life.
    pub(crate) fn lost(&self) {
        // Fails only when the thread is gone, and all with it.
        let _ = self.asks.send(Ask::Lost);
    }

    /// Tells this desk when its topic is another one.
    pub(crate) fn watch(&self, desk: &Arc<Desk>) {
        locked(&self.shared.desks).push(Arc::downgrade(desk));
    }

    /// Until the streams of this topic that are closed have left nothing undone, or it takes too long.
    pub(crate) async fn left(&self, topic: &str) {
        let its = |desk: &Arc<Desk>| desk.origin().topic == topic && desk.is_closing();
        let leaving: Vec<_> = self.shared.desks().into_iter().filter(its).collect();
        let _ = timeout(LEAVING, join_all(leaving.iter().map(|desk| desk.left()))).await;
    }

    /// Ends all streams.
    pub(crate) fn shut(&self) {
        self.shared.desks().iter().for_each(|desk| desk.shut());
    }

    async fn ask<T>(&self, ask: impl FnOnce(oneshot::Sender<Result<T, Error>>) -> Ask) -> Result<T, Error> {
        let (answer, answered) = oneshot::channel();
        self.asks.send(ask(answer)).map_err(|_| Error::Closed)?;
        match timeout(self.patience, answered).await {
            Ok(Ok(found)) => found,
            Ok(Err(_)) => Err(Error::Closed),
            Err(_) => Err(Error::Gone("the broker does not answer".to_owned())),
        }
    }
}

impl Shared {
    fn desks(&self) -> Vec<Arc<Desk>> {
        let mut desks = locked(&self.desks);
        desks.retain(|desk| desk.strong_count() > 0);
        desks.iter().filter_map(Weak::upgrade).collect()
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
