//! The rules of the loop that the engine keeps, one test each.

mod support;

use aidt_domain::*;
use support::*;

fn ix(n: u32) -> StepIx {
    StepIx(n)
}

#[test]
fn a_chain_runs_to_its_end() {
    let mut b = Bench::start(graph(vec![step("a", &[], Effect::Read), step("b", &[0], Effect::Read)]));
    b.dispatch_ready();
    b.finish(ix(0), done());
    b.dispatch_ready();
    b.finish(ix(1), done());
    assert_eq!(b.run.row.state, RunState::Done);
    let kinds = ["run_started", "step_dispatched", "step_finished", "step_dispatched", "step_finished", "run_done"];
    assert_eq!(b.kinds(), kinds);
    let seqs: Vec<u64> = b.events.iter().map(|e| e.seq.0).collect();
    assert_eq!(seqs, (1..=6).collect::<Vec<_>>());
}

#[test]
fn a_result_applies_only_with_the_current_dispatch() {
    let mut b = Bench::start(graph(vec![step("a", &[], Effect::Read)]));
    b.dispatch_ready();
    b.finish(ix(0), Outcome::Released);
    b.dispatch_ready();
    assert_eq!(b.run.step(ix(0)).dispatch, DispatchNo(2));
    assert_eq!(b.run.step(ix(0)).attempt, Attempt(1), "a lost executor spends no attempt");
    b.finish_dispatch(ix(0), DispatchNo(1), done());
    assert_eq!(b.state(0), StepState::Dispatched);
    b.finish_dispatch(ix(0), DispatchNo(2), done());
    b.finish_dispatch(ix(0), DispatchNo(2), fatal());
    assert_eq!((b.state(0), b.run.row.state), (StepState::Done, RunState::Done));
}

#[test]
fn an_ambiguous_once_is_unknown_and_never_retried() {
    let mut spec = step("a", &[], Effect::Once);
    spec.retry.max_attempts = 5;
    let mut b = Bench::start(graph(vec![spec]));
    b.dispatch_ready();
    b.claim(ix(0));
    b.finish(ix(0), transient());
    assert_eq!((b.state(0), b.run.row.state), (StepState::Unknown, RunState::Running));
    b.now = Timestamp(1_000_000_000);
    b.own(CommandBody::TimerDue { step: Some(ix(0)) });
    assert_eq!(b.state(0), StepState::Unknown);
    b.outside(CommandBody::Resolve {
        step: StepPath::new("a").unwrap(),
        resolve: ResolveAs::Done(serde_json::json!({"ok": true})),
    });
    assert_eq!((b.state(0), b.run.row.state), (StepState::Done, RunState::Done));
}

#[test]
fn a_late_result_settles_an_unknown_outcome() {
    let mut b = Bench::start(graph(vec![step("a", &[], Effect::Once)]));
    b.dispatch_ready();
    b.claim(ix(0));
    b.own(CommandBody::ProcessDead { step: ix(0), dispatch: DispatchNo(1) });
    assert_eq!(b.state(0), StepState::Unknown);
    b.finish(ix(0), done());
    assert_eq!(b.run.row.state, RunState::Done);
}

#[test]
fn a_failure_known_to_have_had_no_effect_is_retried_even_once_with_another_key() {
    let mut spec = step("a", &[], Effect::Once);
    spec.retry.max_attempts = 2;
    let mut b = Bench::start(graph(vec![spec]));
    b.dispatch_ready();
    let none = Failure { effect: EffectHint::None, ..Failure::transient(ErrorCode::ToolFailed, "refused") };
    b.finish(ix(0), Outcome::Failed(none));
    assert_eq!(b.state(0), StepState::BackingOff);
    assert_eq!(b.run.step(ix(0)).clean_attempt, Some(Attempt(1)));
    b.now = b.timers[&Some(ix(0))];
    b.own(CommandBody::TimerDue { step: Some(ix(0)) });
    assert_eq!((b.state(0), b.run.step(ix(0)).attempt), (StepState::Ready, Attempt(2)));
    assert!(b.timers.is_empty());
}

#[test]
fn an_early_timer_is_set_again() {
    let mut spec = step("a", &[], Effect::Read);
    spec.retry = Retry { max_attempts: 2, jitter: false, ..Retry::default() };
    let mut b = Bench::start(graph(vec![spec]));
    b.dispatch_ready();
    b.finish(ix(0), transient());
    let wake = b.timers.remove(&Some(ix(0))).unwrap();
    b.own(CommandBody::TimerDue { step: Some(ix(0)) });
    assert_eq!((b.state(0), b.timers[&Some(ix(0))]), (StepState::BackingOff, wake));
}

#[test]
fn not_on_names_codes_and_reasons() {
    let mut spec = step("a", &[], Effect::Read);
    spec.retry = Retry { max_attempts: 9, not_on: vec!["quota".into()], ..Retry::default() };
    let mut b = Bench::start(graph(vec![spec]));
    b.dispatch_ready();
    let quota = Failure { reason: Some("quota".into()), ..Failure::transient(ErrorCode::ToolFailed, "x") };
    b.finish(ix(0), Outcome::Failed(quota));
    assert_eq!(b.run.row.state, RunState::Failed);
    assert_eq!(b.run.row.error.as_ref().map(|e| e.code), Some(ErrorCode::StepFailed));
}

#[test]
fn a_failed_need_skips_unless_always_or_forgiven() {
    let mut forgiving = step("a", &[], Effect::Read);
    forgiving.continue_on_error = true;
    let mut always = step("d", &[1], Effect::Read);
    always.always = true;
    let steps = vec![forgiving, step("b", &[0], Effect::Read), step("c", &[1], Effect::Read), always];
    let mut b = Bench::start(graph(steps));
    b.dispatch_ready();
    b.finish(ix(0), fatal());
    b.dispatch_ready();
    b.finish(ix(1), fatal());
    assert_eq!(b.state(2), StepState::Skipped);
    b.dispatch_ready();
    b.finish(ix(3), done());
    assert_eq!(b.run.row.state, RunState::Failed);
    assert_eq!(b.run.row.error.as_ref().and_then(|e| e.step.clone()), Some(StepPath::new("b").unwrap()));
}

#[test]
fn deny_never_reaches_a_queue_and_the_run_fails_as_denied() {
    let mut b = Bench::start(graph(vec![step("a", &[], Effect::Read), step("b", &[0], Effect::Read)]));
    b.judge(ix(0), Verdict::Deny);
    assert_eq!((b.state(0), b.state(1)), (StepState::Denied, StepState::Skipped));
    assert_eq!(b.run.row.error.as_ref().map(|e| e.code), Some(ErrorCode::Denied));
    assert!(!b.kinds().contains(&"step_dispatched"));
}

#[test]
fn cancel_burns_stops_and_waits_for_reports() {
    let steps = vec![step("a", &[], Effect::Read), step("b", &[], Effect::Once), step("c", &[0, 1], Effect::Read)];
    let mut b = Bench::start(graph(steps));
    b.dispatch_ready();
    b.claim(ix(1));
    b.outside(CommandBody::Cancel { reason: String::new() });
    assert_eq!(b.burned, [(ix(0), DispatchNo(1))]);
    assert_eq!(b.stopped, [(ix(1), DispatchNo(1))]);
    assert_eq!(b.state(2), StepState::Cancelled);
    b.own(CommandBody::Burned { step: ix(0), dispatch: DispatchNo(1), won: true });
    assert_eq!(b.run.row.state, RunState::Cancelling);
    b.now = b.timers[&Some(ix(1))];
    b.own(CommandBody::TimerDue { step: Some(ix(1)) });
    assert_eq!((b.state(1), b.run.row.state), (StepState::Unknown, RunState::Cancelled));
    b.outside(CommandBody::Cancel { reason: String::new() });
    assert_eq!(b.kinds().last(), Some(&"command_refused"));
}

#[test]
fn a_lost_burn_waits_for_the_one_who_claimed() {
    let mut b = Bench::start(graph(vec![step("a", &[], Effect::Once)]));
    b.dispatch_ready();
    b.outside(CommandBody::Cancel { reason: String::new() });
    b.own(CommandBody::Burned { step: ix(0), dispatch: DispatchNo(1), won: false });
    assert_eq!(b.stopped, [(ix(0), DispatchNo(1))]);
    b.finish(ix(0), done());
    assert_eq!((b.state(0), b.run.row.state), (StepState::Done, RunState::Cancelled));
}

#[test]
fn retry_reopens_what_failed_and_all_downstream_in_a_new_generation() {
    let steps = vec![step("a", &[], Effect::Read), step("b", &[0], Effect::Read), step("c", &[1], Effect::Read)];
    let mut b = Bench::start(graph(steps));
    b.dispatch_ready();
    b.finish(ix(0), done());
    b.dispatch_ready();
    b.finish(ix(1), fatal());
    assert_eq!(b.run.row.state, RunState::Failed);
    b.outside(CommandBody::Retry(RetryScope::Failed));
    assert_eq!((b.run.row.state, b.run.row.error.clone()), (RunState::Running, None));
    assert_eq!((b.state(0), b.state(1), b.state(2)), (StepState::Done, StepState::Ready, StepState::Pending));
    assert_eq!(b.run.step(ix(1)).generation, Generation(2));
    b.dispatch_ready();
    assert_eq!(b.run.step(ix(1)).dispatch, DispatchNo(2));
    b.finish(ix(1), done());
    b.dispatch_ready();
    b.finish(ix(2), done());
    assert_eq!(b.run.row.state, RunState::Done);
}

#[test]
fn a_change_made_on_an_old_head_is_made_again() {
    let steps = vec![
        step("w", &[], Effect::Idempotent),
        step("a", &[0], Effect::Idempotent),
        step("b", &[0], Effect::Idempotent),
    ];
    let mut b = Bench::start(graph(steps));
    b.dispatch_ready();
    b.finish(ix(0), changed("", "c0"));
    b.dispatch_ready();
    b.finish(ix(1), changed("c0", "c1"));
    b.finish(ix(2), changed("c0", "c2"));
    assert_eq!((b.run.row.head.as_deref(), b.state(2)), (Some("c1"), StepState::Ready));
    b.dispatch_ready();
    b.finish(ix(2), changed("c1", "c2"));
    assert_eq!((b.run.row.head.as_deref(), b.run.row.state), (Some("c2"), RunState::Done));
}

#[test]
fn a_queue_timeout_ends_a_ready_step_and_burns_a_dispatched_one() {
    let mut spec = step("a", &[], Effect::Read);
    spec.timeouts.queue_ms = Some(500);
    for dispatched in [false, true] {
        let mut b = Bench::start(graph(vec![spec.clone()]));
        if dispatched {
            b.dispatch_ready();
        }
        b.now = b.timers[&Some(ix(0))];
        b.own(CommandBody::TimerDue { step: Some(ix(0)) });
        if dispatched {
            assert_eq!(b.burned.len(), 1);
            b.own(CommandBody::Burned { step: ix(0), dispatch: DispatchNo(1), won: true });
        }
        assert_eq!(b.run.row.error.as_ref().map(|e| e.code), Some(ErrorCode::TimeoutQueue));
    }
}

#[test]
fn the_backstop_ends_a_running_step_whose_consumer_did_not() {
    let mut spec = step("a", &[], Effect::Read);
    spec.timeouts.run_ms = 1_000;
    let mut b = Bench::start(graph(vec![spec]));
    b.dispatch_ready();
    b.claim(ix(0));
    b.now = Timestamp(b.now.0 + 1_000 + 9_999);
    b.own(CommandBody::TimerDue { step: Some(ix(0)) });
    assert_eq!(b.state(0), StepState::Running);
    b.now = Timestamp(b.now.0 + 1);
    b.own(CommandBody::TimerDue { step: Some(ix(0)) });
    assert_eq!(b.run.row.error.as_ref().map(|e| e.code), Some(ErrorCode::TimeoutRun));
}

#[test]
fn large_work_goes_by_chunks_and_can_be_taken_up_by_another_owner() {
    let n = 2_500;
    let steps = (0..n).map(|i| step(&format!("s{i}"), &[], Effect::Read)).collect();
    let mut b = Bench::start(graph(steps));
    assert_eq!(b.ready.len(), 1_000);
    let rows: Vec<StepRow> = b.run.steps.iter().map(|s| s.row.clone()).collect();
    b.run = aidt_engine::Run::load(b.run.graph.clone(), b.run.row.clone(), rows).unwrap();
    while b.timers.contains_key(&None) {
        b.own(CommandBody::TimerDue { step: None });
    }
    assert_eq!(b.ready.len(), n);
    b.outside(CommandBody::Cancel { reason: String::new() });
    assert_eq!(b.run.row.state, RunState::Cancelling);
    while b.timers.contains_key(&None) {
        b.own(CommandBody::TimerDue { step: None });
    }
    assert_eq!(b.run.row.state, RunState::Cancelled);
    assert!(b.run.is_consistent());
}

#[test]
fn a_poisoned_run_ends() {
    let mut b = Bench::start(graph(vec![step("a", &[], Effect::Read), step("b", &[0], Effect::Read)]));
    b.dispatch_ready();
    b.own(CommandBody::Poisoned(Failure::fatal(ErrorCode::Internal, "boom")));
    assert_eq!(b.run.row.state, RunState::Failed);
    b.finish(ix(0), done());
    assert_eq!(b.state(0), StepState::Cancelled);
}

#[test]
fn the_workspace_can_be_prepared_anew() {
    let steps = vec![step("w", &[], Effect::Idempotent), step("a", &[0], Effect::Idempotent)];
    let mut b = Bench::start(graph(steps));
    b.dispatch_ready();
    b.finish(ix(0), changed("", "c0"));
    b.dispatch_ready();
    b.finish(ix(1), changed("c0", "c1"));
    b.outside(CommandBody::Retry(RetryScope::From(StepPath::new("w").unwrap())));
    b.dispatch_ready();
    b.finish(ix(0), changed("", "c0"));
    assert_eq!((b.state(0), b.run.row.head.as_deref()), (StepState::Done, Some("c0")));
}

#[test]
fn a_part_of_a_cancelled_run_does_not_make_it_done() {
    let mut b = Bench::start(graph(vec![step("a", &[], Effect::Read), step("b", &[], Effect::Read)]));
    b.outside(CommandBody::Cancel { reason: String::new() });
    assert_eq!(b.run.row.state, RunState::Cancelled);
    b.ready.clear();
    b.outside(CommandBody::Retry(RetryScope::From(StepPath::new("a").unwrap())));
    b.dispatch_ready();
    b.finish(ix(0), done());
    assert_eq!((b.state(1), b.run.row.state), (StepState::Cancelled, RunState::Failed));
}

#[test]
fn a_deferred_step_goes_on_waiting_for_its_worker() {
    let mut spec = step("a", &[], Effect::Read);
    spec.timeouts.queue_ms = Some(1_500);
    let mut b = Bench::start(graph(vec![spec]));
    b.dispatch_ready();
    b.finish(ix(0), Outcome::Deferred(Timestamp(b.now.0 + 1_000)));
    b.now = b.timers[&Some(ix(0))];
    b.own(CommandBody::TimerDue { step: Some(ix(0)) });
    b.dispatch_ready();
    b.finish(ix(0), Outcome::Deferred(Timestamp(b.now.0 + 1_000)));
    b.now = b.timers[&Some(ix(0))];
    assert_eq!(b.now, Timestamp(2_500));
    b.own(CommandBody::TimerDue { step: Some(ix(0)) });
    assert_eq!(b.run.row.error.as_ref().map(|e| e.code), Some(ErrorCode::TimeoutQueue));
}

#[test]
fn only_its_own_grace_ends_a_call_that_is_being_cancelled() {
    let mut b = Bench::start(graph(vec![step("a", &[], Effect::Once)]));
    b.dispatch_ready();
    b.claim(ix(0));
    b.outside(CommandBody::Cancel { reason: String::new() });
    b.own(CommandBody::TimerDue { step: Some(ix(0)) });
    assert_eq!(b.state(0), StepState::Running);
}
