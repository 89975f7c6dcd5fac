//! Whatever is written reads back; whatever is read never panics.

use crate::samples;
use aidt_domain::*;
use aidt_proto::*;
use bytes::Bytes;
use proptest::collection::{btree_map, vec};
use proptest::option::of;
use proptest::prelude::*;
use serde_json::Value;
use uuid::Uuid;

fn uuid() -> impl Strategy<Value = Uuid> {
    any::<u128>().prop_map(Uuid::from_u128)
}

fn bytes() -> impl Strategy<Value = Bytes> {
    vec(any::<u8>(), 0..200).prop_map(Bytes::from)
}

fn labels() -> impl Strategy<Value = Labels> {
    vec("[a-z:é]{0,9}", 0..4).prop_map(|labels| labels.iter().map(String::as_str).collect())
}

fn path() -> impl Strategy<Value = StepPath> {
    "[a-zA-Z@_][a-zA-Z0-9_./\\[\\]-]{0,30}".prop_map(|path| StepPath::new(&path).unwrap())
}

fn json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        ".{0,12}".prop_map(Value::from)
    ];
    leaf.prop_recursive(3, 12, 4, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(Value::from),
            btree_map(".{0,6}", inner, 0..4).prop_map(|map| Value::Object(map.into_iter().collect()))
        ]
    })
}

fn object() -> impl Strategy<Value = serde_json::Map<String, Value>> {
    btree_map(".{0,8}", json(), 0..3).prop_map(|map| map.into_iter().collect())
}

fn decision() -> impl Strategy<Value = Decision> {
    let verdict =
        prop_oneof![Just(Verdict::Allow), Just(Verdict::Deny), Just(Verdict::Escalate), Just(Verdict::Transform)];
    (".{0,9}", ".{0,9}", verdict, vec(".{0,9}", 0..3), vec(".{0,9}", 0..3), object(), ".{0,9}").prop_map(
        |(id, capability, verdict, reasons, warnings, obligations, revision)| Decision {
            id,
            capability,
            verdict,
            reasons,
            warnings,
            obligations,
            revision,
        },
    )
}

fn failure() -> impl Strategy<Value = Failure> {
    let code = proptest::sample::select(ErrorCode::ALL);
    (code, ".{0,20}", of(".{0,9}"), of(path()), any::<bool>(), any::<bool>()).prop_map(
        |(code, message, reason, step, none, retryable)| Failure {
            code,
            message,
            reason,
            step,
            effect: if none { EffectHint::None } else { EffectHint::Maybe },
            retryable,
        },
    )
}

prop_compose! {
    fn step()(
        (run, entry, dispatched_at, run_ms) in (uuid(), any::<[u8; 32]>(), any::<i64>(), any::<u64>()),
        (partition, step, dispatch, attempt, generation, out_seq) in any::<(u16, u32, u32, u32, u32, u64)>(),
        (path, labels, decision, arguments) in (path(), labels(), decision(), bytes()),
        (tool, min_sandbox, subject, key) in (".{0,9}", ".{0,9}", ".{0,9}", ".{0,9}"),
        (commit, queue_deadline, heartbeat_ms, traceparent) in
            (of(".{0,9}"), of(any::<i64>()), of(any::<u64>()), of(".{0,9}")),
        (effect, republished) in (0..3usize, any::<bool>()),
    ) -> StepMessage {
        StepMessage {
            project: Project::default(),
            run: RunId(run),
            partition: PartitionId(partition),
            step: StepIx(step),
            path,
            dispatch: DispatchNo(dispatch),
            attempt: Attempt(attempt),
            generation: Generation(generation),
            out_seq: OutSeq(out_seq),
            pool: Pool::new("builtin").unwrap(),
            tool,
            entry: Digest(entry),
            effect: [Effect::Read, Effect::Idempotent, Effect::Once][effect],
            min_sandbox,
            arguments,
            labels,
            decision,
            idempotency_key: key,
            workspace: commit.map(|commit| WorkspaceAt { commit }),
            queue_deadline: queue_deadline.map(Timestamp),
            run_ms,
            heartbeat_ms,
            dispatched_at: Timestamp(dispatched_at),
            republished,
            subject,
            traceparent,
        }
    }
}

fn change() -> impl Strategy<Value = WorkspaceChange> {
    (".{0,9}", ".{0,9}", vec(".{0,9}", 0..3)).prop_map(|(base, commit, paths)| WorkspaceChange { base, commit, paths })
}

fn outcome() -> impl Strategy<Value = Outcome> {
    prop_oneof![
        (bytes(), labels(), of(change())).prop_map(|(output, labels, workspace)| Outcome::Done {
            output,
            labels,
            workspace
        }),
        failure().prop_map(Outcome::Failed),
        failure().prop_map(Outcome::Cancelled),
        Just(Outcome::Released),
        any::<i64>().prop_map(|ms| Outcome::Deferred(Timestamp(ms))),
        decision().prop_map(Outcome::Refused),
    ]
}

fn finished() -> impl Strategy<Value = Finished> {
    (any::<u32>(), any::<u32>(), outcome(), of(any::<i64>()), uuid(), ".{0,9}", bytes()).prop_map(
        |(step, dispatch, outcome, started_at, process, worker, log)| Finished {
            step: StepIx(step),
            dispatch: DispatchNo(dispatch),
            outcome,
            started_at: started_at.map(Timestamp),
            process: ProcessId(process),
            worker,
            log,
        },
    )
}

fn resolve_as() -> impl Strategy<Value = ResolveAs> {
    prop_oneof![json().prop_map(ResolveAs::Done), ".{0,9}".prop_map(ResolveAs::Failed), Just(ResolveAs::Retry)]
}

fn command() -> impl Strategy<Value = Command> {
    let body = prop_oneof![
        (any::<[u8; 32]>(), object(), labels(), any::<i64>()).prop_map(|(snapshot, inputs, input_labels, at)| {
            CommandBody::Start(Box::new(Start {
                snapshot: Digest(snapshot),
                inputs,
                input_labels,
                labels: Default::default(),
                accepted_at: Timestamp(at),
            }))
        }),
        ".{0,20}".prop_map(|reason| CommandBody::Cancel { reason }),
        of(path()).prop_map(|from| CommandBody::Retry(from.map_or(RetryScope::Failed, RetryScope::From))),
        (path(), resolve_as()).prop_map(|(step, resolve)| CommandBody::Resolve { step, resolve }),
        finished().prop_map(|finished| CommandBody::Finished(Box::new(finished))),
        (any::<(u32, u32, i64)>(), uuid()).prop_map(|((step, dispatch, at), process)| CommandBody::Started {
            step: StepIx(step),
            dispatch: DispatchNo(dispatch),
            process: ProcessId(process),
            at: Timestamp(at),
        }),
        (any::<(u32, u32, u64)>(), ".{0,20}").prop_map(|((step, dispatch, offset), text)| {
            CommandBody::Progress { step: StepIx(step), dispatch: DispatchNo(dispatch), offset, text }
        }),
    ];
    (of(uuid()), uuid(), ".{0,9}", of(".{0,9}"), body).prop_map(|(id, run, actor, traceparent, body)| Command {
        id: id.map(CommandId),
        project: Project::default(),
        run: RunId(run),
        actor: Actor(actor),
        traceparent,
        body,
    })
}

/// Bodies of the golden events, each with arbitrary numbers and an arbitrary payload.
fn event() -> impl Strategy<Value = Event> {
    let name = proptest::sample::select(&["inputs", "arguments", "output", "outputs", "text"][..]);
    let payload = (name, prop_oneof![bytes(), json().prop_map(|v| v.to_string().into())], labels())
        .prop_map(|(name, bytes, labels)| Payload { name, bytes, labels });
    (
        proptest::sample::select(samples::events()),
        any::<(u64, i64, u32, u32, u32)>(),
        of(uuid()),
        of(path()),
        of(payload),
    )
        .prop_map(|(event, (seq, at, dispatch, attempt, generation), cause, step, payload)| Event {
            seq: Seq(seq),
            at: Timestamp(at % 253_402_300_799_999),
            cause: cause.map(CommandId),
            step,
            dispatch: DispatchNo(dispatch),
            attempt: Attempt(attempt),
            generation: Generation(generation),
            body: event.body,
            payload,
        })
}

/// Bytes that are almost an envelope: a good one with some bytes changed, cut off, or appended.
fn nearly(good: impl Strategy<Value = Bytes>) -> impl Strategy<Value = Bytes> {
    (good, vec((any::<prop::sample::Index>(), any::<u8>()), 0..4), any::<prop::sample::Index>(), bytes()).prop_map(
        |(good, changes, cut, tail)| {
            let mut bytes = good.to_vec();
            for (at, byte) in changes {
                let at = at.index(bytes.len());
                bytes[at] = byte;
            }
            if tail.len() % 2 == 0 {
                bytes.truncate(cut.index(bytes.len() + 1));
            } else {
                bytes.extend_from_slice(&tail);
            }
            bytes.into()
        },
    )
}

fn read_all(bytes: &Bytes) {
    let _ = decode_step(bytes);
    let _ = decode_command(bytes);
    let _ = decode_entries(bytes.clone());
    let _ = decode_segment(bytes, bytes);
}

proptest! {
    #[test]
    fn a_step_reads_back(step in step()) {
        prop_assert_eq!(decode_step(&encode_step(&step)).unwrap(), step);
    }

    #[test]
    fn a_command_reads_back(command in command()) {
        prop_assert_eq!(decode_command(&encode_command(&command).unwrap()).unwrap(), command);
    }

    #[test]
    fn entries_read_back(steps in vec(step(), 0..5)) {
        let entries: Vec<Bytes> = steps.iter().map(encode_step).collect();
        prop_assert_eq!(decode_entries(encode_shared(entries.clone())).unwrap(), entries);
    }

    #[test]
    fn a_segment_reads_back_and_its_refs_point_at_the_payloads(events in vec(event(), 0..6)) {
        let segment = encode_segment(&events);
        for (event, at) in events.iter().zip(&segment.refs) {
            let found = at.as_ref().map(|at| {
                assert_eq!(at.segment, events[0].seq);
                let bytes = segment.payloads.slice(at.offset as usize..(at.offset + at.len) as usize);
                assert_eq!(at.digest, Digest::of(&bytes));
                (bytes, at.labels.clone())
            });
            prop_assert_eq!(found, event.payload.as_ref().map(|p| (p.bytes.clone(), p.labels.clone())));
        }
        prop_assert_eq!(decode_segment(&segment.events, &segment.payloads).unwrap(), events);
    }

    #[test]
    fn an_event_is_the_same_json_either_way(event in event()) {
        let mut text = Vec::new();
        write_event_json(&event, &mut text);
        prop_assert!(!text.contains(&b'\n') && !text.contains(&b'\r'));
        prop_assert_eq!(serde_json::from_slice::<Value>(&text).unwrap(), event_json(&event));
    }

    #[test]
    fn random_bytes_never_panic(bytes in bytes()) {
        read_all(&bytes);
    }

    #[test]
    fn nearly_good_bytes_never_panic(
        step in nearly(step().prop_map(|s| encode_step(&s))),
        command in nearly(command().prop_map(|c| encode_command(&c).unwrap())),
        events in nearly(event().prop_map(|e| encode_segment(&[e]).events)),
    ) {
        read_all(&step);
        read_all(&command);
        read_all(&events);
    }
}
