//! Rows that have broken other stores: nothing in a tool's output may wedge a partition.

use super::build::{
    Owner, claim_request, failure, inbox_row, plain_ref, process_row, run_id, run_row, segment, step_row,
};
use super::{Fixture, ok};
use crate::types::{
    DeadLetter, InboxRow, JournalEntry, JournalKey, LogChunk, NewRun, ProcessRow, RunFilter, Submission, Submitted,
    Turn,
};
use aidt_domain::{
    Attempt, Digest, DispatchNo, Generation, OutSeq, PartitionId, Project, RunRow, Seq, StepIx, StepRow, StepState,
    Timestamp,
};
use bytes::Bytes;
use std::collections::BTreeMap;

/// Bytes that are not text, or text that is not a value.
fn bytes() -> Vec<Bytes> {
    let all: [&[u8]; 8] = [
        b"",
        b"\0",
        b"a\0b\0",
        b"\xff\xfe\x80 not utf-8",
        br#"{"lone":"\ud800","reversed":"\udc00\ud800"}"#,
        b"1e400",
        b"{\"a\":1,\"a\":2} -- '; DROP TABLE runs; \x1b[2J",
        "🦀\u{10ffff}\u{202e}".as_bytes(),
    ];
    all.into_iter().map(Bytes::from_static).collect()
}

/// Strings that a person, a model or a tool may choose.
fn strings() -> Vec<String> {
    let mut all: Vec<String> = [
        "",
        "\0",
        "before\0after",
        "\u{1}\u{7f}\u{85}\r\n\t",
        "🦀\u{10ffff}\u{202e}e\u{301}",
        r#""quoted" \ and \ud800 and \u0000"#,
        "'; DROP TABLE runs; -- %_?1$1",
        "1e400",
    ]
    .map(str::to_owned)
    .into();
    all.push("é\0".repeat(5_000));
    all
}

pub async fn payloads_of_any_bytes(f: Fixture) {
    let run = run_id(0, 1);
    let mut owner = Owner::take(&f.store, 0).await;
    owner.begin_dispatched(run).await;
    let claim = claim_request(run, 0, 1, 1);
    let key = JournalKey { run, step: StepIx(0), generation: Generation(1), attempt: Attempt(1) };
    ok(f.store.journal.open(&key, &claim).await);
    for (n, bytes) in (1_u32..).zip(bytes()) {
        let (seq, len) = (u64::from(n), u32::try_from(bytes.len()).expect("short"));
        let mut row = segment(run, seq, 1, &bytes);
        row.events = bytes.clone();
        let runs = vec![run_row(run, seq)];
        owner.commit(Turn { runs, segments: vec![row.clone()], ..Turn::default() }).await;
        assert_eq!(ok(f.store.run_log.segment(run, Seq(seq)).await), row);
        assert_eq!(ok(f.store.run_log.payloads(&[(run, plain_ref(seq, 0, len))]).await), std::slice::from_ref(&bytes));
        assert_eq!(ok(f.store.history.payload(&(run, plain_ref(seq, len, 0))).await), Bytes::new());

        ok(f.store.catalog.put_documents(&[(Digest::of(&bytes), bytes.clone())]).await);
        assert_eq!(ok(f.store.catalog.documents(&[Digest::of(&bytes)]).await), std::slice::from_ref(&bytes));

        let row = InboxRow { command: bytes.clone(), ..inbox_row(seq, run) };
        let submission = Submission { row, documents: Vec::new(), idempotency: None };
        assert_eq!(ok(f.store.inbox.submit(submission).await), Submitted::Accepted);
        assert_eq!(ok(f.store.inbox.waiting(run).await).last().expect("just put").command, bytes);

        let entry = JournalEntry { index: n - 1, dispatch: DispatchNo(1), entry: bytes.clone() };
        ok(f.store.journal.append(&key, &claim, entry.clone()).await);
        assert_eq!(ok(f.store.journal.open(&key, &claim).await).last(), Some(&entry));

        let chunk = LogChunk { run, step: StepIx(0), dispatch: DispatchNo(1), offset: seq, bytes: bytes.clone() };
        ok(f.store.logs.append_logs(vec![chunk.clone()]).await);
        assert_eq!(ok(f.store.logs.logs(run, StepIx(0), (DispatchNo(1), seq), 1).await), [chunk]);
    }
}

pub async fn strings_of_any_characters(f: Fixture) {
    let mut owner = Owner::take(&f.store, 0).await;
    for (n, text) in (1_u64..).zip(strings()) {
        let run = run_id(0, n);
        let row = RunRow {
            plan: text.clone(),
            error: Some(failure(&text)),
            head: Some(text.clone()),
            labels: [(text.clone(), text.clone()), (format!("{text}!"), String::new())].into(),
            submitted_by: text.clone(),
            traceparent: Some(text.clone()),
            ..run_row(run, 0)
        };
        let mut error = failure(&text);
        error.reason = Some(text.clone());
        let step = StepRow { error: Some(error), ..step_row(0, StepState::Failed, 1) };
        let letter = DeadLetter {
            id: 0,
            inlet: text.clone(),
            project: None,
            run: None,
            reason: text.clone(),
            headers: BTreeMap::from([(text.clone(), text.clone())]),
            bytes: Bytes::new(),
            at: Timestamp(0),
        };
        owner.row.incarnation.clone_from(&text);
        owner
            .commit(Turn {
                new_runs: vec![NewRun { row: row.clone() }],
                steps: vec![(run, step.clone())],
                dead_letters: vec![letter.clone()],
                ..Turn::default()
            })
            .await;
        let loaded = ok(f.store.run_log.load(&[run]).await);
        assert_eq!((&loaded[0].row, &loaded[0].steps[0]), (&row, &step));
        let filter = RunFilter { plan: Some(text.clone()), labels: row.labels.clone(), ..RunFilter::default() };
        assert_eq!(ok(f.store.history.runs(&filter, None, 9).await).items, [row]);
        let stored = ok(f.store.dead_letters.dead_letters(n - 1, 1).await).remove(0);
        assert_eq!((stored.inlet, stored.reason, stored.headers), (letter.inlet, letter.reason, letter.headers));
        assert_eq!(ok(f.store.run_log.partition(PartitionId(0)).await).incarnation, text);

        let process = ProcessRow { service: text.clone(), policy_revision: text.clone(), ..process_row(n) };
        ok(f.store.processes.register(process.clone()).await);
        let (live, now) = ok(f.store.processes.live(u64::MAX).await);
        assert!(live.contains(&ProcessRow { heartbeat: now, ..process }));
    }
}

pub async fn keys_of_any_length(f: Fixture) {
    for (n, text) in (1_u64..).zip(strings()) {
        for (n, key) in [(2 * n, text.clone()), (2 * n + 1, format!("{text}k"))] {
            let submit = |n, run| Submission {
                row: inbox_row(n, run),
                documents: Vec::new(),
                idempotency: Some((key.clone(), Digest::of(b"body"))),
            };
            let run = run_id(0, n);
            assert_eq!(ok(f.store.inbox.submit(submit(n, run)).await), Submitted::Accepted, "{key:?}");
            let again = ok(f.store.inbox.submit(submit(n + 1_000, run_id(0, n + 1_000))).await);
            assert_eq!(again, Submitted::Repeated(run), "{key:?}");
        }
    }
    let mut owner = Owner::take(&f.store, 0).await;
    let run = run_id(0, 1);
    let long = "k".repeat(10 * 1024);
    let row = RunRow {
        labels: (0..20).map(|n| (format!("{long}{n}"), format!("{n}/{long}"))).collect(),
        project: Project::new(&"p".repeat(63)).expect("the longest"),
        ..run_row(run, 0)
    };
    owner.commit(Turn { new_runs: vec![NewRun { row: row.clone() }], ..Turn::default() }).await;
    let (key, value) = row.labels.iter().nth(7).expect("twenty");
    let labels = [(key.clone(), value.clone())].into();
    let filter = RunFilter { project: row.project.clone(), labels, ..RunFilter::default() };
    assert_eq!(ok(f.store.history.runs(&filter, None, 9).await).items, [row]);
}

pub async fn empty_everything(f: Fixture) {
    let run = run_id(0, 1);
    let mut owner = Owner::take(&f.store, 0).await;
    owner.begin(run).await;
    let mut row = segment(run, 1, 1, b"");
    row.events = Bytes::new();
    owner.commit(Turn { runs: vec![run_row(run, 1)], segments: vec![row.clone()], ..Turn::default() }).await;
    assert_eq!(ok(f.store.history.segments(run, Seq(0), 9).await), [row]);
    assert_eq!(ok(f.store.history.segments(run, Seq(0), 0).await), []);
    assert_eq!(ok(f.store.history.steps(run, None, 0).await), []);
    assert_eq!(ok(f.store.run_log.ready(PartitionId(0), None, 0).await), []);
    assert_eq!(ok(f.store.inbox.inbox(PartitionId(0), 0, 0).await), []);
    assert_eq!(ok(f.store.inbox.pending(&[]).await), []);
    ok(f.store.run_log.ask_to_stop(&[]).await);
    ok(f.store.catalog.put_documents(&[]).await);
    ok(f.store.dead_letters.bury(Vec::new()).await);
    let process = ProcessRow { slots: [].into(), tools: Vec::new(), service: String::new(), ..process_row(1) };
    ok(f.store.processes.register(process.clone()).await);
    let (live, now) = ok(f.store.processes.live(0).await);
    assert_eq!(live, [ProcessRow { heartbeat: now, ..process }]);
}

pub async fn numbers_at_their_ends(f: Fixture) {
    let run = run_id(0, 1);
    let mut owner = Owner::take(&f.store, 0).await;
    owner.row.published = OutSeq(u64::MAX);
    owner.row.out_seq = OutSeq(u64::MAX - 1);
    owner.row.cursor = i64::MIN;
    owner.begin(run).await;
    assert_eq!(ok(f.store.run_log.partition(PartitionId(0)).await), owner.row);
    let row = StepRow {
        ix: StepIx(u32::MAX),
        dispatch: DispatchNo(u32::MAX),
        attempt: Attempt(u32::MAX),
        generation: Generation(u32::MAX),
        priority: i32::MIN,
        out_seq: OutSeq(u64::MAX),
        dispatch_event: Seq(u64::MAX),
        ready_at: Some(Timestamp(i64::MIN)),
        ended_at: Some(Timestamp(i64::MAX)),
        output: Some(plain_ref(u64::MAX, u32::MAX, u32::MAX)),
        ..step_row(0, StepState::Running, 1)
    };
    owner.write_steps(run, [row.clone()]).await;
    assert_eq!(ok(f.store.history.steps(run, None, 9).await), [row]);
    assert_eq!(ok(f.store.run_log.open_dispatches(PartitionId(0)).await).len(), 1);
    assert_eq!(ok(f.store.processes.live(u64::MAX).await).0, []);
}
