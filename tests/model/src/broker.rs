//! What the broker does with messages, good and bad; and the short ways into a state.

use crate::rows::{Dispatch, Step};
use crate::state::{Broker, Call, Held, Message, Owner, Report, State};

impl Broker {
    pub(crate) fn put_steps(&mut self, messages: Vec<Message>) {
        self.steps.extend(messages);
        self.steps.sort_unstable();
    }

    pub(crate) fn put_report(&mut self, report: Report) {
        self.reports.push(report);
        self.reports.sort_unstable();
    }

    pub(crate) fn take_step(&mut self, message: Message) {
        let at = self.steps.iter().position(|m| *m == message).expect("only what is there is delivered");
        self.steps.remove(at);
    }

    pub(crate) fn take_report(&mut self, report: Report) {
        let at = self.reports.iter().position(|r| *r == report).expect("only what is there is delivered");
        self.reports.remove(at);
    }
}

impl State {
    /// Everything queued is gone, also what was delivered and not acked.
    pub(crate) fn wipe(&mut self) {
        self.broker.incarnation += 1;
        self.broker.steps.clear();
        let lost: Vec<Report> = std::mem::take(&mut self.broker.reports);
        lost.into_iter().for_each(|report| self.see_loss(report));
        for owner in &mut self.owners {
            if let Owner::Held(held) = owner {
                held.taken.iter_mut().for_each(|taken| taken.owed = false);
            }
        }
        for call in self.consumers.iter_mut().filter_map(|c| c.call.as_mut()) {
            call.owed = false;
        }
    }

    pub(crate) fn lose_step(&mut self, message: Message) {
        self.broker.take_step(message);
        self.witness.silent_loss = true;
    }

    pub(crate) fn lose_report(&mut self, report: Report) {
        self.broker.take_report(report);
        self.see_loss(report);
        self.witness.silent_loss = true;
    }

    /// A result is gone: does the store wait for it?
    pub(crate) fn see_loss(&mut self, report: Report) {
        let step = self.stored(report.dispatch);
        let needed = step.dispatch == report.dispatch.number && step.state.is_out();
        self.witness.claimed_result_lost |= report.claimed && needed;
    }

    /// A result was acked: is what it says recorded?
    pub(crate) fn see_ack(&mut self, dispatch: Dispatch) {
        let step = self.stored(dispatch);
        self.witness.early_ack |= step.dispatch == dispatch.number && step.state.is_out();
    }

    /// The row of a dispatch's step.
    pub(crate) fn stored(&self, dispatch: Dispatch) -> Step {
        self.store.runs[usize::from(dispatch.run)].steps[usize::from(dispatch.step)]
    }

    pub(crate) fn held(&mut self, owner: usize) -> &mut Held {
        match &mut self.owners[owner] {
            Owner::Held(held) => held,
            _ => unreachable!("only an owner that holds the partition acts on it"),
        }
    }

    pub(crate) fn call(&mut self, consumer: usize) -> &mut Call {
        self.consumers[consumer].call.as_mut().expect("only a consumer with a call acts on it")
    }

    /// A message or a result of this dispatch is somewhere.
    pub(crate) fn is_under_way(&self, dispatch: Dispatch) -> bool {
        let held = self.owners.iter().filter_map(|owner| match owner {
            Owner::Held(held) => Some(held),
            _ => None,
        });
        let in_hand = held.flat_map(|held| {
            let reports = held.taken.iter().map(|taken| taken.report.dispatch);
            let turn = held.turn.iter().flat_map(|turn| turn.publish.iter());
            reports.chain(held.unpublished.iter().chain(turn).map(|m| m.dispatch))
        });
        let calls = self.consumers.iter().filter_map(|c| c.call).map(|call| call.message.dispatch);
        let queued = self.broker.steps.iter().map(|m| m.dispatch);
        let reported = self.broker.reports.iter().map(|r| r.dispatch);
        let kept = self.consumers.iter().flat_map(|c| &c.kept).filter(|(_, at)| *at != self.broker.incarnation);
        let kept = kept.map(|(report, _)| report.dispatch);
        in_hand.chain(calls).chain(queued).chain(reported).chain(kept).any(|d| d == dispatch)
    }
}
