//! Telling Redis who listens: one connection for all subscriptions of the process.
//!
//! It speaks RESP3, where confirmations and messages come in one order, through one function: a
//! subscriber gets exactly what was published after Redis confirmed.

use crate::fanout::{Changes, Fanout};
use crate::link::{Link, PIPELINE_BUFFER, State, Up};
use crate::options::Options;
use bytes::Bytes;
use redis::{AsyncConnectionConfig, PushInfo, PushKind, RedisResult, Value};
use std::sync::Arc;

/// Channels named in one command, so that messages get through in between.
const AT_ONCE: usize = 512;

/// How a connection for subscriptions is made: what Redis pushes goes to the fan-out.
pub(crate) fn configure(
    options: &Options,
    start: Vec<u8>,
    fanout: Arc<Fanout>,
) -> impl Fn(u64) -> AsyncConnectionConfig + use<> {
    let (connect, respond) = (options.connect_timeout, options.response_timeout);
    move |generation| {
        let (fanout, start) = (fanout.clone(), start.clone());
        let pushed = move |info: PushInfo| -> Result<(), ()> {
            hand_on(&fanout, generation, &start, info);
            Ok(())
        };
        AsyncConnectionConfig::new()
            .set_connection_timeout(Some(connect))
            .set_response_timeout(Some(respond))
            .set_pipeline_buffer_size(PIPELINE_BUFFER)
            .set_push_sender(pushed)
    }
}

fn hand_on(fanout: &Fanout, generation: u64, start: &[u8], info: PushInfo) {
    let mut data = info.data.into_iter();
    let Some(Value::BulkString(channel)) = data.next() else { return };
    let Some(Ok(name)) = channel.strip_prefix(start).map(std::str::from_utf8) else { return };
    match (info.kind, data.next()) {
        (PushKind::Subscribe, _) => fanout.confirmed(generation, name),
        (PushKind::Message, Some(Value::BulkString(message))) => {
            fanout.deliver(generation, name, Bytes::from(message));
        }
        _ => {}
    }
}

/// Keeps Redis told, for as long as it is polled.
pub(crate) async fn keep_told(link: Link, start: Vec<u8>, fanout: Arc<Fanout>) {
    let mut states = link.states();
    // An error would say that the link is gone, which `link` holds.
    while let Ok(state) = states.wait_for(|state| matches!(state, State::Up(_))).await.map(|s| s.clone()) {
        let State::Up(up) = state else { continue };
        let generation = up.generation;
        fanout.connected(generation);
        tokio::select! {
            biased;
            _ = states.wait_for(|state| !matches!(state, State::Up(up) if up.generation == generation)) => {}
            () = tell(&link, up, &start, &fanout) => {}
        }
        fanout.disconnected();
    }
}

/// Until Redis does not take it.
async fn tell(link: &Link, mut up: Up, start: &[u8], fanout: &Fanout) {
    loop {
        let changes = fanout.changes().await;
        if let Err(error) = tell_changes(&mut up, start, &changes).await {
            // Also when it refuses: who waits must not wait for long.
            link.give_up(up.generation, error);
            return;
        }
    }
}

async fn tell_changes(up: &mut Up, start: &[u8], changes: &Changes) -> RedisResult<()> {
    for names in changes.leave.chunks(AT_ONCE) {
        up.connection.unsubscribe(channels(start, names)).await?;
    }
    for names in changes.join.chunks(AT_ONCE) {
        up.connection.subscribe(channels(start, names)).await?;
    }
    Ok(())
}

fn channels(start: &[u8], names: &[Arc<str>]) -> Vec<Vec<u8>> {
    names.iter().map(|name| [start, name.as_bytes()].concat()).collect()
}
