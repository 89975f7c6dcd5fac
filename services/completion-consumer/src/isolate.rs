//! After a turn that cannot be stored: one run at a time, to find the one whose fault it is.

use crate::owner::Owner;
use crate::turn::{Source, Turn, TurnFailed};
use aidt_domain::{Command, PartitionId, RunId};

impl Owner {
    /// After a turn that cannot be stored: one run at a time, so that whichever fails alone shows. What is
    /// of others waits; deliveries are acked once all their runs went through.
    pub(crate) fn isolate_one(&mut self, turn: &mut Turn, commands: &mut Vec<(PartitionId, Command, Source)>) {
        let Some(done) = &mut self.isolate else { return };
        let Some(run) = commands.iter().map(|(_, c, _)| c.run).find(|r| !done.contains(r)) else {
            // All that was sent went through, one by one: it may be taken for good now.
            if commands.is_empty() {
                return;
            }
            done.clear();
            self.isolate = None;
            return;
        };
        done.insert(run);
        turn.acks.clear();
        let (mine, others) = std::mem::take(commands).into_iter().partition(|(_, c, _)| c.run == run);
        *commands = mine;
        for (partition, command, source) in others {
            let Some(held) = self.held.get_mut(&partition) else { continue };
            match source {
                Source::Own => held.own.push_back(command),
                Source::Timer(step) => held.timers.set((command.run, step), turn.now),
                Source::Inbox(_) => held.look_into_inbox = true,
                Source::Broker(..) => {}
            }
        }
    }

    /// While turns take one run at a time: lets one ready step into its window, of a run that was not tried.
    pub(crate) async fn admit_one(&mut self, turn: &mut Turn) -> Result<(), TurnFailed> {
        let waiting = self.next_admitted();
        let runs: Vec<RunId> = waiting.iter().map(|(r, _)| *r).collect();
        self.load(&runs).await.map_err(TurnFailed::at("loading runs"))?;
        let tried = self.isolate.take().unwrap_or_default();
        let one = waiting.iter().copied().find(|(run, ix)| !tried.contains(run) && self.is_ready(*run, *ix));
        for (run, ix) in waiting.into_iter().filter(|w| Some(*w) != one) {
            self.enqueue(run, ix);
        }
        let Some((run, ix)) = one else { return Ok(()) };
        self.isolate = Some(tried.into_iter().chain([run]).collect());
        self.hand_over(turn, vec![(run, ix)]).await
    }
}
