//! All rules: every state within bounds keeps every property.

use crate::support::{Kept, Walked, walk};
use aidt_model::{Bounds, Effect, Faults, Loop, Rules};

/// One fault of any kind, at any moment.
pub(crate) const ANY_ONE: Faults = Faults {
    total: 1,
    takeover: 1,
    owner_crash: 1,
    consumer_crash: 1,
    false_death: 1,
    duplicate: 1,
    loss: 1,
    wipe: 1,
    unknown_commit: 1,
    unconfirmed: 1,
    release: 1,
};
/// None.
pub(crate) const NONE: Faults = Faults {
    total: 0,
    takeover: 0,
    owner_crash: 0,
    consumer_crash: 0,
    false_death: 0,
    duplicate: 0,
    loss: 0,
    wipe: 0,
    unknown_commit: 0,
    unconfirmed: 0,
    release: 0,
};
/// One run of one step, and nothing happens to it.
pub(crate) const QUIET: Bounds = Bounds {
    runs: 1,
    effects: &[Effect::Idempotent],
    consumers: 2,
    cancels: 0,
    retries: 0,
    faults: NONE,
    symmetric: true,
};

/// A check of all states within bounds.
pub(crate) struct Scenario {
    pub(crate) name: &'static str,
    pub(crate) bounds: Bounds,
    pub(crate) walked: Kept<Walked>,
}

const fn scenario(name: &'static str, bounds: Bounds) -> Scenario {
    Scenario { name, bounds, walked: Kept::new() }
}

/// What plain tests check.
pub(crate) static SCENARIOS: [Scenario; 7] = [
    scenario("an idempotent step, a cancel, any one fault", Bounds { cancels: 1, faults: ANY_ONE, ..QUIET }),
    scenario(
        "a once step, a cancel, a retry, any one fault",
        Bounds { effects: &[Effect::Once], cancels: 1, retries: 1, faults: ANY_ONE, ..QUIET },
    ),
    scenario(
        "a once step, then an idempotent one, any one fault",
        Bounds { effects: &[Effect::Once, Effect::Idempotent], faults: ANY_ONE, ..QUIET },
    ),
    scenario(
        "a once step, two of: step consumers die, are taken for dead, messages come twice",
        Bounds {
            effects: &[Effect::Once],
            retries: 1,
            faults: Faults { total: 2, consumer_crash: 2, false_death: 1, duplicate: 2, ..NONE },
            ..QUIET
        },
    ),
    scenario(
        "an idempotent step, one step consumer, two of: owners die, are replaced, commits are ambiguous",
        Bounds {
            consumers: 1,
            faults: Faults { total: 2, takeover: 2, owner_crash: 2, unknown_commit: 1, ..NONE },
            ..QUIET
        },
    ),
    scenario(
        "an idempotent step, two of: the broker is wiped, an owner dies, a publish is not confirmed",
        Bounds { faults: Faults { total: 2, wipe: 2, owner_crash: 1, unconfirmed: 1, ..NONE }, ..QUIET },
    ),
    scenario(
        "two runs of a once step, one step consumer, an owner dies or is replaced",
        Bounds {
            runs: 2,
            effects: &[Effect::Once],
            consumers: 1,
            faults: Faults { total: 1, takeover: 1, owner_crash: 1, ..NONE },
            ..QUIET
        },
    ),
];

fn check(scenario: &Scenario) -> Walked {
    let model = Loop { rules: Rules::ALL, bounds: scenario.bounds, strict: false };
    *scenario.walked.get_or_init(|| walk(scenario.name, model))
}

/// Checks a scenario, once.
pub(crate) fn walked(index: usize) -> (&'static str, Walked) {
    (SCENARIOS[index].name, check(&SCENARIOS[index]))
}

macro_rules! holds {
    ($($test:ident $index:literal)*) => {
        $(#[test] fn $test() { walked($index); })*
        #[test]
        fn every_scenario_is_checked() {
            assert_eq!([$($index),*].len(), SCENARIOS.len());
        }
    };
}

holds! {
    all_rules_hold_for_an_idempotent_step_with_any_one_fault 0
    all_rules_hold_for_a_once_step_with_any_one_fault 1
    all_rules_hold_for_two_steps_with_any_one_fault 2
    all_rules_hold_when_step_consumers_fail_twice 3
    all_rules_hold_when_owners_fail_twice 4
    all_rules_hold_when_the_broker_fails_twice 5
    all_rules_hold_for_two_runs 6
}

/// For a long run: `AIDT_MODEL_BOUND=n` allows n faults of any kind, of a kind at most twice.
#[test]
fn all_rules_hold_within_the_bound_that_is_asked_for() {
    let Ok(bound) = std::env::var("AIDT_MODEL_BOUND") else {
        // Nobody asked: the least bound, at which nothing goes wrong and nothing is excused.
        walk("no fault", Loop { rules: Rules::ALL, bounds: QUIET, strict: true });
        return;
    };
    let total: u8 = bound.parse().expect("AIDT_MODEL_BOUND: a number of faults, e.g. 2");
    let each = total.min(2);
    let faults = Faults {
        total,
        takeover: each,
        owner_crash: each,
        consumer_crash: each,
        false_death: each,
        duplicate: each,
        loss: each,
        wipe: each,
        unknown_commit: each,
        unconfirmed: each,
        release: each,
    };
    for effects in [&[Effect::Once][..], &[Effect::Idempotent][..]] {
        let bounds = Bounds { effects, cancels: 1, retries: 1, faults, ..QUIET };
        let name = format!("{effects:?}, a cancel, a retry, any {total} faults");
        walk(&name, Loop { rules: Rules::ALL, bounds, strict: false });
    }
}
