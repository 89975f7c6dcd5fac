//! What the store holds.

/// The most runs.
pub const RUNS: usize = 2;
/// The most steps of a run.
pub const STEPS: usize = 2;

/// Names a dispatch of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Dispatch {
    /// Which run.
    pub run: u8,
    /// Which step of it.
    pub step: u8,
    /// The dispatch number.
    pub number: u8,
}

/// Where a step stands. `ready` is missing: with a window without bounds a ready step is dispatched in the
/// very turn.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[expect(missing_docs, reason = "the words of the design")]
pub enum StepState {
    #[default]
    Pending,
    Dispatched,
    Running,
    Unknown,
    Done,
    Cancelled,
    Failed,
}

impl StepState {
    /// Handed out and not ended.
    #[must_use]
    pub fn is_out(self) -> bool {
        matches!(self, Self::Dispatched | Self::Running)
    }
}

/// A step's row.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Step {
    /// Where it stands.
    pub state: StepState,
    /// Its current dispatch number.
    pub dispatch: u8,
    /// How many times a person wanted it anew.
    pub generation: u8,
    /// The partition's number of its last dispatch.
    pub out_seq: u8,
}

/// Where a run stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[expect(missing_docs, reason = "the words of the design")]
pub enum RunState {
    #[default]
    Absent,
    Running,
    Cancelling,
    Done,
    Cancelled,
    Failed,
}

impl RunState {
    /// It has ended.
    #[must_use]
    pub fn is_terminal(self) -> bool {
        matches!(self, Self::Done | Self::Cancelled | Self::Failed)
    }
}

/// A run's row with its steps'.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Run {
    /// Where it stands.
    pub state: RunState,
    /// The number of its last event.
    pub seq: u8,
    /// Its steps.
    pub steps: [Step; STEPS],
}

/// What a command wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Wish {
    /// The run begins.
    Start,
    /// The run ends.
    Cancel,
    /// What is unknown is wanted again.
    Retry,
}

/// A command in the inbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Command {
    /// To which run.
    pub run: u8,
    /// What.
    pub wish: Wish,
}

impl Command {
    /// Its bit in a set of commands.
    #[must_use]
    pub fn bit(self) -> u8 {
        1 << (self.run * 3 + self.wish as u8)
    }
}

/// One life of a step consumer's process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Process {
    /// Which of the step consumers.
    pub consumer: u8,
    /// Which life of it.
    pub life: u8,
}

/// Who holds a claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Holder {
    /// The owner: nobody shall run it.
    Burned,
    /// A process runs it.
    Process(Process),
}

/// What a turn writes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Batch {
    /// The epoch that the writer believes in.
    pub epoch: u8,
    /// Everything up to this dispatch was published.
    pub published: u8,
    /// The last dispatch.
    pub out_seq: u8,
    /// The incarnation that `published` speaks of.
    pub incarnation: u8,
    /// Runs that change, with the event that the change begins after.
    pub runs: Vec<(u8, u8, Run)>,
    /// Rows of the inbox that it applied.
    pub applied: Vec<Command>,
    /// Claims to burn.
    pub burns: Vec<Dispatch>,
    /// Results that it records.
    pub recorded: Vec<Dispatch>,
}

/// The store.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Store {
    /// The partition's fence.
    pub epoch: u8,
    /// Every dispatch up to this one is known to have been published.
    pub published: u8,
    /// The last dispatch.
    pub out_seq: u8,
    /// The incarnation that `published` speaks of.
    pub incarnation: u8,
    /// Commands, in order.
    pub inbox: Vec<Command>,
    /// Runs and steps.
    pub runs: [Run; RUNS],
    /// Events of each run, as they stand in its segments.
    pub events: [u8; RUNS],
    /// The claim of each step's last claimed dispatch.
    pub claims: [[Option<(u8, Holder)>; STEPS]; RUNS],
    /// Lives below this one are dead, of each step consumer.
    pub alive: [u8; 2],
    /// A transaction that may still come through.
    pub late: Option<Batch>,
}

/// What an owner read when it took the partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Row {
    /// The raised epoch.
    pub epoch: u8,
    /// Published up to here.
    pub published: u8,
    /// The last dispatch.
    pub out_seq: u8,
    /// The incarnation that `published` speaks of.
    pub incarnation: u8,
}
