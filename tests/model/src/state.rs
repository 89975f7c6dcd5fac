//! What there is at one moment: the store, the broker, two owners, two step consumers, and what a witness
//! of the whole has seen.

use crate::bounds::{Bounds, Faults};
use crate::rows::{Batch, Command, Dispatch, Holder, RUNS, Row, Run, STEPS, StepState, Store};

/// A step message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Message {
    /// Which dispatch.
    pub dispatch: Dispatch,
    /// Of which generation.
    pub generation: u8,
    /// Redelivered or republished.
    pub doubtful: bool,
}

/// How a call ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Outcome {
    /// With its output.
    Done,
    /// Handed back.
    Released,
}

/// A result message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Report {
    /// Of which dispatch.
    pub dispatch: Dispatch,
    /// How it ended.
    pub outcome: Outcome,
    /// Its step was claimed.
    pub claimed: bool,
}

/// The broker. Messages come in any order.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Broker {
    /// Its life.
    pub incarnation: u8,
    /// Steps, sorted.
    pub steps: Vec<Message>,
    /// Results, sorted.
    pub reports: Vec<Report>,
}

/// A result in an owner's hand.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Taken {
    /// The result.
    pub report: Report,
    /// The broker delivers it again unless it is acked.
    pub owed: bool,
    /// A commit has applied it.
    pub applied: bool,
}

/// A command that an owner makes itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Own {
    /// A burn was won or lost.
    Burned(Dispatch, bool),
    /// The process that claimed it is dead.
    Dead(Dispatch),
    /// A process has claimed it.
    Started(Dispatch),
    /// The grace of a cancel is over.
    GraceOver(Dispatch),
    /// Nothing was heard for longer than the step may run.
    Overdue(Dispatch),
}

/// What an owner's memory was before a turn.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Before {
    /// Runs.
    pub runs: [Run; RUNS],
    /// Swept runs.
    pub swept: [bool; RUNS],
    /// Its own commands.
    pub own: Vec<Own>,
    /// The last dispatch.
    pub out_seq: u8,
}

/// A turn that is decided and not committed.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Turn {
    /// What it writes.
    pub batch: Batch,
    /// What it publishes.
    pub publish: Vec<Message>,
    /// What was before; only where a rule that is taken away needs it.
    pub before: Option<Before>,
}

/// A partition in an owner's memory.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Held {
    /// The epoch that it raised.
    pub epoch: u8,
    /// Published up to here.
    pub published: u8,
    /// What of it is stored.
    pub published_stored: u8,
    /// The last dispatch.
    pub out_seq: u8,
    /// The broker's incarnation, when it looked last.
    pub incarnation: u8,
    /// Runs.
    pub runs: [Run; RUNS],
    /// Cancelling runs that were gone through.
    pub swept: [bool; RUNS],
    /// Results in hand.
    pub taken: Vec<Taken>,
    /// Commands of its own, for the next turn.
    pub own: Vec<Own>,
    /// Committed and not published.
    pub unpublished: Vec<Message>,
    /// Rows of the inbox that were applied and are still there.
    pub remove: Vec<Command>,
    /// Decided and not committed.
    pub turn: Option<Turn>,
}

/// An owner.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Owner {
    /// Holds nothing.
    #[default]
    Free,
    /// Has raised the epoch, and loads next.
    Taking(Row),
    /// Has loaded before it raised the epoch (against the rule).
    Loaded([Run; RUNS]),
    /// Holds the partition, or believes so.
    Held(Box<Held>),
}

/// Where a call stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Phase {
    /// Its start must be validated.
    Arrived,
    /// May start.
    Placing,
    /// Its effect has begun.
    Running,
    /// Its result waits to be published.
    Ended(Outcome),
}

/// A dispatch in a step consumer's hand.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Call {
    /// Its message.
    pub message: Message,
    /// The broker delivers the message again unless it is acked.
    pub owed: bool,
    /// Where it stands.
    pub phase: Phase,
    /// This process has the claim.
    pub claimed: bool,
}

/// A step consumer, with one slot.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Consumer {
    /// Its life.
    pub life: u8,
    /// What it has in hand.
    pub call: Option<Call>,
    /// Dispatches that it has asked to claim.
    pub asked: Vec<Dispatch>,
    /// Results of claimed steps that it published (rule `results_kept`), and in which incarnation.
    pub kept: Vec<(Report, u8)>,
}

/// What happened to a step, by generation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Witnessed {
    /// How often its effect was started.
    pub started: [u8; 2],
    /// The dispatch that started it last.
    pub started_by: [u8; 2],
    /// How often its end was recorded.
    pub recorded: [u8; 2],
}

/// What no process knows, and the properties need.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Witness {
    /// Commands that were accepted, as bits.
    pub accepted: u8,
    /// Commands that a commit applied.
    pub applied: u8,
    /// Commands that two commits applied.
    pub applied_again: u8,
    /// Each step.
    pub steps: [[Witnessed; STEPS]; RUNS],
    /// A transaction of an owner that had lost its partition was written.
    pub stale_write: bool,
    /// A result was recorded for another dispatch than the current one.
    pub stale_record: bool,
    /// A result was acked before what it says was recorded.
    pub early_ack: bool,
    /// A result of a claimed step was lost by the broker.
    pub claimed_result_lost: bool,
    /// The broker lost a message and said nothing.
    pub silent_loss: bool,
}

/// Everything.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct State {
    /// The store.
    pub store: Store,
    /// The broker.
    pub broker: Broker,
    /// Two owners.
    pub owners: [Owner; 2],
    /// Two step consumers.
    pub consumers: [Consumer; 2],
    /// What was seen.
    pub witness: Witness,
    /// Cancels that people may still ask for.
    pub cancels: u8,
    /// Retries that people may still ask for.
    pub retries: u8,
    /// Faults that may still happen.
    pub left: Faults,
}

impl State {
    /// Forgets what can make no difference any more, and, where asked for, which process is called which.
    pub(crate) fn tidy(&mut self, bounds: &Bounds) {
        let runs = self.store.runs;
        let row = |d: &Dispatch| runs[usize::from(d.run)].steps[usize::from(d.step)];
        for consumer in &mut self.consumers {
            // A claim of an older dispatch is refused, whoever asks.
            consumer.asked.retain(|d| d.number >= row(d).dispatch);
            consumer.kept.retain(|(report, _)| {
                let row = row(&report.dispatch);
                row.dispatch == report.dispatch.number && (row.state.is_out() || row.state == StepState::Unknown)
            });
        }
        if self.left.total == 0 {
            self.left = Faults::default();
        }
        if bounds.symmetric {
            self.rename(bounds.consumers);
        }
    }

    /// Of states that differ by the names of processes: always the same one. (With one step consumer it is the
    /// first that works.)
    fn rename(&mut self, consumers: u8) {
        if self.owners[0] > self.owners[1] {
            self.owners.swap(0, 1);
        }
        let [first, second] = &self.consumers;
        if consumers == 2 && (first, self.store.alive[0]) > (second, self.store.alive[1]) {
            self.consumers.swap(0, 1);
            self.store.alive.swap(0, 1);
            for (_, holder) in self.store.claims.iter_mut().flatten().flatten() {
                if let Holder::Process(process) = holder {
                    process.consumer = 1 - process.consumer;
                }
            }
        }
    }
}
