//! Faults of the protocol that are put into a port on purpose (protocol.md §12).

use crate::Invariant;

macro_rules! plants {
    ($($(#[$doc:meta])* $variant:ident = $name:literal breaks $invariant:ident;)*) => {
        /// A fault of the protocol. Each lives in a wrapper of a port and nowhere else.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Plant { $($(#[$doc])* $variant,)* }

        impl Plant {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];
            /// As given to `--plant`.
            #[must_use]
            pub fn name(self) -> &'static str { match self { $(Self::$variant => $name,)* } }
            /// What it must break.
            #[must_use]
            pub fn breaks(self) -> Invariant { match self { $(Self::$variant => Invariant::$invariant,)* } }
        }
    };
}

plants! {
    /// Results are acked when they are received.
    AckBeforeCommit = "ack-before-commit" breaks AckLast;
    /// A stale result arrives with the dispatch number that is current.
    NoDispatchCheck = "no-dispatch-check" breaks RecordedOnce;
    /// A transaction carries whatever epoch the partition has.
    NoEpoch = "no-epoch" breaks OneWriter;
    /// What an owner loads after taking a partition was read before it took it.
    LoadBeforeEpoch = "load-before-epoch" breaks OneWriter;
    /// A takeover is told that everything was published.
    CrashBeforePublish = "crash-before-publish" breaks Time;
    /// A commit whose answer was lost is done once more.
    AmbiguousAsFailed = "ambiguous-as-failed" breaks RecordedOnce;
    /// Subscribers are told of events before they are committed.
    VisibleBeforeCommit = "visible-before-commit" breaks NothingVisibleBeforeDurable;
    /// Every claim is won.
    DoubleOnce = "double-once" breaks EffectsAsClassed;
    /// A journal takes entries of a dispatch that is over.
    ThawedJournal = "thawed-journal" breaks PaidOnce;
    /// A flush of the fan-out makes processes take themselves for dead.
    RedisFlushKills = "redis-flush-kills" breaks NobodyKilledByRedis;
    /// Accepted cancels travel by the broker.
    WipedCommands = "wiped-commands" breaks StoreIsTruth;
    /// The timer with which large work goes on is not written.
    MovedLargeWork = "moved-large-work" breaks EveryAcceptedRunEnds;
    /// A commit that can never succeed is answered as if it could.
    PoisonBatch = "poison-batch" breaks EveryAcceptedRunEnds;
    /// Every burn is won.
    CancelRacesFinish = "cancel-races-finish" breaks CancelWinsOrLoses;
    /// The store's clock is the owner's own.
    ClockAhead = "clock-ahead" breaks Time;
}

impl std::fmt::Display for Plant {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.name())
    }
}

impl std::str::FromStr for Plant {
    type Err = String;

    fn from_str(s: &str) -> Result<Self, Self::Err> {
        let named = Self::ALL.iter().copied().find(|p| p.name() == s);
        named.ok_or_else(|| format!("no plant '{s}'; `cargo xtask sim --list-plants` lists them"))
    }
}
