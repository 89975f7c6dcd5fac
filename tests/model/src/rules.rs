//! The rules of the loop, each of which can be taken away.

/// What an owner makes of a commit of which it does not know whether it happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ambiguous {
    /// It forgets everything and takes the partition again: what the loop does.
    TakenAgain,
    /// It reads back, under the same epoch, whether the commit is there; if not, it applies again.
    ReadBack,
    /// It goes on as if nothing had happened.
    TakenAsFailed,
    /// It goes on as if it were committed.
    TakenAsDone,
}

/// When the row of an applied command leaves the inbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InboxRow {
    /// In the transaction that applies the command: what the loop does.
    WithCommit,
    /// When it is read.
    BeforeCommit,
    /// In a transaction of its own, later.
    AfterCommit,
}

/// The rules. [`Rules::ALL`] is the loop as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rules {
    /// Nothing is written for a partition whose epoch is another.
    pub epoch_fence: bool,
    /// Nothing is written when a run does not stand at the event that its batch begins after.
    pub run_stands_where_believed: bool,
    /// What an owner knows is loaded after it raised the epoch.
    pub load_after_taking: bool,
    /// A result applies only with the step's current dispatch number.
    pub dispatch_check: bool,
    /// A `once` effect is started only with a claim.
    pub claim_before_once: bool,
    /// Whoever inserts the claim first has it.
    pub claim_unique: bool,
    /// A process asks for a dispatch only once.
    pub asked_once: bool,
    /// A burn and a claim of one dispatch exclude each other.
    pub burn_excludes_claim: bool,
    /// A `once` step whose process died is unknown, not dispatched again.
    pub lost_once_is_unknown: bool,
    /// What a dead process had claimed is settled.
    pub dead_are_settled: bool,
    /// A new owner publishes what is above `published`.
    pub publishing_is_owed: bool,
    /// Steps are published after the commit that dispatches them.
    pub publish_after_commit: bool,
    /// An owner looks whether it still has the partition also when no other owner is left.
    pub loss_is_noticed_alone: bool,
    /// Results are acked after the commit that records them.
    pub ack_after_commit: bool,
    /// When the row of a command leaves the inbox.
    pub inbox_row: InboxRow,
    /// A new incarnation of the broker makes the owner publish again.
    pub wipe_is_noticed: bool,
    /// A step that nobody claims is published again.
    pub unclaimed_again: bool,
    /// What becomes of an ambiguous commit.
    pub ambiguous: Ambiguous,
    /// Not in the loop today: a step consumer keeps the result of a claimed step until it is recorded, and
    /// publishes it again when the broker's incarnation changed.
    pub results_kept: bool,
}

impl Rules {
    /// The loop as it is.
    pub const ALL: Self = Self {
        epoch_fence: true,
        run_stands_where_believed: true,
        load_after_taking: true,
        dispatch_check: true,
        claim_before_once: true,
        claim_unique: true,
        asked_once: true,
        burn_excludes_claim: true,
        lost_once_is_unknown: true,
        dead_are_settled: true,
        publishing_is_owed: true,
        publish_after_commit: true,
        loss_is_noticed_alone: true,
        ack_after_commit: true,
        inbox_row: InboxRow::WithCommit,
        wipe_is_noticed: true,
        unclaimed_again: true,
        ambiguous: Ambiguous::TakenAgain,
        results_kept: false,
    };
}
