//! What can happen, and what it does.

use crate::Loop;
use crate::rows::{Command, Dispatch, Wish};
use crate::rules::InboxRow;
use crate::state::{Message, Outcome, Own, Owner, Report, State};

/// What became of a commit of which nobody heard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "plain words")]
pub enum Landing {
    Now,
    Never,
    Later,
}

/// One thing that happens. The first number names the owner or the step consumer.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "plain words; each is a method of the same name")]
pub enum Action {
    Submit(Command),
    Take(usize),
    Load(usize),
    Receive(usize, Report),
    Decide(usize),
    Commit(usize),
    Publish(usize),
    Ack(usize),
    RemoveRows(usize),
    Flush(usize),
    LookAtClaims(usize),
    NoticeWipe(usize),
    NoticeLost(usize),
    GraceOver(usize, Dispatch),
    Deliver(usize, Message),
    Claim(usize),
    Start(usize),
    End(usize),
    PublishResult(usize),
    PublishKept(usize),
    DeclareDead(usize),
    NoticeDead(usize),
    PublishAgain(usize, Dispatch),
    Overdue(usize, Dispatch),
    TakeFromOther(usize),
    CrashOwner(usize),
    CommitUnknown(usize, Landing),
    Land,
    PublishUnconfirmed(usize),
    CrashConsumer(usize),
    DeclareLivingDead(usize),
    Release(usize),
    DuplicateStep(Message),
    DuplicateReport(Report),
    LoseStep(Message),
    LoseReport(Report),
    Wipe,
}

impl Loop {
    /// Does it, and pays for it.
    pub(crate) fn act(&self, s: &mut State, action: Action) {
        let left = &mut s.left;
        let budget = match action {
            Action::TakeFromOther(_) => Some(&mut left.takeover),
            Action::CrashOwner(_) => Some(&mut left.owner_crash),
            Action::CommitUnknown(..) => Some(&mut left.unknown_commit),
            Action::PublishUnconfirmed(_) => Some(&mut left.unconfirmed),
            Action::CrashConsumer(_) => Some(&mut left.consumer_crash),
            Action::DeclareLivingDead(_) => Some(&mut left.false_death),
            Action::Release(_) => Some(&mut left.release),
            Action::DuplicateStep(_) | Action::DuplicateReport(_) => Some(&mut left.duplicate),
            Action::LoseStep(_) | Action::LoseReport(_) => Some(&mut left.loss),
            Action::Wipe => Some(&mut left.wipe),
            _ => None,
        };
        if let Some(budget) = budget {
            *budget -= 1;
            left.total -= 1;
        }
        self.happen(s, action);
    }

    fn happen(&self, s: &mut State, action: Action) {
        match action {
            Action::Submit(command) => {
                s.store.inbox.push(command);
                s.witness.accepted |= command.bit();
                s.cancels -= u8::from(command.wish == Wish::Cancel);
                s.retries -= u8::from(command.wish == Wish::Retry);
            }
            Action::Take(o) => self.take(s, o),
            Action::TakeFromOther(o) if self.rules.load_after_taking => self.take(s, o),
            Action::TakeFromOther(o) | Action::Load(o) => self.load(s, o),
            Action::Receive(o, report) => self.receive(s, o, report),
            Action::Decide(o) => self.decide(s, o),
            Action::Commit(o) => self.commit(s, o),
            Action::CommitUnknown(o, landing) => self.commit_unknown(s, o, landing),
            Action::Land => self.land(s),
            Action::Publish(o) => self.publish(s, o, true),
            Action::PublishUnconfirmed(o) => self.publish(s, o, false),
            Action::Ack(o) => self.ack(s, o),
            Action::RemoveRows(o) => self.remove_rows(s, o),
            Action::Flush(o) => self.flush(s, o),
            Action::LookAtClaims(o) => self.look_at_claims(s, o),
            Action::NoticeWipe(o) => self.notice_wipe(s, o),
            Action::NoticeLost(o) | Action::CrashOwner(o) => self.crash_owner(s, o),
            Action::GraceOver(o, dispatch) => s.held(o).own.push(Own::GraceOver(dispatch)),
            Action::Overdue(o, dispatch) => s.held(o).own.push(Own::Overdue(dispatch)),
            Action::PublishAgain(o, dispatch) => self.publish_again(s, o, dispatch),
            Action::Deliver(c, message) => self.deliver(s, c, message),
            Action::Claim(c) => self.ask(s, c),
            Action::Start(c) => self.start(s, c),
            Action::End(c) => self.end(s, c, Outcome::Done),
            Action::Release(c) => self.end(s, c, Outcome::Released),
            Action::PublishResult(c) => self.publish_result(s, c),
            Action::PublishKept(c) => self.publish_kept(s, c),
            Action::DeclareDead(c) => s.store.alive[c] = s.consumers[c].life,
            Action::DeclareLivingDead(c) => s.store.alive[c] += 1,
            Action::NoticeDead(c) => self.end_life(s, c, s.store.alive[c]),
            Action::CrashConsumer(c) => self.end_life(s, c, s.consumers[c].life + 1),
            Action::DuplicateStep(message) => s.broker.put_steps(vec![Message { doubtful: true, ..message }]),
            Action::DuplicateReport(report) => s.broker.put_report(report),
            Action::LoseStep(message) => s.lose_step(message),
            Action::LoseReport(report) => s.lose_report(report),
            Action::Wipe => s.wipe(),
        }
    }

    fn crash_owner(&self, state: &mut State, owner: usize) {
        self.forget(state, owner);
        state.owners[owner] = Owner::Free;
    }

    pub(crate) fn removes_with_commit(&self) -> bool {
        self.rules.inbox_row != InboxRow::AfterCommit
    }
}
