//! What every adapter must do, as functions that panic where it does not.
//!
//! An adapter's tests call [`crate::conformance!`] once with a function that opens an empty store of
//! [`PARTITIONS`] partitions; each case becomes a test by its own name. An adapter that keeps its data
//! also calls [`reopen::everything_is_still_there`].

// The cases are documented by their names; the assertions are the text.
#![expect(missing_docs, reason = "a case's name says what it holds the adapter to")]

pub mod build;
pub mod claims;
pub mod fence;
pub mod history;
pub mod hostile;
pub mod inbox;
pub mod journal;
pub mod open_steps;
pub mod processes;
pub mod reopen;
pub mod texts;
pub mod timers;

use crate::{Kind, Store, StoreError};
use aidt_domain::{Clock, Timestamp};
use std::any::Any;
use std::fmt::Debug;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

/// How many partitions the cases expect.
pub const PARTITIONS: u16 = 8;

/// A clock that moves only when told to; it may be set back.
#[derive(Debug)]
pub struct ManualClock(AtomicI64);

impl Default for ManualClock {
    fn default() -> Self {
        Self(AtomicI64::new(1_795_267_086_000))
    }
}

impl ManualClock {
    /// Moves on.
    pub fn advance(&self, by: Duration) {
        self.0.fetch_add(i64::try_from(by.as_millis()).expect("a test's duration"), Ordering::SeqCst);
    }

    /// Jumps, in either direction.
    pub fn set(&self, to: Timestamp) {
        self.0.store(to.0, Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        Timestamp(self.0.load(Ordering::SeqCst))
    }
}

/// A store to be tried, with the clock that it reads.
#[derive(Debug)]
pub struct Fixture {
    /// All its ports.
    pub store: Store,
    /// Its clock.
    pub clock: Arc<ManualClock>,
    /// What has to live as long, such as a temporary folder.
    pub keep: Option<Box<dyn Any + Send>>,
}

impl Fixture {
    /// A store that reads this clock.
    #[must_use]
    pub fn new(store: Store, clock: Arc<ManualClock>) -> Self {
        Self { store, clock, keep: None }
    }

    /// Keeps something alive as long as the store.
    #[must_use]
    pub fn keeping(mut self, keep: impl Any + Send) -> Self {
        self.keep = Some(Box::new(keep));
        self
    }
}

/// The value, or a panic with every cause.
#[track_caller]
pub fn ok<T>(result: Result<T, StoreError>) -> T {
    result.unwrap_or_else(|error| panic!("{error}: {:?}", error.source))
}

/// The operation must have been refused with this kind.
#[track_caller]
pub fn refused<T: Debug>(result: Result<T, StoreError>, kind: Kind) {
    let error = result.expect_err("the operation must be refused");
    assert_eq!(error.kind, kind, "{error}: {:?}", error.source);
    assert!(error.source.is_some(), "an error names its cause");
}

/// Turns every case of the suite into a test. `$open` is an `async fn() -> Fixture`.
#[macro_export]
macro_rules! conformance {
    ($open:ident) => {
        $crate::conformance! { @ $open;
            fence: take_raises_the_epoch_once_for_each_taker, a_newer_format_is_not_taken,
                a_stale_epoch_writes_nothing, one_stale_batch_leaves_the_others_alone,
                a_turn_writes_the_partition_row, a_run_must_stand_where_the_turn_believes,
                a_failed_batch_takes_the_whole_transaction_along, batches_that_can_never_be_written,
                the_clock_never_goes_back;
            inbox: a_command_is_there_once, a_command_leaves_with_the_turn_that_applied_it,
                commands_keep_their_order_in_each_partition, what_waits_for_a_run,
                an_owner_puts_commands_into_other_inboxes, an_idempotency_key_is_bound_to_its_body,
                an_idempotency_key_belongs_to_its_project, an_idempotency_key_is_forgotten_after_a_day,
                one_of_many_submissions_with_a_key_wins, documents_come_with_the_submission,
                documents_are_kept_by_content;
            claims: the_first_claim_wins, a_claim_wants_the_current_dispatch, a_burn_is_final,
                a_burn_after_a_claim_is_lost, burns_are_answered_in_order,
                a_claim_moves_nothing_else, one_of_many_claimants_wins,
                claims_are_listed_while_their_dispatch_is_open, a_stop_is_told_with_the_heartbeat;
            journal: opening_claims, entries_come_back_to_the_next_dispatch,
                entries_have_no_gap, a_frozen_predecessor_writes_nothing,
                another_process_writes_nothing, each_attempt_has_its_own;
            history: a_run_is_read_back, segments_come_in_order_and_pages, a_segment_by_any_of_its_events,
                payloads_are_slices, steps_are_counted_and_payloads_read_in_one_look, a_payload_that_is_not_there_is_corrupt, steps_are_replaced,
                steps_come_in_pages, many_runs_load_at_once, runs_come_newest_first,
                runs_are_filtered;
            open_steps: open_dispatches_are_those_out, the_backlog_comes_in_pages;
            timers: timers_come_by_due_time, a_timer_is_replaced_and_cleared, timers_belong_to_a_partition;
            processes: a_life_lives_while_it_says_so, a_closed_life_is_over, the_home_lock_closes_others,
                registering_again_changes_the_row;
            texts: log_pieces_are_there_once, logs_come_in_pages, dead_letters_are_kept_in_order,
                a_dropped_dead_letter_is_gone_and_its_id_with_it;
            hostile: payloads_of_any_bytes, strings_of_any_characters, keys_of_any_length, empty_everything,
                numbers_at_their_ends;
        }
    };
    (@ $open:ident; $($module:ident: $($case:ident),+;)+) => {
        $(mod $module {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() {
                $crate::conformance::$module::$case(super::$open().await).await;
            })+
        })+
    };
}
