//! One worker's stream, from hello to its end.

use super::frames::{CallId, Said, cut, read_result};
use super::hello::{Admitted, admit};
use super::link::Link;
use super::results::Heard;
use super::serve::Inner;
use super::state::{Post, Worker};
use super::throttle::Throttle;
use crate::workers::Report;
use aidt_domain::{MAX_INLINE_BYTES, WorkerId};
use aidt_proto::v1::{self, WorkerFrame, hub_frame, worker_frame::Frame};
use futures::{Stream, StreamExt};
use std::collections::BTreeSet;
use std::sync::Arc;
use tokio::sync::mpsc::Sender;
use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep_until, timeout};
use tonic::Status;

const MISSED_PINGS: u32 = 3;

type Out = Sender<Result<v1::HubFrame, Status>>;

/// A session under way.
struct Session {
    hub: Arc<Inner>,
    worker: WorkerId,
    link: Arc<Link>,
    throttle: Throttle,
    missed: u32,
    /// When it last said anything.
    heard_at: Instant,
}

/// Serves one stream to its end. Dropping it is what a broken connection is.
pub(super) async fn serve<S>(hub: Arc<Inner>, mut frames: S, out: Out)
where
    S: Stream<Item = Result<WorkerFrame, Status>> + Unpin + Send,
{
    let hello = timeout(hub.config.hello_within, frames.next()).await;
    let admitted = match hello {
        Ok(Some(Ok(WorkerFrame { frame: Some(Frame::Hello(hello)) }))) => admit(&hub, hello),
        Ok(Some(Ok(_))) => Err(Status::invalid_argument("the first frame must be a hello")),
        Ok(Some(Err(status))) => Err(status),
        Ok(None) => return,
        Err(_) => Err(Status::deadline_exceeded("no hello came in time")),
    };
    match admitted {
        Ok(admitted) => Session::begin(hub, admitted, out).run(frames).await,
        Err(status) => {
            tracing::warn!(code = ?status.code(), reason = status.message(), "a worker was not let in");
            // Nobody is listening any more: then there is nobody to tell.
            let _ = out.try_send(Err(status));
        }
    }
}

impl Session {
    /// Says welcome, and makes the worker known. Calls that it had go on.
    fn begin(hub: Arc<Inner>, admitted: Admitted, out: Out) -> Begun {
        let Admitted { worker, name, pool, slots, tools, refused, running, unreported, clock_ms } = admitted;
        let number = hub.next_session();
        let nonce = (hub.config.nonce)();
        let key = hub.config.keys.session_key(&nonce);
        let welcome = v1::Welcome {
            session_key: bytes::Bytes::copy_from_slice(key.as_bytes()),
            session: format!("session-{number}"),
            ping_interval_ms: u32::try_from(hub.config.ping_every.as_millis()).unwrap_or(u32::MAX),
            refused,
        };
        tracing::info!(%worker, %name, %pool, slots, tools = tools.len(), refused = ?welcome.refused, "a worker is here");
        let link = Arc::new(Link::new(number, out, key, clock_ms));
        // Before anybody can place a call: the first answer is a welcome.
        link.send(hub_frame::Frame::Welcome(welcome));
        let reported: BTreeSet<_> = unreported.iter().map(|said| said.id.clone()).collect();
        let posts = {
            let mut state = hub.state();
            let before = state.workers.remove(&worker);
            if let Some(old) = before.and_then(|before| before.link) {
                old.closed.cancel();
            }
            let ours = state.running_on(worker);
            let known = |id: &CallId| running.contains(id) || reported.contains(id);
            let (kept, unknown): (Vec<_>, Vec<_>) = ours.into_iter().partition(known);
            let foreign = running.into_iter().filter(|id| !state.calls.contains_key(id)).collect();
            let busy = u32::try_from(kept.len() + unknown.len()).unwrap_or(u32::MAX);
            let link = Some(Arc::clone(&link));
            let name = Arc::from(name.as_str());
            let (lost_at, draining) = (None, false);
            let entry = Worker { name, pool, slots, tools, link, lost_at, draining, busy, foreign };
            state.workers.insert(worker, entry);
            // This life of the worker does not know them, and their grants died with the old session.
            let posts = state.lose(worker, unknown, false);
            state.recount();
            posts
        };
        let throttle = Throttle::new(hub.config.text_rate, hub.config.text_burst, Instant::now());
        let session = Self { hub, worker, link, throttle, missed: 0, heard_at: Instant::now() };
        Begun { session, posts, unreported }
    }

    async fn read<S>(&mut self, mut frames: S)
    where
        S: Stream<Item = Result<WorkerFrame, Status>> + Unpin,
    {
        let every = self.hub.config.ping_every;
        let mut pings = interval_at(Instant::now() + every, every);
        pings.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let closed = self.link.closed.clone();
        loop {
            let going = tokio::select! {
                biased;
                () = closed.cancelled() => false,
                frame = frames.next() => match frame {
                    Some(Ok(WorkerFrame { frame })) => {
                        self.heard_at = Instant::now();
                        self.hear(frame).await
                    }
                    Some(Err(status)) => {
                        tracing::debug!(worker = %self.worker, %status, "a worker's stream broke");
                        false
                    }
                    None => false,
                },
                _ = pings.tick() => self.ping(),
            };
            if !going || self.is_drained() {
                return;
            }
        }
    }

    /// Whether the worker is still there.
    fn ping(&mut self) -> bool {
        if self.missed >= MISSED_PINGS {
            tracing::warn!(worker = %self.worker, "a worker answered none of {MISSED_PINGS} pings");
            self.link.fell_silent(self.heard_at);
            return false;
        }
        self.missed += 1;
        self.link.send(hub_frame::Frame::Ping(v1::Ping { clock_ms: self.hub.clock.now().0 }))
    }

    /// Handles one frame. False ends the session.
    async fn hear(&mut self, frame: Option<Frame>) -> bool {
        match frame {
            Some(Frame::Pong(pong)) => {
                self.missed = 0;
                self.link.set_clock(pong.clock_ms, Instant::now());
                true
            }
            Some(Frame::Progress(progress)) => {
                let size = progress.message.len();
                if let Some((to, call)) = self.listener(progress.id.as_ref()) {
                    let message = cut(progress.message);
                    self.tell(&to, Report::Progress { call, message }).await;
                }
                self.slow_down(size).await
            }
            Some(Frame::Output(output)) => self.output(output).await,
            Some(Frame::Result(result)) => {
                match read_result(result) {
                    Some(said) => self.result(said).await,
                    None => tracing::warn!(worker = %self.worker, "a result names no call"),
                }
                true
            }
            Some(Frame::Drain(_)) => {
                self.hub.change(|state| {
                    if let Some(worker) = state.workers.get_mut(&self.worker) {
                        worker.draining = true;
                    }
                });
                true
            }
            Some(Frame::Hello(_)) => {
                tracing::warn!(worker = %self.worker, "a worker said hello twice; its stream ends");
                false
            }
            // A frame of a newer protocol: fields and frames are only ever added.
            None => true,
        }
    }

    async fn output(&mut self, output: v1::Output) -> bool {
        let size = output.data.len();
        if size > MAX_INLINE_BYTES {
            tracing::warn!(worker = %self.worker, size, "an output frame is over the limit; the stream ends");
            return false;
        }
        if let Some((to, call)) = self.listener(output.id.as_ref()) {
            let report = Report::Output { call, offset: output.offset, data: output.data };
            self.tell(&to, report).await;
        }
        self.slow_down(size).await
    }

    fn listener(&self, id: Option<&v1::CallId>) -> Option<(Sender<Report>, crate::CallNo)> {
        self.hub.state().listener(self.worker, &CallId::read(id)?)
    }

    /// A sign of life that nobody takes any more is of no use to anybody.
    async fn tell(&self, to: &Sender<Report>, report: Report) {
        let _ = to.send(report).await;
    }

    async fn result(&mut self, said: Said) {
        loop {
            let heard = self.hub.state().hear(self.worker, &said, &self.hub.sealer, Instant::now());
            match heard {
                Heard::Nothing => return,
                Heard::Unroutable => {
                    tracing::warn!(worker = %self.worker, run = %said.id.run, "a result bears no route of ours");
                    return;
                }
                Heard::Post(post) => {
                    if self.hub.deliver(post).await {
                        return;
                    }
                }
            }
        }
    }

    /// A worker that floods waits: nothing more of it is read.
    async fn slow_down(&mut self, bytes: usize) -> bool {
        if let Some(until) = self.throttle.charge(bytes, Instant::now()) {
            tokio::select! {
                biased;
                () = self.link.closed.cancelled() => return false,
                () = sleep_until(until) => {}
            }
        }
        true
    }

    /// It wants no more calls, and has none.
    fn is_drained(&self) -> bool {
        self.hub.state().is_drained(self.worker)
    }
}

/// A session whose first duties are not done yet.
struct Begun {
    session: Session,
    posts: Vec<Post>,
    unreported: Vec<Said>,
}

impl Begun {
    async fn run<S>(self, frames: S)
    where
        S: Stream<Item = Result<WorkerFrame, Status>> + Unpin + Send,
    {
        let Self { mut session, posts, unreported } = self;
        let _detach = Detach { hub: Arc::clone(&session.hub), worker: session.worker, session: session.link.session };
        for post in posts {
            session.hub.deliver(post).await;
        }
        for said in unreported {
            session.result(said).await;
        }
        session.read(frames).await;
    }
}

/// Marks the worker as lost when its session ends, however it ends.
struct Detach {
    hub: Arc<Inner>,
    worker: WorkerId,
    session: u64,
}

impl Drop for Detach {
    fn drop(&mut self) {
        let now = Instant::now();
        self.hub.change(|state| {
            let idle = !state.calls.values().any(|call| call.worker == self.worker);
            let Some(worker) = state.workers.get_mut(&self.worker) else { return };
            let Some(link) = worker.link.take_if(|link| link.session == self.session) else { return };
            // One that fell silent was waited for already.
            worker.lost_at = Some(link.silent_since().unwrap_or(now));
            if idle {
                state.workers.remove(&self.worker);
            }
        });
    }
}
