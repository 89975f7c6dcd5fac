//! How much happens: runs, steps, what people ask for, and how many faults of which kind.

/// What a step's effect is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// May be repeated under its key.
    Idempotent,
    /// Must not be started twice.
    Once,
}

/// Faults that may still happen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Faults {
    /// Of any kind.
    pub total: u8,
    /// An owner takes a partition that another holds (a lease lost, a frozen owner).
    pub takeover: u8,
    /// An owner's process dies.
    pub owner_crash: u8,
    /// A step consumer's process dies.
    pub consumer_crash: u8,
    /// A step consumer that lives (frozen, cut off) is taken for dead.
    pub false_death: u8,
    /// The broker delivers a message twice.
    pub duplicate: u8,
    /// The broker loses one message, and says nothing.
    pub loss: u8,
    /// The broker loses everything, and has a new incarnation.
    pub wipe: u8,
    /// Nobody says whether a commit happened; it happened, did not, or happens later.
    pub unknown_commit: u8,
    /// Steps are published, but not confirmed.
    pub unconfirmed: u8,
    /// A process hands back a call (a drain).
    pub release: u8,
}

/// The bounds of a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Runs that may be submitted, 1 or 2.
    pub runs: u8,
    /// The effect of each step of a run, 1 or 2, one after another.
    pub effects: &'static [Effect],
    /// Step consumers that work, 1 or 2.
    pub consumers: u8,
    /// How many of the runs may be cancelled.
    pub cancels: u8,
    /// How many times a person may retry an unknown step.
    pub retries: u8,
    /// Faults.
    pub faults: Faults,
    /// States that differ only by which process is called which are one. Shorter checks; paths in which
    /// processes may change their names.
    pub symmetric: bool,
}
