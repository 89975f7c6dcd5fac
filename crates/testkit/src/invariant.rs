//! What must hold in every history, by name.

macro_rules! invariants {
    ($($(#[$doc:meta])* $variant:ident = $name:literal;)*) => {
        /// What must hold in every history.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Invariant { $($(#[$doc])* $variant,)* }

        impl Invariant {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];
            /// As printed.
            #[must_use]
            pub fn name(self) -> &'static str { match self { $(Self::$variant => $name,)* } }
        }
    };
}

invariants! {
    /// A result applies only with the step's current dispatch number, and once.
    RecordedOnce = "recorded_once";
    /// A message is acked only after what it caused is durable.
    AckLast = "ack_last";
    /// What is written was decided by the partition's owner, on what the store had.
    OneWriter = "one_writer";
    /// Every accepted command is answered, whatever became of broker and fan-out.
    StoreIsTruth = "store_is_truth";
    /// Nobody is told of an event that a crash could undo.
    NothingVisibleBeforeDurable = "nothing_visible_before_durable";
    /// A `once` effect happens at most once per generation, and is never repeated when in doubt.
    EffectsAsClassed = "effects_as_classed";
    /// No call starts without an allowing decision in its run's history.
    DecisionBeforeUse = "decision_before_use";
    /// Events are numbered from 1 without gaps, in the order of time.
    HistoryGapless = "history_gapless";
    /// Every accepted run ends, or says what it waits for.
    EveryAcceptedRunEnds = "every_accepted_run_ends";
    /// Of a cancel and a result, one wins, and history says which.
    CancelWinsOrLoses = "cancel_wins_or_loses";
    /// No recorded reply is paid for twice.
    PaidOnce = "paid_once";
    /// A process dies of nothing but its own row in the store.
    NobodyKilledByRedis = "nobody_killed_by_redis";
    /// Nothing is dated or started before its time, and a takeover resumes within its bound.
    Time = "time";
    /// The rows say what the events say.
    RowsAgreeWithHistory = "rows_agree_with_history";
    /// No part of a process panics.
    NoPanic = "no_panic";
}

impl std::fmt::Display for Invariant {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.name())
    }
}
