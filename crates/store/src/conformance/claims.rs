//! Whoever inserts first decides: a process to run a dispatch, or the owner to take it back.

use super::build::{Owner, claim_request, process_id, process_row, run_id, step_row};
use super::{Fixture, ok};
use crate::Store;
use crate::types::{BurnResult, Claim, ClaimRequest, ClaimState, Turn};
use aidt_domain::{DispatchNo, PartitionId, Project, RunId, Seq, StepIx, StepState};
use tokio::task::JoinSet;

async fn claim(store: &Store, request: ClaimRequest) -> ClaimState {
    let answers = ok(store.claims.claim(&[request]).await);
    assert_eq!(answers.len(), 1);
    answers[0]
}

fn burn(run: RunId, step: u32, dispatch: u32) -> Turn {
    Turn { burns: vec![(run, StepIx(step), DispatchNo(dispatch))], ..Turn::default() }
}

pub async fn the_first_claim_wins(f: Fixture) {
    let run = run_id(0, 1);
    Owner::take(&f.store, 0).await.begin_dispatched(run).await;
    let requests = [claim_request(run, 0, 1, 1), claim_request(run, 0, 1, 2), claim_request(run, 0, 1, 1)];
    let answers = ok(f.store.claims.claim(&requests).await);
    assert_eq!(answers, [ClaimState::Won, ClaimState::Held(process_id(1)), ClaimState::Won]);
    assert_eq!(claim(&f.store, requests[0].clone()).await, ClaimState::Won, "asking twice changes nothing");
    assert_eq!(ok(f.store.claims.claim(&[]).await), []);
}

pub async fn a_claim_wants_the_current_dispatch(f: Fixture) {
    let run = run_id(0, 1);
    let mut owner = Owner::take(&f.store, 0).await;
    owner.begin_dispatched(run).await;
    owner.write_steps(run, [step_row(1, StepState::Ready, 0), step_row(2, StepState::Done, 1)]).await;
    for stale in [
        claim_request(run, 0, 2, 1),
        claim_request(run, 0, 0, 1),
        claim_request(run, 1, 0, 1),
        claim_request(run, 2, 1, 1),
        claim_request(run, 3, 1, 1),
        claim_request(run_id(0, 2), 0, 1, 1),
    ] {
        assert_eq!(claim(&f.store, stale.clone()).await, ClaimState::Stale, "{stale:?}");
    }
    assert_eq!(claim(&f.store, claim_request(run, 0, 1, 1)).await, ClaimState::Won);
    owner.write_steps(run, [step_row(0, StepState::Running, 1)]).await;
    assert_eq!(claim(&f.store, claim_request(run, 0, 1, 1)).await, ClaimState::Won, "the holder's own");
    assert_eq!(claim(&f.store, claim_request(run, 0, 1, 2)).await, ClaimState::Held(process_id(1)));
    owner.write_steps(run, [step_row(0, StepState::Dispatched, 2)]).await;
    assert_eq!(claim(&f.store, claim_request(run, 0, 1, 1)).await, ClaimState::Stale, "dispatched again");
    assert_eq!(claim(&f.store, claim_request(run, 0, 2, 2)).await, ClaimState::Won);
    owner.write_steps(run, [step_row(0, StepState::Done, 2)]).await;
    assert_eq!(claim(&f.store, claim_request(run, 0, 2, 2)).await, ClaimState::Stale, "ended");
}

pub async fn a_burn_is_final(f: Fixture) {
    let run = run_id(0, 1);
    let mut owner = Owner::take(&f.store, 0).await;
    owner.begin_dispatched(run).await;
    let won = owner.commit(burn(run, 0, 1)).await.burns;
    assert_eq!(won, [BurnResult { run, step: StepIx(0), dispatch: DispatchNo(1), won: true }]);
    assert_eq!(claim(&f.store, claim_request(run, 0, 1, 1)).await, ClaimState::Burned);
    assert!(owner.commit(burn(run, 0, 1)).await.burns[0].won, "the owner's own burn stands");
    owner.write_steps(run, [step_row(0, StepState::Dispatched, 2)]).await;
    assert_eq!(claim(&f.store, claim_request(run, 0, 2, 1)).await, ClaimState::Won, "the next dispatch is free");
}

pub async fn a_burn_after_a_claim_is_lost(f: Fixture) {
    let run = run_id(0, 1);
    let mut owner = Owner::take(&f.store, 0).await;
    owner.begin_dispatched(run).await;
    assert_eq!(claim(&f.store, claim_request(run, 0, 1, 1)).await, ClaimState::Won);
    let lost = owner.commit(burn(run, 0, 1)).await.burns;
    assert_eq!(lost, [BurnResult { run, step: StepIx(0), dispatch: DispatchNo(1), won: false }]);
    assert_eq!(claim(&f.store, claim_request(run, 0, 1, 1)).await, ClaimState::Won, "the claim stands");
}

pub async fn burns_are_answered_in_order(f: Fixture) {
    let (a, b) = (run_id(0, 1), run_id(3, 1));
    let mut first = Owner::take(&f.store, 0).await;
    let mut second = Owner::take(&f.store, 3).await;
    first.begin_dispatched(a).await;
    first.write_steps(a, [step_row(5, StepState::Dispatched, 1)]).await;
    second.begin_dispatched(b).await;
    assert_eq!(claim(&f.store, claim_request(a, 0, 1, 1)).await, ClaimState::Won);
    let burns = vec![(a, StepIx(5), DispatchNo(1)), (a, StepIx(0), DispatchNo(1))];
    let batches = vec![second.batch(burn(b, 0, 1)), first.batch(Turn { burns, ..Turn::default() })];
    let answers = ok(f.store.run_log.commit(batches).await).burns;
    let short: Vec<_> = answers.iter().map(|burn| (burn.run, burn.step.0, burn.won)).collect();
    assert_eq!(short, [(b, 0, true), (a, 5, true), (a, 0, false)]);
}

pub async fn a_claim_moves_nothing_else(f: Fixture) {
    let run = run_id(0, 1);
    Owner::take(&f.store, 0).await.begin_dispatched(run).await;
    let before = ok(f.store.run_log.load(&[run]).await);
    assert_eq!(claim(&f.store, claim_request(run, 0, 1, 1)).await, ClaimState::Won);
    assert_eq!(ok(f.store.run_log.load(&[run]).await), before);
    assert_eq!(ok(f.store.history.segments(run, Seq(0), 9).await), []);
    assert_eq!(ok(f.store.history.run(&Project::default(), run).await).as_ref(), Some(&before[0].row));
}

pub async fn one_of_many_claimants_wins(f: Fixture) {
    let run = run_id(0, 1);
    let mut owner = Owner::take(&f.store, 0).await;
    owner.begin_dispatched(run).await;
    let mut claimants = JoinSet::new();
    for n in 1..=12 {
        let store = f.store.clone();
        claimants.spawn(async move { (n, claim(&store, claim_request(run, 0, 1, n)).await) });
    }
    let burned = owner.commit(burn(run, 0, 1)).await.burns[0].won;
    let answers = claimants.join_all().await;
    let winners: Vec<u64> = answers.iter().filter(|(_, s)| *s == ClaimState::Won).map(|(n, _)| *n).collect();
    assert_eq!(winners.len() + usize::from(burned), 1, "{answers:?}");
    let loser = winners.first().map_or(ClaimState::Burned, |winner| ClaimState::Held(process_id(*winner)));
    assert!(answers.iter().all(|(_, s)| *s == ClaimState::Won || *s == loser), "{answers:?}");
}

pub async fn claims_are_listed_while_their_dispatch_is_open(f: Fixture) {
    let run = run_id(0, 1);
    let mut owner = Owner::take(&f.store, 0).await;
    owner.begin(run).await;
    owner.write_steps(run, (0..3).map(|ix| step_row(ix, StepState::Dispatched, 1))).await;
    assert_eq!(ok(f.store.run_log.claims(PartitionId(0)).await), []);
    assert_eq!(claim(&f.store, claim_request(run, 0, 1, 1)).await, ClaimState::Won);
    owner.commit(burn(run, 1, 1)).await;
    owner.write_steps(run, [step_row(0, StepState::Running, 1)]).await;
    let held = |step, process| Claim { run, step: StepIx(step), dispatch: DispatchNo(1), process };
    let listed = ok(f.store.run_log.claims(PartitionId(0)).await);
    assert_eq!(listed, [held(0, Some(process_id(1))), held(1, None)]);
    assert_eq!(ok(f.store.run_log.claims(PartitionId(1)).await), []);
    owner.write_steps(run, [step_row(0, StepState::Done, 1), step_row(1, StepState::Dispatched, 2)]).await;
    assert_eq!(ok(f.store.run_log.claims(PartitionId(0)).await), []);
}

pub async fn a_stop_is_told_with_the_heartbeat(f: Fixture) {
    let run = run_id(0, 1);
    let mut owner = Owner::take(&f.store, 0).await;
    owner.begin(run).await;
    owner.write_steps(run, (0..3).map(|ix| step_row(ix, StepState::Dispatched, 1))).await;
    for process in [1, 2] {
        ok(f.store.processes.register(process_row(process)).await);
    }
    for (step, process) in [(0, 1), (1, 1), (2, 2)] {
        assert_eq!(claim(&f.store, claim_request(run, step, 1, process)).await, ClaimState::Won);
    }
    let cancels = async |process| ok(f.store.processes.heartbeat(process_id(process)).await).cancels;
    assert_eq!(cancels(1).await, []);
    let key = |step, dispatch| (run, StepIx(step), DispatchNo(dispatch));
    ok(f.store.run_log.ask_to_stop(&[key(1, 1), key(2, 1), key(0, 7), key(9, 1)]).await);
    assert_eq!(cancels(1).await, [key(1, 1)]);
    assert_eq!(cancels(1).await, [key(1, 1)], "until it has ended");
    assert_eq!(cancels(2).await, [key(2, 1)]);
    owner.write_steps(run, [step_row(1, StepState::Cancelled, 1), step_row(2, StepState::Dispatched, 2)]).await;
    assert_eq!(cancels(1).await, []);
    assert_eq!(cancels(2).await, [], "it no longer holds the current dispatch");
}
