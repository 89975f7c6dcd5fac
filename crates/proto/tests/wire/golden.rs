//! What is on the wire and in the rows stays as it is: bytes of every shape, held by files.
//!
//! After a wanted change (additive: field numbers stand), write them again with
//! `AIDT_GOLDEN=write cargo test -p aidt-proto --test wire` and review the difference.

use crate::samples;
use aidt_proto::{
    decode_command, decode_entries, decode_segment, decode_step, encode_command, encode_segment, encode_shared,
    encode_step, v1, write_event_json,
};
use bytes::Bytes;
use prost::Message;
use std::fs;
use std::path::PathBuf;

/// Compares with the golden file, or writes it. Answers the file's bytes.
#[expect(clippy::disallowed_methods, reason = "a switch of this test's own")]
fn golden(name: &str, found: &[u8]) -> Bytes {
    let file = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name);
    if std::env::var_os("AIDT_GOLDEN").is_some_and(|v| v == "write") {
        fs::write(&file, found).unwrap();
    }
    let held = fs::read(&file).unwrap_or_default();
    assert!(held == found, "{name} has changed:\n{}", String::from_utf8_lossy(found));
    held.into()
}

/// As [`golden`], with what the generated types read from it beside it, as text. They write the same bytes.
fn envelope<M: Message + Default + std::fmt::Debug>(name: &str, found: &[u8]) -> Bytes {
    let held = golden(&format!("{name}.bin"), found);
    let message = M::decode(held.clone()).unwrap();
    golden(&format!("{name}.txt"), format!("{message:#?}\n").as_bytes());
    assert_eq!(message.encode_to_vec(), held, "{name}: the generated types write other bytes");
    held
}

#[test]
fn steps() {
    for (name, step) in [("step_full", samples::step_full()), ("step_bare", samples::step_bare())] {
        let held = envelope::<v1::StepEnvelope>(name, &encode_step(&step));
        assert_eq!(decode_step(&held).unwrap(), step);
    }
}

#[test]
fn commands() {
    let mut all = samples::commands();
    all.push(("without_id", samples::command_without_id()));
    for (name, command) in all {
        let held = envelope::<v1::CommandEnvelope>(&format!("command_{name}"), &encode_command(&command).unwrap());
        assert_eq!(decode_command(&held).unwrap(), command);
    }
}

#[test]
fn shared() {
    let entries = vec![encode_step(&samples::step_bare()), encode_step(&samples::step_full())];
    let held = golden("shared.bin", &encode_shared(entries.clone()));
    assert_eq!(decode_entries(held).unwrap(), entries);
}

#[test]
fn events() {
    let events = samples::events();
    let segment = encode_segment(&events);
    let metas = golden("segment_events.bin", &segment.events);
    let payloads = golden("segment_payloads.bin", &segment.payloads);
    assert_eq!(decode_segment(&metas, &payloads).unwrap(), events);

    let mut generated = Vec::new();
    let mut left = metas.clone();
    while !left.is_empty() {
        let meta = v1::EventMeta::decode_length_delimited(&mut left).unwrap();
        meta.encode_length_delimited(&mut generated).unwrap();
    }
    assert_eq!(generated, metas, "the generated types write other bytes");

    let mut text = Vec::new();
    for event in &events {
        write_event_json(event, &mut text);
        text.push(b'\n');
    }
    golden("segment.jsonl", &text);
    assert_eq!(text.iter().filter(|b| **b == b'\n').count(), events.len(), "one line an event");
}
