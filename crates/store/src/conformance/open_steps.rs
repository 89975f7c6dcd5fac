//! What a new owner reads of a partition.

use super::build::{Owner, run_id, step_row};
use super::{Fixture, ok};
use crate::types::OpenStep;
use aidt_domain::{DispatchNo, PartitionId, RunId, StepIx, StepState};

pub async fn open_dispatches_are_those_out(f: Fixture) {
    let (first, second) = (run_id(0, 1), run_id(0, 2));
    let mut owner = Owner::take(&f.store, 0).await;
    owner.begin(first).await;
    owner.begin(second).await;
    for (ix, &state) in StepState::ALL.iter().enumerate() {
        owner.write_steps(first, [step_row(u32::try_from(ix).expect("few"), state, 3)]).await;
    }
    owner.write_steps(second, [step_row(4, StepState::Running, 9)]).await;
    let open = |run, state: StepState, dispatch| OpenStep {
        run,
        step: StepIx(u32::from(state.code()) - 1),
        dispatch: DispatchNo(dispatch),
    };
    let expected = [
        open(first, StepState::Dispatched, 3),
        open(first, StepState::Running, 3),
        OpenStep { run: second, step: StepIx(4), dispatch: DispatchNo(9) },
    ];
    assert_eq!(ok(f.store.run_log.open_dispatches(PartitionId(0)).await), expected);
    assert_eq!(ok(f.store.run_log.open_dispatches(PartitionId(1)).await), []);
    owner.write_steps(second, [step_row(4, StepState::Done, 9)]).await;
    assert_eq!(ok(f.store.run_log.open_dispatches(PartitionId(0)).await), expected[..2]);
}

pub async fn the_backlog_comes_in_pages(f: Fixture) {
    let mut owner = Owner::take(&f.store, 0).await;
    let mut expected = Vec::new();
    for n in 1..=3 {
        let run = run_id(0, n);
        owner.begin(run).await;
        owner.write_steps(run, (0..4).map(|ix| step_row(ix, StepState::Ready, 0))).await;
        expected.extend((0..4).map(|ix| (run, StepIx(ix))));
    }
    owner.write_steps(run_id(0, 2), [step_row(1, StepState::Dispatched, 1)]).await;
    expected.retain(|ready| *ready != (run_id(0, 2), StepIx(1)));
    for limit in [1, 3, 5, 99] {
        let mut found: Vec<(RunId, StepIx)> = Vec::new();
        loop {
            let page = ok(f.store.run_log.ready(PartitionId(0), found.last().copied(), limit).await);
            assert!(page.len() <= limit as usize);
            if page.is_empty() {
                break;
            }
            found.extend(page.iter().map(|open| (open.run, open.step)));
        }
        assert_eq!(found, expected, "{limit} at a time");
    }
    // A cursor stays good when its own step is no longer ready.
    owner.write_steps(run_id(0, 1), [step_row(3, StepState::Skipped, 0)]).await;
    let after = Some((run_id(0, 1), StepIx(3)));
    let page = ok(f.store.run_log.ready(PartitionId(0), after, 1).await);
    assert_eq!((page[0].run, page[0].step), (run_id(0, 2), StepIx(0)));
    assert_eq!(ok(f.store.run_log.ready(PartitionId(1), None, 9).await), []);
}
