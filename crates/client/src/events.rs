//! A run's events as they happen.

use crate::client::{Call, Client};
use crate::connection::Sender;
use crate::sse::{Decoder, Frame};
use crate::{ClientError, Event, StepOutput};
use aidt_domain::{RunId, Seq};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use std::io;
use std::time::Duration;

/// The server sends a comment at least each 15 s; silence this long is a lost connection.
const SILENCE: Duration = Duration::from_secs(45);

/// What a stream brings.
#[derive(Clone, Debug, PartialEq)]
pub enum Update {
    /// An entry of the history.
    Event(Box<Event>),
    /// Live text of a step.
    Output(StepOutput),
}

/// One connection that brings a run's events from some number on, and live text between them.
pub struct EventStream {
    client: Client,
    request: String,
    after: Seq,
    body: Incoming,
    decoder: Decoder,
    // Dropped with the stream, which closes the connection.
    _sender: Sender,
}

impl Client {
    /// Opens a stream of what follows event `after` (0: all of it).
    pub async fn events(&self, run: RunId, after: Seq) -> Result<EventStream, ClientError> {
        let mut call = Call::get(format!("/v1/runs/{run}/events")).header("accept", "text/event-stream");
        if after.0 > 0 {
            call = call.header("last-event-id", after.to_string());
        }
        let (request, patience) = (call.name(), call.patience);
        let (response, sender) = match tokio::time::timeout(patience, self.open(call)).await {
            Ok(opened) => opened?,
            Err(_) => {
                let endpoint = self.endpoint().clone();
                return Err(ClientError::TimedOut { endpoint, request, after: patience });
            }
        };
        let client = self.clone();
        let decoder = Decoder::default();
        Ok(EventStream { client, request, after, body: response.into_body(), decoder, _sender: sender })
    }
}

impl EventStream {
    /// The next update; `None` when the server ended the stream in good order.
    ///
    /// Cancel safe: what has arrived stays in the stream. An event whose number was already given is
    /// left out.
    pub async fn next(&mut self) -> Result<Option<Update>, ClientError> {
        loop {
            while let Some(frame) = self.frame()? {
                if let Some(update) = self.read(&frame)? {
                    return Ok(Some(update));
                }
            }
            match tokio::time::timeout(SILENCE, self.body.frame()).await {
                Ok(None) => return Ok(None),
                Ok(Some(Ok(part))) => {
                    if let Ok(bytes) = part.into_data() {
                        self.decoder.push(&bytes);
                    }
                }
                Ok(Some(Err(error))) => return Err(self.client.lost(self.request.clone(), error)),
                Err(_) => {
                    let silent = format!("nothing was heard for {} s", SILENCE.as_secs());
                    let error = io::Error::new(io::ErrorKind::TimedOut, silent);
                    return Err(self.client.lost(self.request.clone(), error));
                }
            }
        }
    }

    fn frame(&mut self) -> Result<Option<Frame>, ClientError> {
        self.decoder.next().map_err(|e| self.client.protocol(self.request.clone(), e.to_string()))
    }

    fn read(&mut self, frame: &Frame) -> Result<Option<Update>, ClientError> {
        if frame.id.is_none() {
            return match frame.event.as_str() {
                "step_output" => self.parse(frame).map(|output| Some(Update::Output(output))),
                // The history cannot be read on.
                "problem" => Err(ClientError::Refused(self.parse(frame)?)),
                // A kind of live frame that a later version adds.
                _ => Ok(None),
            };
        }
        let event: Event = self.parse(frame)?;
        if event.seq <= self.after {
            return Ok(None);
        }
        if event.seq != self.after.next() {
            let what = format!("event {} came after event {}", event.seq, self.after);
            return Err(self.client.protocol(self.request.clone(), what));
        }
        self.after = event.seq;
        Ok(Some(Update::Event(Box::new(event))))
    }

    fn parse<T: serde::de::DeserializeOwned>(&self, frame: &Frame) -> Result<T, ClientError> {
        self.client.parse(self.request.clone(), frame.data.as_bytes())
    }
}
