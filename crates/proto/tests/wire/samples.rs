//! Values that the golden files hold: one of each shape that travels or is stored.

use aidt_domain::*;
use bytes::Bytes;
use std::collections::BTreeMap;
use uuid::Uuid;

fn run() -> RunId {
    RunId(Uuid::from_u128(0x0192_8f3a_7b4c_7d5e_8f60_7182_93a4_b5c6))
}

fn process() -> ProcessId {
    ProcessId(Uuid::from_u128(7))
}

fn path(text: &str) -> StepPath {
    StepPath::new(text).unwrap()
}

fn decision(verdict: Verdict) -> Decision {
    Decision {
        id: "dec_5".into(),
        capability: "repo.write".into(),
        verdict,
        reasons: vec!["built in".into()],
        warnings: vec!["wide".into()],
        obligations: serde_json::from_str(r#"{"max_bytes":10}"#).unwrap(),
        revision: "sha256:00".into(),
    }
}

fn failure() -> Failure {
    Failure {
        reason: Some("disk full".into()),
        step: Some(path("write")),
        ..Failure::transient(ErrorCode::ToolFailed, "cannot write NOTES.md")
    }
}

/// Every field set.
pub(crate) fn step_full() -> StepMessage {
    StepMessage {
        project: Project::default(),
        run: run(),
        partition: PartitionId(3),
        step: StepIx(2),
        path: path("build[3]"),
        dispatch: DispatchNo(4),
        attempt: Attempt(2),
        generation: Generation(1),
        out_seq: OutSeq(300),
        pool: Pool::new("builtin").unwrap(),
        tool: "repo.write".into(),
        entry: Digest::of(b"entry"),
        effect: Effect::Idempotent,
        min_sandbox: "none".into(),
        arguments: Bytes::from_static(br#"{"content":"a\u0000b","path":"NOTES.md"}"#),
        labels: ["repo", "user"].into_iter().collect(),
        decision: decision(Verdict::Allow),
        idempotency_key: "0123456789abcdef0123456789abcdef".into(),
        workspace: Some(WorkspaceAt { commit: "c0ffee".into() }),
        queue_deadline: Some(Timestamp(1_795_267_090_000)),
        run_ms: 60_000,
        heartbeat_ms: Some(5_000),
        dispatched_at: Timestamp(1_795_267_086_001),
        republished: true,
        subject: "local".into(),
        traceparent: Some("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01".into()),
    }
}

/// Every field that may be absent, absent; numbers 0 where they may be.
pub(crate) fn step_bare() -> StepMessage {
    StepMessage {
        partition: PartitionId(0),
        step: StepIx(0),
        effect: Effect::Read,
        arguments: Bytes::from_static(b"{}"),
        labels: Labels::NONE,
        workspace: None,
        queue_deadline: None,
        heartbeat_ms: None,
        republished: false,
        traceparent: None,
        ..step_full()
    }
}

fn command(body: CommandBody) -> Command {
    Command {
        id: Some(CommandId(Uuid::from_u128(9))),
        project: Project::default(),
        run: run(),
        actor: Actor("local".into()),
        traceparent: None,
        body,
    }
}

fn finished(outcome: Outcome) -> CommandBody {
    CommandBody::Finished(Box::new(Finished {
        step: StepIx(2),
        dispatch: DispatchNo(4),
        outcome,
        started_at: Some(Timestamp(1_795_267_086_500)),
        process: process(),
        worker: "builtin@host".into(),
        log: Bytes::from_static(b"a line\n\xff"),
    }))
}

/// Each command that travels, by the name of its file.
pub(crate) fn commands() -> Vec<(&'static str, Command)> {
    let change =
        WorkspaceChange { base: String::new(), commit: "c0ffee".into(), paths: vec!["a".into(), String::new()] };
    let start = Start {
        snapshot: Digest::of(b"snapshot"),
        inputs: serde_json::from_str(r#"{"repo":"."}"#).unwrap(),
        input_labels: Labels::user(),
        labels: BTreeMap::from([("team".into(), "platform".into())]),
        accepted_at: Timestamp(1_795_267_086_001),
    };
    let done = Outcome::Done {
        output: Bytes::from_static(b"{\"text\":\"\\ud800\",\"n\":1e400}"),
        labels: Labels::one("repo"),
        workspace: Some(change),
    };
    let (step, dispatch, process) = (StepIx(0), DispatchNo(1), process());
    [
        ("start", CommandBody::Start(Box::new(start))),
        ("cancel", CommandBody::Cancel { reason: String::new() }),
        ("retry_failed", CommandBody::Retry(RetryScope::Failed)),
        ("retry_from", CommandBody::Retry(RetryScope::From(path("write")))),
        (
            "resolve",
            CommandBody::Resolve { step: path("write"), resolve: ResolveAs::Done(serde_json::json!({"ok": true})) },
        ),
        ("finished_done", finished(done)),
        ("finished_failed", finished(Outcome::Failed(failure()))),
        ("finished_cancelled", finished(Outcome::Cancelled(failure()))),
        ("finished_released", finished(Outcome::Released)),
        ("finished_deferred", finished(Outcome::Deferred(Timestamp(0)))),
        ("finished_refused", finished(Outcome::Refused(decision(Verdict::Deny)))),
        ("started", CommandBody::Started { step, dispatch, process, at: Timestamp(1_795_267_086_001) }),
        ("progress", CommandBody::Progress { step, dispatch, offset: 4096, text: "half-way\n".into() }),
    ]
    .map(|(name, body)| (name, command(body)))
    .into()
}

/// A command of the loop's own: without an id.
pub(crate) fn command_without_id() -> Command {
    Command {
        id: None,
        traceparent: step_full().traceparent,
        ..command(CommandBody::Cancel { reason: "enough".into() })
    }
}

/// A payload by its name.
type Named = Option<(&'static str, &'static [u8])>;

fn event(seq: u64, step: Option<&str>, body: EventBody, payload: Named) -> Event {
    let of = |n| if step.is_some() { n } else { 0 };
    Event {
        seq: Seq(seq),
        at: Timestamp(1_795_267_086_001),
        cause: step.is_none().then_some(CommandId(Uuid::from_u128(9))),
        step: step.map(path),
        dispatch: DispatchNo(of(1)),
        attempt: Attempt(of(1)),
        generation: Generation(of(1)),
        body,
        payload: payload.map(|(name, bytes)| Payload {
            name,
            bytes: Bytes::from_static(bytes),
            labels: Labels::user(),
        }),
    }
}

fn step_events() -> Vec<(EventBody, Named)> {
    let dispatched = EventBody::StepDispatched {
        tool: "repo.write".into(),
        pool: Pool::new("builtin").unwrap(),
        decision: decision(Verdict::Allow),
        commit: Some("c0ffee".into()),
        queue_deadline: Some(Timestamp(1_795_267_090_000)),
    };
    let ended = EventBody::StepFinished {
        worker: "builtin@host".into(),
        started_at: Some(Timestamp(1_795_267_086_500)),
        commit: Some("c0ffee2".into()),
        paths: vec!["NOTES.md".into()],
        log: "a line\n".into(),
    };
    let resolved = EventBody::StepResolved { resolve: "done".into(), by: "local".into(), error: Some(failure()) };
    vec![
        (dispatched, Some(("arguments", br#"{"content":"x","path":"NOTES.md"}"#))),
        (EventBody::StepStarted { process: process() }, None),
        (EventBody::StepProgress { offset: 0 }, Some(("text", br#""half-way\n""#))),
        (ended, Some(("output", b"{\r\n  \"written\": \"a\\u0000b\"\n}"))),
        (EventBody::StepFailed { error: failure(), log: "no\n".into() }, None),
        (EventBody::StepRetrying { error: failure(), until: Timestamp(1_795_267_090_000) }, None),
        (EventBody::StepRequeued { reason: "process_dead".into(), until: None }, None),
        (EventBody::StepSkipped { reason: "condition".into() }, None),
        (EventBody::StepDenied { decision: decision(Verdict::Deny) }, None),
        (EventBody::StepUnknown { error: failure() }, None),
        (resolved, Some(("output", b"{\"lone\":\"\\ud800\",\"big\":1e400}"))),
        (EventBody::StepCancelled { error: None }, None),
    ]
}

fn run_events() -> Vec<(EventBody, Named)> {
    let started = EventBody::RunStarted {
        plan: "release-notes".into(),
        snapshot: Digest::of(b"snapshot"),
        labels: BTreeMap::from([("team".into(), "platform".into())]),
        by: "local".into(),
    };
    let refused = EventBody::CommandRefused {
        command: "cancel".into(),
        code: ErrorCode::NotApplicable,
        message: "the run has ended".into(),
    };
    vec![
        (started, Some(("inputs", br#"{"repo":"."}"#))),
        (EventBody::RunCancelling { by: "local".into(), reason: "enough".into() }, None),
        (EventBody::RunCancelled { unknown: vec![path("write")] }, None),
        (EventBody::RunDone, Some(("outputs", b"not json \xff"))),
        (EventBody::RunFailed { error: failure() }, None),
        (EventBody::RunReopened { by: "local".into(), steps: vec![path("write")] }, None),
        (refused, None),
    ]
}

/// Each kind of event, as one segment.
pub(crate) fn events() -> Vec<Event> {
    let of_steps = step_events().into_iter().map(|e| (Some("build[3]"), e));
    let of_run = run_events().into_iter().map(|e| (None, e));
    of_run.chain(of_steps).zip(5..).map(|((step, (body, payload)), seq)| event(seq, step, body, payload)).collect()
}
