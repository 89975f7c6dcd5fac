//! One rule less: some property is refuted.

use crate::scenarios::{NONE, QUIET};
use crate::support::{Kept, refute};
use aidt_model::named::*;
use aidt_model::{Ambiguous, Bounds, Effect, Faults, InboxRow, Loop, Rules};

/// A rule that is taken away, and what then breaks.
pub(crate) struct Removal {
    /// What is done instead.
    pub(crate) instead: &'static str,
    pub(crate) rules: Rules,
    pub(crate) bounds: Bounds,
    /// What is refuted, and how many actions the shortest way takes.
    pub(crate) refuted: &'static [&'static str],
    pub(crate) found: Kept<Vec<usize>>,
}

const fn removal(instead: &'static str, rules: Rules, bounds: Bounds, refuted: &'static [&'static str]) -> Removal {
    Removal { instead, rules, bounds, refuted, found: Kept::new() }
}

const PLAIN: Bounds = Bounds { symmetric: false, ..QUIET };
const ONCE: Bounds = Bounds { effects: &[Effect::Once], ..PLAIN };
const TAKEN_THEN_CRASH: Faults = Faults { total: 2, takeover: 1, owner_crash: 1, ..NONE };
const OWNER_CRASH: Faults = Faults { total: 1, owner_crash: 1, ..NONE };
const TWICE: Faults = Faults { total: 1, duplicate: 1, ..NONE };
const UNHEARD: Faults = Faults { total: 1, unknown_commit: 1, ..NONE };
const CONSUMER_CRASH: Faults = Faults { total: 1, consumer_crash: 1, ..NONE };

/// Every rule.
pub(crate) static REMOVALS: [Removal; 22] = [
    removal(
        "commits have no fence of the epoch",
        Rules { epoch_fence: false, ..Rules::ALL },
        Bounds { runs: 2, faults: TAKEN_THEN_CRASH, ..PLAIN },
        &[ONE_WRITER, ENDS_PROMPTLY],
    ),
    removal(
        "neither the epoch nor a run's last event is compared",
        Rules { epoch_fence: false, run_stands_where_believed: false, ..Rules::ALL },
        Bounds { faults: Faults { total: 1, takeover: 1, ..NONE }, ..PLAIN },
        &[ONE_WRITER, GAPLESS, APPLIED_ONCE],
    ),
    removal(
        "an owner loads before it takes",
        Rules { load_after_taking: false, ..Rules::ALL },
        Bounds { faults: TAKEN_THEN_CRASH, ..PLAIN },
        &[ENDS_PROMPTLY],
    ),
    removal(
        "a result of any dispatch is recorded",
        Rules { dispatch_check: false, ..Rules::ALL },
        Bounds { faults: Faults { total: 1, false_death: 1, ..NONE }, ..PLAIN },
        &[CURRENT_ONLY],
    ),
    removal(
        "a `once` effect is started without a claim",
        Rules { claim_before_once: false, ..Rules::ALL },
        Bounds { faults: TWICE, ..ONCE },
        &[AT_MOST_ONCE],
    ),
    removal(
        "the last to insert a claim has it",
        Rules { claim_unique: false, ..Rules::ALL },
        Bounds { faults: TWICE, ..ONCE },
        &[AT_MOST_ONCE],
    ),
    removal(
        "a process asks again for what it has run",
        Rules { asked_once: false, ..Rules::ALL },
        Bounds { faults: TWICE, ..ONCE },
        &[AT_MOST_ONCE],
    ),
    removal(
        "a burn does not mind a claim, nor a claim a burn",
        Rules { burn_excludes_claim: false, ..Rules::ALL },
        Bounds { cancels: 1, ..ONCE },
        &[UNKNOWN],
    ),
    removal(
        "a `once` step of a dead process is dispatched again",
        Rules { lost_once_is_unknown: false, ..Rules::ALL },
        Bounds { faults: CONSUMER_CRASH, ..ONCE },
        &[AT_MOST_ONCE, UNKNOWN],
    ),
    removal(
        "claims of dead processes are left alone",
        Rules { dead_are_settled: false, ..Rules::ALL },
        Bounds { faults: CONSUMER_CRASH, ..ONCE },
        &[ENDS_PROMPTLY],
    ),
    removal(
        "publishing is owed by memory only",
        Rules { publishing_is_owed: false, ..Rules::ALL },
        Bounds { faults: OWNER_CRASH, ..PLAIN },
        &[ENDS_PROMPTLY],
    ),
    removal(
        "steps are published before the commit",
        Rules { publish_after_commit: false, ..Rules::ALL },
        PLAIN,
        &[DURABLE_FIRST],
    ),
    removal(
        "an owner that is the last does not look whether it lost the partition",
        Rules { loss_is_noticed_alone: false, ..Rules::ALL },
        Bounds { faults: TAKEN_THEN_CRASH, ..PLAIN },
        &[ENDS_PROMPTLY],
    ),
    removal(
        "results are acked before the commit",
        Rules { ack_after_commit: false, ..Rules::ALL },
        Bounds { faults: OWNER_CRASH, ..PLAIN },
        &[ACK_LAST, ENDS_PROMPTLY],
    ),
    removal(
        "an inbox row is deleted when it is read",
        Rules { inbox_row: InboxRow::BeforeCommit, ..Rules::ALL },
        Bounds { faults: OWNER_CRASH, ..PLAIN },
        &[NOT_LOST, ENDS],
    ),
    removal(
        "an inbox row is deleted after the commit",
        Rules { inbox_row: InboxRow::AfterCommit, ..Rules::ALL },
        Bounds { faults: OWNER_CRASH, ..PLAIN },
        &[APPLIED_ONCE],
    ),
    removal(
        "nobody compares the broker's incarnation",
        Rules { wipe_is_noticed: false, ..Rules::ALL },
        Bounds { faults: Faults { total: 1, wipe: 1, ..NONE }, ..PLAIN },
        &[ENDS_PROMPTLY],
    ),
    removal(
        "what nobody claims is not published again",
        Rules { unclaimed_again: false, ..Rules::ALL },
        Bounds { faults: Faults { total: 1, loss: 1, ..NONE }, ..PLAIN },
        &[ENDS],
    ),
    removal(
        "an ambiguous commit is taken as failed",
        Rules { ambiguous: Ambiguous::TakenAsFailed, ..Rules::ALL },
        Bounds { faults: UNHEARD, ..PLAIN },
        &[ENDS_PROMPTLY],
    ),
    removal(
        "an ambiguous commit is taken as done",
        Rules { ambiguous: Ambiguous::TakenAsDone, ..Rules::ALL },
        Bounds { faults: UNHEARD, ..PLAIN },
        &[ACK_LAST, DURABLE_FIRST],
    ),
    removal(
        "an ambiguous commit is read back under the same epoch",
        Rules { ambiguous: Ambiguous::ReadBack, ..Rules::ALL },
        Bounds { faults: UNHEARD, ..PLAIN },
        &[ENDS],
    ),
    removal(
        "an ambiguous commit is read back under the same epoch, and no run's last event is compared",
        Rules { ambiguous: Ambiguous::ReadBack, run_stands_where_believed: false, ..Rules::ALL },
        Bounds { faults: UNHEARD, ..PLAIN },
        &[APPLIED_ONCE, GAPLESS],
    ),
];

/// How many actions each refutation takes.
pub(crate) fn found(removal: &Removal) -> &[usize] {
    removal.found.get_or_init(|| {
        let model = Loop { rules: removal.rules, bounds: removal.bounds, strict: false };
        removal.refuted.iter().map(|property| refute(removal.instead, &model, property)).collect()
    })
}

macro_rules! refuted {
    ($($test:ident $index:literal)*) => {
        $(#[test] fn $test() { found(&REMOVALS[$index]); })*
        #[test]
        fn every_removal_is_checked() {
            assert_eq!([$($index),*].len(), REMOVALS.len());
        }
    };
}

refuted! {
    without_the_fence_of_the_epoch 0
    without_the_fence_and_without_comparing_events 1
    without_taking_before_loading 2
    without_the_check_of_the_dispatch 3
    without_a_claim_before_a_once_effect 4
    without_unique_claims 5
    without_asking_only_once 6
    without_burns_that_exclude_claims 7
    without_unknown_for_a_lost_once 8
    without_settling_the_dead 9
    without_publishing_owed_by_the_store 10
    without_publishing_after_the_commit 11
    without_looking_for_a_loss_when_alone 12
    without_acking_after_the_commit 13
    with_inbox_rows_deleted_when_read 14
    with_inbox_rows_deleted_after_the_commit 15
    without_noticing_a_wipe 16
    without_publishing_again_what_nobody_claims 17
    with_ambiguous_commits_taken_as_failed 18
    with_ambiguous_commits_taken_as_done 19
    with_ambiguous_commits_read_back 20
    with_ambiguous_commits_read_back_and_events_not_compared 21
}
