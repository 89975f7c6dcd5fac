//! What follows from a command, for the owner to carry out.

use aidt_domain::{DispatchNo, Event, StepIx, Timestamp};

/// What follows from the commands applied to one run in one turn.
#[derive(Debug, Default)]
pub struct Effects {
    /// Appended to the run's history, in order.
    pub events: Vec<Event>,
    /// Steps whose rows changed; may repeat.
    pub changed: Vec<StepIx>,
    /// The run's row changed.
    pub run_changed: bool,
    /// Evaluate the conditions of these and answer `Conditioned`.
    pub evaluate: Vec<StepIx>,
    /// These became ready: into the backlog of their pool, to be judged when they enter the window.
    pub ready: Vec<StepIx>,
    /// These were handed out: publish them once this is durable.
    pub dispatched: Vec<StepIx>,
    /// Burn these dispatches in the same transaction and answer `Burned`.
    pub burns: Vec<(StepIx, DispatchNo)>,
    /// Tell whoever runs these to stop.
    pub stops: Vec<(StepIx, DispatchNo)>,
    /// Timer rows to set (or, `None`, to clear), in order: one a step (`None`: the run's own), the last
    /// word counts.
    pub timers: Vec<(Option<StepIx>, Option<Timestamp>)>,
    /// Look at these again at that time, if the process still lives: no row is written.
    pub backstops: Vec<(Timestamp, StepIx)>,
    /// Render the run's outputs and answer `Concluded`.
    pub conclude: bool,
    /// Steps looked at; for the test of the cost bound.
    pub visited: usize,
}

impl Effects {
    pub(crate) fn set_timer(&mut self, key: Option<StepIx>, at: Timestamp) {
        self.timers.push((key, Some(at)));
    }

    pub(crate) fn clear_timer(&mut self, key: Option<StepIx>) {
        self.timers.push((key, None));
    }
}
