//! Runs, steps and segments.

use super::build::{Owner, full_run_row, full_step_row, output_ref, plain_ref, run_id, run_row, segment, step_row};
use super::{Fixture, ok, refused};
use crate::types::{NewRun, RunFilter, SegmentRow, Turn};
use crate::{Kind, Store};
use aidt_domain::{Project, RunId, RunRow, RunState, Seq, StepIx, StepRow, StepState, Timestamp};
use std::collections::BTreeMap;

pub async fn a_run_is_read_back(f: Fixture) {
    let (id, plain) = (run_id(0, 1), run_id(0, 2));
    let mut owner = Owner::take(&f.store, 0).await;
    let row = full_run_row(id, 1);
    let turn = Turn {
        new_runs: vec![NewRun { row: row.clone() }, NewRun { row: run_row(plain, 0) }],
        segments: vec![segment(id, 1, 1, b"abc")],
        ..Turn::default()
    };
    owner.commit(turn).await;
    let read = async |project: &str, id| ok(f.store.history.run(&Project::new(project).expect("a project"), id).await);
    assert_eq!(read("default", id).await, Some(row.clone()));
    assert_eq!(read("default", plain).await, Some(run_row(plain, 0)));
    assert_eq!(read("other", id).await, None, "another project's run is not there");
    assert_eq!(read("default", run_id(0, 3)).await, None);

    let changed = RunRow {
        state: RunState::Running,
        outputs: None,
        error: None,
        head: None,
        budget: aidt_domain::Budget { tokens_used: u64::MAX, ..row.budget },
        updated_at: Timestamp(9_000),
        ended_at: None,
        ..row
    };
    owner.commit(Turn { runs: vec![changed.clone()], ..Turn::default() }).await;
    assert_eq!(read("default", id).await, Some(changed));
}

/// Five segments: events 1, 2-3, 4-6, 7-10 and 11-15.
async fn with_segments(f: &Fixture) -> (RunId, Vec<SegmentRow>) {
    let run = run_id(0, 1);
    let mut owner = Owner::take(&f.store, 0).await;
    owner.begin(run).await;
    owner.begin(run_id(0, 2)).await;
    let (mut segments, mut next) = (Vec::new(), 1);
    for count in 1..=5_u32 {
        let segment = segment(run, next, count, format!("payloads {count}").as_bytes());
        next += u64::from(count);
        let other = run_id(0, 2);
        let decoy = super::build::segment(other, u64::from(count), 1, b"decoy");
        owner
            .commit(Turn {
                runs: vec![run_row(run, next - 1), run_row(other, u64::from(count))],
                segments: vec![segment.clone(), decoy],
                ..Turn::default()
            })
            .await;
        segments.push(segment);
    }
    (run, segments)
}

pub async fn segments_come_in_order_and_pages(f: Fixture) {
    let (run, all) = with_segments(&f).await;
    let page = async |after, limit| ok(f.store.history.segments(run, Seq(after), limit).await);
    assert_eq!(page(0, 99).await, all);
    assert_eq!(page(0, 2).await, all[..2]);
    assert_eq!(page(3, 2).await, all[2..4]);
    assert_eq!(page(4, 2).await, all[2..4], "the segment that holds the next event comes whole");
    assert_eq!(page(10, 9).await, all[4..]);
    assert_eq!(page(15, 9).await, []);
    assert_eq!(page(u64::MAX, 9).await, []);
    assert_eq!(ok(f.store.history.segments(run_id(0, 9), Seq(0), 9).await), []);
}

pub async fn a_segment_by_any_of_its_events(f: Fixture) {
    let (run, all) = with_segments(&f).await;
    for (seq, index) in [(1, 0), (2, 1), (3, 1), (4, 2), (6, 2), (10, 3), (15, 4)] {
        assert_eq!(ok(f.store.run_log.segment(run, Seq(seq)).await), all[index], "event {seq}");
    }
    for seq in [0, 16, u64::MAX] {
        refused(f.store.run_log.segment(run, Seq(seq)).await, Kind::NotFound);
    }
    refused(f.store.run_log.segment(run_id(0, 9), Seq(1)).await, Kind::NotFound);
}

pub async fn payloads_are_slices(f: Fixture) {
    let (run, _) = with_segments(&f).await;
    let asked = [
        (run, output_ref(11, 0, 10)),
        (run, output_ref(2, 9, 1)),
        (run_id(0, 2), output_ref(3, 1, 3)),
        (run, plain_ref(1, 10, 0)),
        (run, plain_ref(2, 9, 1)),
    ];
    let got = ok(f.store.run_log.payloads(&asked).await);
    assert_eq!(got, [&b"payloads 5"[..], b"2", b"eco", b"", b"2"]);
    for (at, bytes) in asked.iter().zip(got) {
        assert_eq!(ok(f.store.history.payload(at).await), bytes);
    }
    assert_eq!(ok(f.store.run_log.payloads(&[]).await).len(), 0);
}

pub async fn steps_are_counted_and_payloads_read_in_one_look(f: Fixture) {
    let (run, _) = with_segments(&f).await;
    let mut owner = Owner::take(&f.store, 0).await;
    let rows = [(0, StepState::Done), (1, StepState::Done), (2, StepState::Ready)];
    owner.write_steps(run, rows.map(|(ix, state)| step_row(ix, state, 1))).await;
    owner.write_steps(run_id(0, 2), [step_row(0, StepState::Failed, 1)]).await;
    let asked = [output_ref(11, 0, 10), output_ref(2, 9, 1), plain_ref(1, 10, 0)];
    let shown = ok(f.store.history.shown(run, &asked).await);
    assert_eq!(shown.states, BTreeMap::from([(StepState::Done, 2), (StepState::Ready, 1)]));
    assert_eq!(shown.payloads, [&b"payloads 5"[..], b"2", b""]);
    let nothing = ok(f.store.history.shown(run_id(0, 9), &[]).await);
    assert!(nothing.states.is_empty() && nothing.payloads.is_empty());
    refused(f.store.history.shown(run, &[plain_ref(1, 0, 1), plain_ref(3, 0, 1)]).await, Kind::Corrupt);
}

pub async fn a_payload_that_is_not_there_is_corrupt(f: Fixture) {
    let (run, _) = with_segments(&f).await;
    for at in [
        (run, plain_ref(1, 5, 6)),
        (run, plain_ref(1, 11, 0)),
        (run, plain_ref(1, u32::MAX, u32::MAX)),
        (run, plain_ref(3, 0, 1)),
        (run_id(0, 9), plain_ref(1, 0, 1)),
    ] {
        refused(f.store.run_log.payloads(&[(run, plain_ref(1, 0, 1)), at.clone()]).await, Kind::Corrupt);
        refused(f.store.history.payload(&at).await, Kind::Corrupt);
    }
}

async fn step(store: &Store, run: RunId, ix: u32) -> Option<StepRow> {
    ok(store.history.steps(run, None, 999).await).into_iter().find(|row| row.ix == StepIx(ix))
}

pub async fn steps_are_replaced(f: Fixture) {
    let run = run_id(0, 1);
    let mut owner = Owner::take(&f.store, 0).await;
    owner.begin(run).await;
    for row in [
        step_row(0, StepState::Ready, 0),
        full_step_row(0, StepState::Dispatched, 1),
        full_step_row(0, StepState::Unknown, 2),
        step_row(0, StepState::Done, 3),
    ] {
        owner.write_steps(run, [row.clone()]).await;
        assert_eq!(step(&f.store, run, 0).await, Some(row.clone()));
        assert_eq!(ok(f.store.run_log.load(&[run]).await)[0].steps, [row]);
    }
    for (ix, &state) in StepState::ALL.iter().enumerate() {
        let row = step_row(u32::try_from(ix).expect("few"), state, 4);
        owner.write_steps(run, [row.clone()]).await;
        assert_eq!(step(&f.store, run, row.ix.0).await, Some(row));
    }
}

pub async fn steps_come_in_pages(f: Fixture) {
    let run = run_id(0, 1);
    let mut owner = Owner::take(&f.store, 0).await;
    owner.begin(run).await;
    let rows: Vec<StepRow> = [0, 1, 5, 900].map(|ix| step_row(ix, StepState::Done, 1)).into();
    owner.write_steps(run, rows.iter().rev().cloned()).await;
    let page = async |after: Option<u32>, limit| ok(f.store.history.steps(run, after.map(StepIx), limit).await);
    assert_eq!(page(None, 99).await, rows);
    assert_eq!(page(None, 1).await, rows[..1]);
    assert_eq!(page(Some(0), 2).await, rows[1..3]);
    assert_eq!(page(Some(5), 2).await, rows[3..]);
    assert_eq!(page(Some(900), 2).await, []);
    assert_eq!(ok(f.store.history.steps(run_id(0, 9), None, 9).await), []);
}

pub async fn many_runs_load_at_once(f: Fixture) {
    let mut owner = Owner::take(&f.store, 0).await;
    let runs: Vec<RunId> = (1..=40).map(|n| run_id(0, n)).collect();
    let new_runs = runs.iter().map(|run| NewRun { row: run_row(*run, 0) }).collect();
    let steps = runs.iter().flat_map(|run| (0..3).map(|ix| (*run, step_row(ix, StepState::Done, 1)))).collect();
    owner.commit(Turn { new_runs, steps, ..Turn::default() }).await;
    let mut asked = runs.clone();
    asked.insert(7, run_id(0, 99));
    let loaded = ok(f.store.run_log.load(&asked).await);
    assert_eq!(loaded.iter().map(|run| run.row.id).collect::<Vec<_>>(), runs, "what is not there is left out");
    for run in loaded {
        assert_eq!(run.row, run_row(run.row.id, 0));
        assert_eq!(run.steps.iter().map(|step| step.ix.0).collect::<Vec<_>>(), [0, 1, 2]);
    }
    assert_eq!(ok(f.store.run_log.load(&[]).await), []);
}

/// Nine runs of three partitions; every third belongs to another project.
async fn with_runs(f: &Fixture) -> Vec<RunRow> {
    let mut rows = Vec::new();
    for n in 0..9 {
        let partition = u16::try_from(n % 3).expect("three");
        let mut row = run_row(run_id(partition, n), 0);
        row.created_at = Timestamp(1_000 + i64::try_from(n).expect("nine"));
        row.state = if n % 2 == 0 { RunState::Running } else { RunState::Done };
        row.plan = if n < 4 { "early" } else { "late" }.to_owned();
        row.labels = BTreeMap::from([("n".to_owned(), n.to_string()), ("odd".to_owned(), (n % 2).to_string())]);
        if n % 3 == 2 {
            row.project = Project::new("other").expect("a project");
        }
        let mut owner = Owner::take(&f.store, partition).await;
        owner.commit(Turn { new_runs: vec![NewRun { row: row.clone() }], ..Turn::default() }).await;
        rows.push(row);
    }
    rows
}

pub async fn runs_come_newest_first(f: Fixture) {
    let mut mine = with_runs(&f).await;
    mine.retain(|row| row.project == Project::default());
    mine.reverse();
    let filter = RunFilter::default();
    let page = async |after, limit| ok(f.store.history.runs(&filter, after, limit).await);
    let all = page(None, 99).await;
    assert_eq!((all.items, all.next), (mine.clone(), None));
    let first = page(None, 4).await;
    assert_eq!((&first.items[..], first.next), (&mine[..4], Some(mine[3].id)));
    let rest = page(first.next, 2).await;
    assert_eq!((&rest.items[..], rest.next), (&mine[4..], None));
    assert_eq!(page(Some(mine[5].id), 2).await.items, []);
    refused(f.store.history.runs(&filter, Some(run_id(0, 77)), 2).await, Kind::NotFound);
}

pub async fn runs_are_filtered(f: Fixture) {
    let rows = with_runs(&f).await;
    let labels = |pairs: &[(&str, &str)]| {
        pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect::<BTreeMap<_, _>>()
    };
    let other = Project::new("other").expect("a project");
    let base = RunFilter::default;
    let cases = [
        (RunFilter { states: vec![RunState::Done], ..base() }, vec![7, 3, 1]),
        (RunFilter { states: vec![RunState::Done, RunState::Running], ..base() }, vec![7, 6, 4, 3, 1, 0]),
        (RunFilter { states: vec![RunState::Failed], ..base() }, vec![]),
        (RunFilter { plan: Some("early".to_owned()), ..base() }, vec![3, 1, 0]),
        (RunFilter { labels: labels(&[("odd", "1")]), ..base() }, vec![7, 3, 1]),
        (RunFilter { labels: labels(&[("odd", "1"), ("n", "3")]), ..base() }, vec![3]),
        (RunFilter { labels: labels(&[("odd", "1"), ("n", "4")]), ..base() }, vec![]),
        (RunFilter { labels: labels(&[("1", "odd")]), ..base() }, vec![]),
        (
            RunFilter { project: other, states: vec![RunState::Running], plan: Some("late".to_owned()), ..base() },
            vec![8],
        ),
    ];
    for (filter, expected) in cases {
        let expected: Vec<RunId> = expected.into_iter().map(|n: usize| rows[n].id).collect();
        let mut found = Vec::new();
        let mut after = None;
        loop {
            let page = ok(f.store.history.runs(&filter, after, 2).await);
            found.extend(page.items.iter().map(|row| row.id));
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        assert_eq!(found, expected, "{filter:?}");
    }
}
