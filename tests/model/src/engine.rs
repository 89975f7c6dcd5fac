//! What a turn decides: the engine's transitions, as far as the loop depends on them.

use crate::Loop;
use crate::bounds::Effect;
use crate::rows::{Batch, Command, Dispatch, Run, RunState, Step, StepState, Wish};
use crate::state::{Before, Held, Message, Outcome, Own, Report, Turn};

/// One turn under way.
pub(crate) struct Deciding<'a> {
    model: &'a Loop,
    held: &'a mut Held,
    turn: Turn,
}

impl<'a> Deciding<'a> {
    pub(crate) fn begin(model: &'a Loop, held: &'a mut Held) -> Self {
        let before = Before { runs: held.runs, swept: held.swept, own: held.own.clone(), out_seq: held.out_seq };
        let turn =
            Turn { batch: Batch::default(), publish: Vec::new(), before: model.undoes_turns().then_some(before) };
        Self { model, held, turn }
    }

    /// Goes on until nothing is open; then what is to be written.
    pub(crate) fn end(mut self) -> Turn {
        for run in 0..self.model.bounds.runs {
            self.sweep(run);
            self.advance(run);
        }
        self.turn
    }

    /// What the owner has told itself since the last turn.
    pub(crate) fn take_own(&mut self) -> Vec<Own> {
        std::mem::take(&mut self.held.own)
    }

    pub(crate) fn report(&mut self, report: Report) {
        let Report { dispatch, outcome, .. } = report;
        let step = *self.step(dispatch);
        if self.model.rules.dispatch_check && step.dispatch != dispatch.number {
            return;
        }
        match (outcome, step.state.is_out()) {
            (Outcome::Done, true) => self.succeed(dispatch),
            (Outcome::Done, false) if step.state == StepState::Unknown => self.succeed(dispatch),
            (Outcome::Released, true) => self.hand_out_again(dispatch),
            _ => {}
        }
    }

    pub(crate) fn own(&mut self, own: Own) {
        let (Own::Burned(dispatch, _)
        | Own::Dead(dispatch)
        | Own::Started(dispatch)
        | Own::GraceOver(dispatch)
        | Own::Overdue(dispatch)) = own;
        let step = *self.step(dispatch);
        if step.dispatch != dispatch.number || !step.state.is_out() {
            return;
        }
        let once = self.model.effect(dispatch.step) == Effect::Once;
        match own {
            Own::Burned(_, true) => self.hand_out_again(dispatch),
            Own::Burned(_, false) | Own::Started(_) => {
                if step.state == StepState::Dispatched {
                    self.shift(dispatch, StepState::Running);
                }
            }
            Own::Dead(_) if once && self.model.rules.lost_once_is_unknown => self.shift(dispatch, StepState::Unknown),
            Own::Dead(_) => self.hand_out_again(dispatch),
            Own::GraceOver(_) | Own::Overdue(_) if once => self.shift(dispatch, StepState::Unknown),
            Own::GraceOver(_) => self.shift(dispatch, StepState::Cancelled),
            Own::Overdue(_) => self.shift(dispatch, StepState::Failed),
        }
    }

    pub(crate) fn command(&mut self, command: Command) {
        self.turn.batch.applied.push(command);
        let run = command.run;
        match (command.wish, self.run(run).state) {
            (Wish::Start, RunState::Absent) => self.turn_run(run, RunState::Running),
            (Wish::Cancel, RunState::Running) => {
                self.held.swept[usize::from(run)] = false;
                self.turn_run(run, RunState::Cancelling);
            }
            (Wish::Retry, RunState::Running) => self.retry(run),
            // Refused: an event.
            _ => self.change(run, |_| {}),
        }
    }

    fn retry(&mut self, run: u8) {
        self.change(run, |row| {
            for step in row.steps.iter_mut().filter(|s| s.state == StepState::Unknown) {
                *step = Step { state: StepState::Pending, generation: step.generation + 1, ..*step };
            }
        });
    }

    fn succeed(&mut self, dispatch: Dispatch) {
        self.turn.batch.recorded.push(dispatch);
        self.shift(dispatch, StepState::Done);
    }

    /// What nobody has done, or what may be done again.
    fn hand_out_again(&mut self, dispatch: Dispatch) {
        if self.run(dispatch.run).state == RunState::Cancelling {
            self.shift(dispatch, StepState::Cancelled);
        } else {
            self.hand_out(dispatch.run, dispatch.step);
        }
    }

    /// Looks at each step of a run that is being cancelled, once.
    fn sweep(&mut self, run: u8) {
        if self.run(run).state != RunState::Cancelling || self.held.swept[usize::from(run)] {
            return;
        }
        self.held.swept[usize::from(run)] = true;
        for step in 0..self.model.steps() {
            let row = self.run(run).steps[usize::from(step)];
            let dispatch = Dispatch { run, step, number: row.dispatch };
            match row.state {
                StepState::Pending => self.shift(dispatch, StepState::Cancelled),
                StepState::Dispatched => self.turn.batch.burns.push(dispatch),
                _ => {}
            }
        }
    }

    fn advance(&mut self, run: u8) {
        let steps = self.model.steps();
        let row = *self.run(run);
        let out = row.steps.iter().any(|s| s.state.is_out());
        let here = &row.steps[..usize::from(steps)];
        match row.state {
            RunState::Cancelling if !out => self.turn_run(run, RunState::Cancelled),
            RunState::Running if here.iter().all(|s| s.state == StepState::Done) => self.turn_run(run, RunState::Done),
            RunState::Running if here.iter().any(|s| s.state == StepState::Failed) && !out => {
                self.turn_run(run, RunState::Failed);
            }
            RunState::Running => {
                let next = here.iter().position(|s| s.state != StepState::Done);
                if let Some(next) = next.filter(|&n| here[n].state == StepState::Pending) {
                    self.hand_out(run, u8::try_from(next).expect("few steps"));
                }
            }
            _ => {}
        }
    }

    fn hand_out(&mut self, run: u8, step: u8) {
        self.held.out_seq += 1;
        let out_seq = self.held.out_seq;
        let mut row = Step::default();
        self.change(run, |run| {
            let of = &mut run.steps[usize::from(step)];
            *of = Step { state: StepState::Dispatched, dispatch: of.dispatch + 1, out_seq, ..*of };
            row = *of;
        });
        let dispatch = Dispatch { run, step, number: row.dispatch };
        self.turn.publish.push(Message { dispatch, generation: row.generation, doubtful: false });
    }

    fn shift(&mut self, dispatch: Dispatch, to: StepState) {
        self.change(dispatch.run, |run| run.steps[usize::from(dispatch.step)].state = to);
    }

    fn turn_run(&mut self, run: u8, to: RunState) {
        self.change(run, |run| run.state = to);
    }

    /// One change, one event.
    fn change(&mut self, run: u8, what: impl FnOnce(&mut Run)) {
        let row = &mut self.held.runs[usize::from(run)];
        let base = row.seq;
        what(row);
        row.seq += 1;
        match self.turn.batch.runs.iter_mut().find(|(r, ..)| *r == run) {
            Some(changed) => changed.2 = *row,
            None => self.turn.batch.runs.push((run, base, *row)),
        }
    }

    fn run(&self, run: u8) -> &Run {
        &self.held.runs[usize::from(run)]
    }

    fn step(&self, dispatch: Dispatch) -> &Step {
        &self.run(dispatch.run).steps[usize::from(dispatch.step)]
    }
}
