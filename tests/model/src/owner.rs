//! What an owner does: takes a partition, decides, commits, publishes, acks.

use crate::Loop;
use crate::actions::Landing;
use crate::engine::Deciding;
use crate::rows::{Dispatch, Holder, Process, RUNS, Row, Run, StepState};
use crate::rules::{Ambiguous, InboxRow};
use crate::state::{Held, Message, Own, Owner, Report, State, Taken, Turn};
use crate::store::Written;

impl Loop {
    /// Raises the epoch.
    pub(crate) fn take(&self, state: &mut State, owner: usize) {
        state.store.epoch += 1;
        let store = &state.store;
        let row = Row {
            epoch: store.epoch,
            published: store.published,
            out_seq: store.out_seq,
            incarnation: store.incarnation,
        };
        state.owners[owner] = match state.owners[owner] {
            Owner::Loaded(runs) => self.hold(state, row, runs),
            _ => Owner::Taking(row),
        };
    }

    /// Reads runs and steps.
    pub(crate) fn load(&self, state: &mut State, owner: usize) {
        let runs = state.store.runs;
        state.owners[owner] = match state.owners[owner] {
            Owner::Taking(row) => self.hold(state, row, runs),
            _ => Owner::Loaded(runs),
        };
    }

    fn hold(&self, state: &State, row: Row, runs: [Run; RUNS]) -> Owner {
        let mut held = Held {
            epoch: row.epoch,
            published: row.published,
            published_stored: row.published,
            out_seq: row.out_seq,
            incarnation: row.incarnation,
            runs,
            swept: [false; RUNS],
            taken: Vec::new(),
            own: Vec::new(),
            unpublished: Vec::new(),
            remove: Vec::new(),
            turn: None,
        };
        let wiped = self.rules.wipe_is_noticed && state.broker.incarnation != row.incarnation;
        self.owe(&mut held, |number, published| wiped || (self.rules.publishing_is_owed && number > published));
        held.incarnation = state.broker.incarnation;
        Owner::Held(Box::new(held))
    }

    /// Builds messages again of what is dispatched and, as far as known, unclaimed.
    fn owe(&self, held: &mut Held, owed: impl Fn(u8, u8) -> bool) {
        let published = held.published;
        for (run, row) in (0_u8..).zip(&held.runs) {
            for (step, row) in (0_u8..).zip(&row.steps) {
                if row.state == StepState::Dispatched && owed(row.out_seq, published) {
                    let dispatch = Dispatch { run, step, number: row.dispatch };
                    let message = Message { dispatch, generation: row.generation, doubtful: true };
                    held.published = held.published.min(row.out_seq - 1);
                    if !held.unpublished.iter().any(|m| m.dispatch == dispatch) {
                        held.unpublished.push(message);
                    }
                }
            }
        }
    }

    /// The broker is another: all that may be queued is owed.
    pub(crate) fn notice_wipe(&self, state: &mut State, owner: usize) {
        let incarnation = state.broker.incarnation;
        let held = state.held(owner);
        self.owe(held, |_, _| true);
        held.incarnation = incarnation;
    }

    /// A step that nobody claims for long.
    pub(crate) fn publish_again(&self, state: &mut State, owner: usize, dispatch: Dispatch) {
        let generation = state.stored(dispatch).generation;
        state.held(owner).unpublished.push(Message { dispatch, generation, doubtful: true });
    }

    pub(crate) fn receive(&self, state: &mut State, owner: usize, report: Report) {
        state.broker.take_report(report);
        let held = state.held(owner);
        held.taken.push(Taken { report, owed: true, applied: false });
        held.taken.sort_unstable();
    }

    /// What stands as a claim for what is out.
    pub(crate) fn look_at_claims(&self, state: &mut State, owner: usize) {
        let news = self.news(state, owner);
        state.held(owner).own.extend(news);
    }

    /// What the claims would tell this owner.
    pub(crate) fn news(&self, state: &State, owner: usize) -> Vec<Own> {
        let Owner::Held(held) = &state.owners[owner] else { return Vec::new() };
        let mut news = Vec::new();
        for (run, row) in (0_u8..).zip(&held.runs) {
            for (step, row) in (0_u8..).zip(&row.steps).filter(|(_, row)| row.state.is_out()) {
                let dispatch = Dispatch { run, step, number: row.dispatch };
                let claim = state.store.claims[usize::from(run)][usize::from(step)];
                let Some((number, holder)) = claim else { continue };
                if number != row.dispatch {
                    continue;
                }
                let dead = |p: Process| p.life < state.store.alive[usize::from(p.consumer)];
                news.extend(match holder {
                    Holder::Burned => Some(Own::Burned(dispatch, true)),
                    Holder::Process(p) if dead(p) => self.rules.dead_are_settled.then_some(Own::Dead(dispatch)),
                    Holder::Process(_) => (row.state == StepState::Dispatched).then_some(Own::Started(dispatch)),
                });
            }
        }
        news.retain(|own| !held.own.contains(own));
        news
    }

    /// Takes what is there, and decides.
    pub(crate) fn decide(&self, state: &mut State, owner: usize) {
        let inbox = state.store.inbox.clone();
        if self.rules.inbox_row == InboxRow::BeforeCommit {
            state.store.inbox.clear();
        }
        let ack_now = !self.rules.ack_after_commit;
        let held = state.held(owner);
        let (remove, reports) = (held.remove.clone(), held.taken.clone());
        let mut deciding = Deciding::begin(self, held);
        reports.iter().for_each(|taken| deciding.report(taken.report));
        deciding.take_own().into_iter().for_each(|own| deciding.own(own));
        inbox.into_iter().filter(|c| !remove.contains(c)).for_each(|command| deciding.command(command));
        let mut turn = deciding.end();
        let held = state.held(owner);
        (turn.batch.epoch, turn.batch.published) = (held.epoch, held.published);
        (turn.batch.out_seq, turn.batch.incarnation) = (held.out_seq, held.incarnation);
        let publish = if self.rules.publish_after_commit { Vec::new() } else { std::mem::take(&mut turn.publish) };
        held.turn = Some(turn);
        state.broker.put_steps(publish);
        if ack_now {
            reports.iter().for_each(|taken| state.see_ack(taken.report.dispatch));
            state.held(owner).taken.iter_mut().for_each(|taken| taken.owed = false);
        }
    }

    /// Writes the turn.
    pub(crate) fn commit(&self, state: &mut State, owner: usize) {
        let turn = state.held(owner).turn.take().expect("only a decided turn is committed");
        match self.write(state, &turn.batch) {
            Written::Held(burns) => self.committed(state, owner, turn, &burns),
            Written::Fenced | Written::Conflict => self.forget(state, owner),
        }
    }

    fn committed(&self, state: &mut State, owner: usize, turn: Turn, burns: &[(Dispatch, bool)]) {
        let with_commit = self.removes_with_commit();
        let held = state.held(owner);
        held.published_stored = turn.batch.published;
        held.unpublished.extend(turn.publish);
        held.taken.iter_mut().for_each(|taken| taken.applied = true);
        held.own.extend(burns.iter().map(|&(dispatch, won)| Own::Burned(dispatch, won)));
        if !with_commit {
            held.remove.extend(turn.batch.applied);
        }
    }

    /// Nobody says whether the turn was written.
    pub(crate) fn commit_unknown(&self, state: &mut State, owner: usize, landing: Landing) {
        let turn = state.held(owner).turn.take().expect("only a decided turn is committed");
        let written = match landing {
            Landing::Now => Some(self.write(state, &turn.batch)),
            Landing::Never => None,
            Landing::Later => {
                state.store.late = Some(turn.batch.clone());
                None
            }
        };
        let there = matches!(written, Some(Written::Held(_)));
        match self.rules.ambiguous {
            Ambiguous::TakenAgain => self.forget(state, owner),
            Ambiguous::TakenAsDone => self.committed(state, owner, turn, &[]),
            Ambiguous::ReadBack if there => self.committed(state, owner, turn, &[]),
            Ambiguous::ReadBack if state.store.epoch != turn.batch.epoch => self.forget(state, owner),
            Ambiguous::ReadBack | Ambiguous::TakenAsFailed => undo(state.held(owner), turn),
        }
    }

    /// A transaction whose fate nobody knew comes through, or is refused.
    pub(crate) fn land(&self, state: &mut State) {
        if let Some(batch) = state.store.late.take() {
            self.write(state, &batch);
        }
    }

    pub(crate) fn publish(&self, state: &mut State, owner: usize, confirmed: bool) {
        let held = state.held(owner);
        let messages = held.unpublished.clone();
        if confirmed {
            held.unpublished.clear();
            held.published = held.out_seq;
        } else {
            held.unpublished.iter_mut().for_each(|m| m.doubtful = true);
        }
        state.broker.put_steps(messages);
    }

    pub(crate) fn ack(&self, state: &mut State, owner: usize) {
        let held = state.held(owner);
        let (done, rest): (Vec<Taken>, Vec<Taken>) = held.taken.iter().partition(|taken| taken.applied);
        held.taken = rest;
        done.iter().for_each(|taken| state.see_ack(taken.report.dispatch));
    }

    /// Removes what was applied from the inbox (against the rule).
    pub(crate) fn remove_rows(&self, state: &mut State, owner: usize) {
        let rows = std::mem::take(&mut state.held(owner).remove);
        state.store.inbox.retain(|c| !rows.contains(c));
    }

    /// Writes `published` when there is nothing else to write.
    pub(crate) fn flush(&self, state: &mut State, owner: usize) {
        let held = state.held(owner);
        let batch = crate::rows::Batch {
            epoch: held.epoch,
            published: held.published,
            out_seq: held.out_seq,
            incarnation: held.incarnation,
            ..Default::default()
        };
        match self.write(state, &batch) {
            Written::Held(_) => state.held(owner).published_stored = batch.published,
            Written::Fenced | Written::Conflict => self.forget(state, owner),
        }
    }

    /// Drops what is in memory. What was not acked comes again.
    pub(crate) fn forget(&self, state: &mut State, owner: usize) {
        if let Owner::Held(held) = std::mem::take(&mut state.owners[owner]) {
            for taken in held.taken {
                if taken.owed {
                    state.broker.put_report(taken.report);
                } else {
                    state.see_loss(taken.report);
                }
            }
        }
    }
}

fn undo(held: &mut Held, turn: Turn) {
    let before = turn.before.expect("kept for this");
    (held.runs, held.swept, held.own, held.out_seq) = (before.runs, before.swept, before.own, before.out_seq);
}
