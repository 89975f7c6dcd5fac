//! One session: from welcome to the end of the stream.

use crate::calls::{Calls, Happened};
use crate::outbox::Outbox;
use crate::stop::Stop;
use aidt_grants::SessionKey;
use aidt_proto::v1::hub_frame::Frame as FromHub;
use aidt_proto::v1::worker_frame::Frame as ToHub;
use aidt_proto::v1::{self, Call, Drain, HubFrame, Pong, Welcome};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};
use tonic::{Status, Streaming};

/// Without a sign of life for this many ping intervals, the session is lost.
const MISSED_PINGS: u32 = 3;

/// Hubs that state no interval.
const DEFAULT_PING: Duration = Duration::from_secs(5);

/// How long acks of the last results, and then the end of the stream, are waited for.
const FAREWELL: Duration = Duration::from_secs(5);

/// How a session ended.
#[derive(Debug)]
pub(crate) enum End {
    /// The stream broke off; connect again.
    Lost(Status),
    /// What the hello said has changed: say it anew.
    Renewed,
    /// The worker was told to stop, and owes nothing any more (or nobody wants it).
    Drained,
}

/// A welcome worker.
pub(crate) struct Session<'a> {
    calls: &'a mut Calls,
    outbox: Outbox,
    from_hub: Streaming<HubFrame>,
    key: SessionKey,
    silence: Duration,
    heard: Instant,
}

impl<'a> Session<'a> {
    /// `later` are results that did not fit into the hello.
    pub(crate) fn new(
        calls: &'a mut Calls,
        mut outbox: Outbox,
        from_hub: Streaming<HubFrame>,
        welcome: &Welcome,
        later: Vec<v1::Result>,
    ) -> Result<Self, Status> {
        let key = <[u8; 32]>::try_from(&*welcome.session_key)
            .map_err(|_| Status::internal("the session key in welcome is not 32 bytes long"))?;
        later.into_iter().for_each(|result| outbox.push(ToHub::Result(result)));
        let ping = match welcome.ping_interval_ms {
            0 => DEFAULT_PING,
            ms => Duration::from_millis(ms.into()),
        };
        let silence = ping * MISSED_PINGS;
        let key = SessionKey::new(key);
        Ok(Self { calls, outbox, from_hub, key, silence, heard: Instant::now() })
    }

    /// Serves until the stream breaks off, or it was told to stop and everything is settled. Running
    /// calls have the grace to end by themselves then. Not cancel safe: dropped, the session is over.
    /// `slots` tells when there are to be more or fewer.
    pub(crate) async fn run(mut self, stop: &Stop, mut slots: watch::Receiver<u32>) -> End {
        tokio::select! {
            biased;
            lost = self.serve() => return End::Lost(lost),
            // The sender lives in the worker.
            Ok(()) = slots.changed() => return End::Renewed,
            () = stop.told() => {}
        }
        self.outbox.push(ToHub::Drain(Drain {}));
        if let Some(lost) = self.serve_until_settled(stop.end()).await {
            return End::Lost(lost);
        }
        self.calls.ledger.cancel_all();
        let _ = self.serve_until_settled(Instant::now() + FAREWELL).await;
        self.farewell().await;
        End::Drained
    }

    /// `None` when everything is settled, or it is too late.
    async fn serve_until_settled(&mut self, until: Instant) -> Option<Status> {
        while !self.calls.ledger.is_settled() || self.outbox.is_backlogged() {
            tokio::select! {
                biased;
                () = sleep_until(until) => return None,
                turn = self.turn() => {
                    if let Err(lost) = turn {
                        return Some(lost);
                    }
                }
            }
        }
        None
    }

    /// Ends our half of the stream and lets the hub end its own.
    async fn farewell(self) {
        let Self { outbox, mut from_hub, .. } = self;
        drop(outbox);
        let ended = async { while let Ok(Some(_)) = from_hub.message().await {} };
        let _ = tokio::time::timeout(FAREWELL, ended).await;
    }

    async fn serve(&mut self) -> Status {
        loop {
            if let Err(lost) = self.turn().await {
                return lost;
            }
        }
    }

    /// Whatever comes next. Cancel safe.
    async fn turn(&mut self) -> Result<(), Status> {
        let backlogged = self.outbox.is_backlogged();
        tokio::select! {
            biased;
            () = self.outbox.flush(), if backlogged => {}
            happened = self.calls.next(!backlogged) => self.tell(happened),
            frame = self.from_hub.message() => {
                let closed = || Status::unavailable("the step consumer ended the stream");
                let frame = frame?.ok_or_else(closed)?;
                self.heard = Instant::now();
                self.hear(frame);
            }
            () = sleep_until(self.heard + self.silence) => {
                return Err(Status::deadline_exceeded("the step consumer fell silent"));
            }
        }
        Ok(())
    }

    fn tell(&mut self, happened: Happened) {
        match happened {
            Happened::Frame(frame) => self.outbox.push_frame(frame),
            Happened::Ended(before, result) => {
                before.into_iter().for_each(|frame| self.outbox.push_frame(frame));
                self.outbox.push(ToHub::Result(result));
            }
        }
    }

    fn hear(&mut self, frame: HubFrame) {
        match frame.frame {
            Some(FromHub::Call(call)) => self.start(call),
            Some(FromHub::Cancel(cancel)) => {
                if let Some(id) = &cancel.id {
                    self.calls.ledger.cancel(id);
                }
            }
            Some(FromHub::Ping(_)) => {
                self.outbox.push(ToHub::Pong(Pong { clock_ms: self.calls.now_ms() }));
            }
            Some(FromHub::ResultAck(ack)) => {
                if let Some(id) = &ack.id {
                    self.calls.ledger.acked(id);
                }
            }
            // A second welcome, or a frame of a later protocol: nothing that changes what we do.
            Some(FromHub::Welcome(_)) | None => {}
        }
    }

    fn start(&mut self, call: Call) {
        if let Some(refusal) = self.calls.start(call, &self.key) {
            self.outbox.push(ToHub::Result(refusal));
        }
    }
}
