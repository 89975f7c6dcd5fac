//! An event as JSON, as people and programs outside see it.

use crate::wire::json;
use aidt_domain::Event;
use serde_json::value::RawValue;
use serde_json::{Map, Value};
use std::io::Write;

/// `{seq, kind, at, step?, dispatch?, attempt?, generation?, cause?, …}`: then the fields of the event's
/// body, and its payload under the payload's name. Times are RFC 3339.
///
/// A payload that serde_json cannot hold (`1e400`, a lone surrogate) is shown as a string of its text;
/// [`write_event_json`] shows such as it is.
#[must_use]
pub fn event_json(event: &Event) -> Value {
    let mut map = match serde_json::to_value(&event.body) {
        Ok(Value::Object(map)) => map,
        _ => unreachable!("the body of an event is an object"),
    };
    add_head(&mut map, event);
    if let Some(payload) = &event.payload {
        let value = serde_json::from_slice(&payload.bytes)
            .unwrap_or_else(|_| String::from_utf8_lossy(&payload.bytes).into_owned().into());
        map.insert(payload.name.to_owned(), value);
    }
    Value::Object(map)
}

fn add_head(map: &mut Map<String, Value>, event: &Event) {
    map.insert("seq".to_owned(), event.seq.0.into());
    map.insert("at".to_owned(), event.at.to_string().into());
    if let Some(step) = &event.step {
        map.insert("step".to_owned(), step.as_str().into());
        map.insert("dispatch".to_owned(), event.dispatch.0.into());
        map.insert("attempt".to_owned(), event.attempt.0.into());
        map.insert("generation".to_owned(), event.generation.0.into());
    }
    if let Some(cause) = &event.cause {
        map.insert("cause".to_owned(), cause.to_string().into());
    }
}

/// Appends the same as [`event_json`] as text, on one line, with the payload's bytes embedded as they are:
/// no value is built. A payload that is not JSON is embedded as a string of its text.
pub fn write_event_json(event: &Event, out: &mut Vec<u8>) {
    out.reserve(256 + event.payload.as_ref().map_or(0, |payload| payload.bytes.len()));
    let body = json(&event.body);
    // Serde writes the tag first.
    let tag = event.body.kind().len() + br#"{"kind":"""#.len();
    write_head(event, out).expect("writing to memory does not fail");
    out.extend_from_slice(&body[tag..body.len() - 1]);
    if let Some(payload) = &event.payload {
        write!(out, r#","{}":"#, payload.name).expect("writing to memory does not fail");
        write_payload(&payload.bytes, out);
    }
    out.push(b'}');
}

fn write_head(event: &Event, out: &mut Vec<u8>) -> std::io::Result<()> {
    write!(out, r#"{{"seq":{},"kind":"{}","at":"{}""#, event.seq, event.body.kind(), event.at)?;
    if let Some(step) = &event.step {
        let (dispatch, attempt, generation) = (event.dispatch, event.attempt, event.generation);
        write!(out, r#","step":"{step}","dispatch":{dispatch},"attempt":{attempt},"generation":{generation}"#)?;
    }
    if let Some(cause) = &event.cause {
        write!(out, r#","cause":"{cause}""#)?;
    }
    Ok(())
}

/// Line breaks in JSON stand between tokens only: a blank does as well, and the event stays on one line.
fn write_payload(payload: &[u8], out: &mut Vec<u8>) {
    if serde_json::from_slice::<&RawValue>(payload).is_err() {
        out.extend_from_slice(&json(&String::from_utf8_lossy(payload)));
    } else if payload.iter().any(|b| matches!(b, b'\n' | b'\r')) {
        out.extend(payload.iter().map(|b| if matches!(b, b'\n' | b'\r') { b' ' } else { *b }));
    } else {
        out.extend_from_slice(payload);
    }
}
