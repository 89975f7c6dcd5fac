//! What the loop does not promise, and what would be needed for it; and a rule that is a second lock.

use crate::scenarios::{ANY_ONE, NONE, QUIET};
use crate::support::{refute, walk};
use aidt_model::named::{ENDS_PROMPTLY, NO_BLAME};
use aidt_model::{Bounds, Effect, Faults, Loop, Rules};

/// A wipe, after a message came twice and so was claimed.
const WIPED: Bounds = Bounds { faults: Faults { total: 2, wipe: 1, duplicate: 1, ..NONE }, symmetric: false, ..QUIET };

/// How many actions it takes until a run waits long, and until it fails, because the broker lost the
/// result of a claimed step.
pub(crate) fn lost_result() -> [usize; 2] {
    let model = Loop { rules: Rules::ALL, bounds: WIPED, strict: true };
    [ENDS_PROMPTLY, NO_BLAME].map(|property| refute("a wiped result of a claimed step", &model, property))
}

/// The owner publishes again only what is unclaimed: a wiped result of a claimed step comes back only by
/// the backstop of its run time, and then as a failure.
#[test]
fn a_wiped_result_of_a_claimed_step_fails_its_run() {
    lost_result();
}

#[test]
fn results_that_are_kept_until_recorded_survive_a_wipe() {
    let rules = Rules { results_kept: true, ..Rules::ALL };
    walk("results are kept", Loop { rules, bounds: Bounds { symmetric: true, ..WIPED }, strict: true });
    let faults = Faults { total: 2, wipe: 1, consumer_crash: 1, owner_crash: 1, ..NONE };
    let bounds = Bounds { effects: &[Effect::Once], faults, ..QUIET };
    walk("results of once steps are kept", Loop { rules, bounds, strict: true });
}

#[test]
fn comparing_events_is_a_second_lock_behind_the_epoch() {
    let rules = Rules { run_stands_where_believed: false, ..Rules::ALL };
    let bounds = Bounds { cancels: 1, faults: ANY_ONE, ..QUIET };
    walk("no run's last event is compared", Loop { rules, bounds, strict: false });
}
