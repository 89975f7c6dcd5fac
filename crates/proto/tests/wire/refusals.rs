//! Each way in which bytes are refused, and that the reason tells them apart.

use crate::samples;
use aidt_domain::{Command, CommandBody, DispatchNo, StepIx};
use aidt_proto::DecodeErrorKind::{Invalid, Malformed, NewerFormat};
use aidt_proto::*;
use bytes::Bytes;
use prost::Message;

fn step_with(change: impl FnOnce(&mut v1::StepEnvelope)) -> DecodeErrorKind {
    let mut step = v1::StepEnvelope::decode(encode_step(&samples::step_full())).unwrap();
    change(&mut step);
    decode_step(&step.encode_to_vec().into()).unwrap_err().kind
}

#[test]
fn a_newer_format_is_told_from_poison_whatever_follows_it() {
    let newer = Bytes::from_static(b"\x08\x02\xff\xff\xff\xff");
    assert_eq!(decode_step(&newer).unwrap_err().kind, NewerFormat { found: 2 });
    assert!(decode_command(&newer).unwrap_err().is_newer_format());
    assert!(decode_entries(newer).unwrap_err().is_newer_format());
    let meta = Bytes::from_static(b"\x03\x08\x02\xff");
    assert!(decode_segment(&meta, &Bytes::new()).unwrap_err().is_newer_format());
    assert_eq!(step_with(|step| step.format = 2), NewerFormat { found: 2 });
}

#[test]
fn what_is_no_envelope_is_malformed() {
    for bytes in [&b""[..], b"\x08", b"\x08\x00", b"\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", b"{}"] {
        assert_eq!(decode_step(&Bytes::from_static(bytes)).unwrap_err().kind, Malformed, "{bytes:?}");
    }
    assert_eq!(step_with(|step| step.format = 0), Malformed);
}

#[test]
fn a_length_that_promises_gigabytes_is_refused_at_once() {
    let arguments = Bytes::from_static(b"\x08\x01\x82\x01\xff\xff\xff\xff\x0f{}");
    assert_eq!(decode_step(&arguments).unwrap_err().kind, Malformed);
    let shared = Bytes::from_static(b"\x08\x01\x18\xff\xff\xff\xff\x0f");
    assert_eq!(decode_entries(shared).unwrap_err().kind, Invalid { field: "count" });
    let metas = Bytes::from_static(b"\xff\xff\xff\xff\x0f\x08\x01");
    assert_eq!(decode_segment(&metas, &Bytes::new()).unwrap_err().kind, Malformed);
}

#[test]
fn a_bad_field_is_named() {
    assert_eq!(step_with(|step| step.project = "Team A".into()), Invalid { field: "project" });
    assert_eq!(step_with(|step| step.run = Bytes::from_static(b"short")), Invalid { field: "run" });
    assert_eq!(step_with(|step| step.partition = 70_000), Invalid { field: "partition" });
    assert_eq!(step_with(|step| step.effect = 4), Invalid { field: "effect" });
    assert_eq!(step_with(|step| step.entry = Bytes::new()), Invalid { field: "entry" });
    assert_eq!(step_with(|step| step.decision = Bytes::from_static(b"[")), Invalid { field: "decision" });
}

#[test]
fn a_command_without_a_known_body_is_refused() {
    let mut command = v1::CommandEnvelope::decode(encode_command(&samples::commands()[0].1).unwrap()).unwrap();
    command.body = None;
    let error = decode_command(&command.encode_to_vec().into()).unwrap_err();
    assert_eq!(error.to_string(), "cannot read a command envelope: the field 'body' is not valid");
}

#[test]
fn what_the_owner_makes_itself_is_not_sent() {
    let body = CommandBody::Burned { step: StepIx(1), dispatch: DispatchNo(1), won: true };
    let command = Command { body, ..samples::command_without_id() };
    assert_eq!(encode_command(&command), Err(NotAMessage("burned")));
}

#[test]
fn payloads_must_be_exactly_as_long_as_the_meta_says() {
    let segment = encode_segment(&samples::events());
    let cut = segment.payloads.slice(1..);
    assert_eq!(decode_segment(&segment.events, &cut).unwrap_err().kind, Invalid { field: "payload_len" });
    let more: Bytes = [&segment.payloads[..], b"x"].concat().into();
    assert_eq!(decode_segment(&segment.events, &more).unwrap_err().kind, Invalid { field: "payload_len" });
}

#[test]
fn large_values_share_the_memory_of_the_body() {
    let body = encode_step(&samples::step_full());
    let inside = |part: &Bytes, whole: &Bytes| whole.as_ptr_range().contains(&part.as_ptr());
    assert!(inside(&decode_step(&body).unwrap().arguments, &body));
    let shared = encode_shared(vec![body.clone(), body]);
    assert!(decode_entries(shared.clone()).unwrap().iter().all(|entry| inside(entry, &shared)));
}

#[test]
fn what_cannot_be_read_may_still_tell_to_whom_it_was() {
    let step = samples::step_full();
    let whole = encode_step(&step);
    let to = step_address(&whole[..whole.len() / 2]).expect("its first fields are there");
    assert_eq!((to.project, to.run, to.partition), (step.project, step.run, step.partition));
    assert_eq!((to.step, to.dispatch), (step.step, step.dispatch));
    for (name, command) in samples::commands() {
        let Ok(whole) = encode_command(&command) else { continue };
        let to = command_address(&[&whole[..], b"\xff\xff"].concat());
        assert_eq!(to, Some((command.project, command.run)), "{name}");
    }
    assert_eq!(step_address(&whole[..12]), None);
    for nothing in [&b""[..], b"\xff\xff\xff", b"\x08\x01\x1a\xff\xff\xff\xff\x0f", b"\x22\x03abc"] {
        assert_eq!((step_address(nothing), command_address(nothing)), (None, None), "{nothing:?}");
    }
}
