//! Laws over random plans and random histories.

#![expect(clippy::unwrap_used, reason = "tests")]

mod support;

use aidt_domain::*;
use proptest::prelude::*;
use support::*;

#[derive(Clone, Debug)]
enum Act {
    Dispatch,
    Deny,
    Finish(u8, u8),
    Stale(u8),
    Claim(u8),
    Dead(u8),
    Burned(u8, bool),
    Timer(u8),
    Cancel,
    Retry,
    RetryFrom(u8),
    Resolve(u8, u8),
    Reload,
}

fn acts() -> impl Strategy<Value = Act> {
    prop_oneof![
        8 => Just(Act::Dispatch),
        1 => Just(Act::Deny),
        8 => any::<(u8, u8)>().prop_map(|(a, b)| Act::Finish(a, b)),
        1 => any::<u8>().prop_map(Act::Stale),
        3 => any::<u8>().prop_map(Act::Claim),
        1 => any::<u8>().prop_map(Act::Dead),
        1 => any::<(u8, bool)>().prop_map(|(a, b)| Act::Burned(a, b)),
        3 => any::<u8>().prop_map(Act::Timer),
        1 => Just(Act::Cancel),
        1 => Just(Act::Retry),
        1 => any::<u8>().prop_map(Act::RetryFrom),
        1 => any::<(u8, u8)>().prop_map(|(a, b)| Act::Resolve(a, b)),
        2 => Just(Act::Reload),
    ]
}

fn plans() -> impl Strategy<Value = Vec<StepSpec>> {
    let one = (any::<u64>(), 0_u8..3, any::<bool>(), any::<bool>(), 1_u32..4, any::<bool>());
    prop::collection::vec(one, 1..12).prop_map(|seeds| {
        let specs = seeds.into_iter().enumerate().map(|(i, (mask, effect, forgiving, always, attempts, queue))| {
            let needs: Vec<u32> = (0..i as u32).filter(|n| mask >> n & 3 == 3).collect();
            let effect = [Effect::Read, Effect::Idempotent, Effect::Once][effect as usize];
            let mut spec = step(&format!("s{i}"), &needs, effect);
            spec.continue_on_error = forgiving;
            spec.always = always;
            spec.retry.max_attempts = attempts;
            spec.timeouts.queue_ms = queue.then_some(5_000);
            spec
        });
        specs.collect()
    })
}

fn act(b: &mut Bench, act: Act) {
    let n = b.run.steps.len();
    let pick = |k: u8| StepIx(u32::from(k) % n as u32);
    b.now = Timestamp(b.now.0 + 700);
    match act {
        Act::Dispatch => b.dispatch_ready(),
        Act::Deny => {
            if let Some(ix) = b.ready.pop() {
                b.judge(ix, Verdict::Deny);
            }
        }
        Act::Finish(k, how) => b.finish(pick(k), outcome(how)),
        Act::Stale(k) => b.finish_dispatch(pick(k), DispatchNo(0), done()),
        Act::Claim(k) => b.claim(pick(k)),
        Act::Dead(k) => {
            let dispatch = b.run.step(pick(k)).dispatch;
            b.own(CommandBody::ProcessDead { step: pick(k), dispatch });
        }
        Act::Burned(k, won) => {
            let dispatch = b.run.step(pick(k)).dispatch;
            b.own(CommandBody::Burned { step: pick(k), dispatch, won });
        }
        Act::Timer(k) => b.own(CommandBody::TimerDue { step: Some(pick(k)) }),
        Act::Cancel => b.outside(CommandBody::Cancel { reason: "x".into() }),
        Act::Retry => b.outside(CommandBody::Retry(RetryScope::Failed)),
        Act::RetryFrom(k) => {
            let path = b.run.step(pick(k)).path.clone();
            b.outside(CommandBody::Retry(RetryScope::From(path)));
        }
        Act::Resolve(k, how) => {
            let step = b.run.step(pick(k)).path.clone();
            let resolve = match how % 3 {
                0 => ResolveAs::Done(serde_json::json!(1)),
                1 => ResolveAs::Failed("x".into()),
                _ => ResolveAs::Retry,
            };
            b.outside(CommandBody::Resolve { step, resolve });
        }
        Act::Reload => {
            let rows = b
                .run
                .steps
                .iter()
                .map(|s| s.row.clone())
                .filter(|r| r.state != StepState::Pending || r.generation.0 > 1);
            let rows: Vec<_> = rows.collect();
            b.run = aidt_engine::Run::load(b.run.graph.clone(), b.run.row.clone(), rows).unwrap();
        }
    }
}

fn outcome(how: u8) -> Outcome {
    let failure = |effect| Failure { effect, ..Failure::transient(ErrorCode::ToolFailed, "x") };
    match how % 9 {
        0..=3 => done(),
        4 => transient(),
        5 => fatal(),
        6 => Outcome::Released,
        7 => Outcome::Cancelled(failure(EffectHint::Maybe)),
        _ => Outcome::Failed(failure(EffectHint::None)),
    }
}

/// Answers everything that is open until nothing is: what live owners and workers do.
fn drive_to_end(b: &mut Bench) {
    for _ in 0..500 {
        if b.run.row.state.is_terminal() {
            return;
        }
        b.now = Timestamp(b.now.0 + 100_000);
        b.ready = b.run.steps.iter().filter(|s| s.row.state == StepState::Ready).map(|s| s.row.ix).collect();
        b.dispatch_ready();
        for i in 0..b.run.steps.len() {
            let ix = StepIx(i as u32);
            match b.run.state(ix) {
                s if s.is_out() => b.finish(ix, done()),
                StepState::BackingOff => b.own(CommandBody::TimerDue { step: Some(ix) }),
                StepState::Unknown => {
                    let step = b.run.step(ix).path.clone();
                    b.outside(CommandBody::Resolve { step, resolve: ResolveAs::Failed("gone".into()) });
                }
                _ => {}
            }
        }
        b.own(CommandBody::TimerDue { step: None });
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn every_history_is_consistent_gapless_and_ends(plan in plans(), history in prop::collection::vec(acts(), 0..60)) {
        let mut b = Bench::start(graph(plan));
        for a in history {
            act(&mut b, a.clone());
            prop_assert!(b.run.is_consistent(), "after {a:?}: {:?}", b.run);
        }
        drive_to_end(&mut b);
        prop_assert!(b.run.row.state.is_terminal(), "{:?}", b.run);
        let seqs: Vec<u64> = b.events.iter().map(|e| e.seq.0).collect();
        prop_assert_eq!(seqs, (1..=b.events.len() as u64).collect::<Vec<_>>());
    }

    #[test]
    fn no_dispatch_is_recorded_twice(plan in plans(), history in prop::collection::vec(acts(), 0..60)) {
        let mut b = Bench::start(graph(plan));
        history.into_iter().for_each(|a| act(&mut b, a));
        let mut seen = std::collections::BTreeSet::new();
        for e in b.events.iter().filter(|e| matches!(e.body, EventBody::StepFinished { .. })) {
            prop_assert!(seen.insert((e.step.clone(), e.dispatch)), "{e:?}");
        }
    }

    #[test]
    fn a_command_visits_what_it_unblocks(plan in plans()) {
        let mut b = Bench::start(graph(plan));
        loop {
            b.dispatch_ready();
            let Some(ix) = b.run.steps.iter().find(|s| s.row.state.is_out()).map(|s| s.row.ix) else { break };
            b.visited = 0;
            b.finish(ix, done());
            let bound = 4 * (b.run.graph.dependents(ix).len() + 1);
            prop_assert!(b.visited <= bound, "{} steps visited, {bound} allowed", b.visited);
        }
    }
}
