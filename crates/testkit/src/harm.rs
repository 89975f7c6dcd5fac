//! What is done to a world.

use crate::chaos::Port;
use crate::plans;
use crate::scenario::Action;
use crate::shared::{ms, now};
use crate::world::World;
use aidt_domain::{PartitionId, Project, Timestamp};
use aidt_queue::Outgoing;
use aidt_store::{Inbox as _, InboxRow, Processes as _, RunLog as _, Submission};
use bytes::Bytes;
use std::sync::Arc;
use tokio::time::Instant;

impl World {
    pub(crate) fn act(&mut self, action: &Action) {
        match action {
            Action::Submit(i) => {
                let plan = self.scenario.plans[*i].clone();
                self.submit(*i, plan);
            }
            Action::Cancel(i) => self.cancel(*i),
            Action::CancelAndWipe(i) => {
                self.cancel(*i);
                self.wipe();
            }
            Action::Retry(i) => self.retry(*i),
            Action::Resolve(i) => self.resolve(*i),
            Action::PoisonCommand | Action::PoisonStep | Action::PoisonInbox => self.poison(action),
            Action::Usurp => self.usurp(),
            Action::Wipe => self.wipe(),
            Action::Flush => {
                self.shared.fault("flush", String::new);
                self.shared.with(|s| s.flushes += 1);
                self.shared.locks.flush();
            }
            Action::Disconnect => {
                self.shared.fault("disconnect", String::new);
                self.shared.locks.disconnect();
            }
            Action::Down(port, lasts) => {
                let name = match port {
                    Port::Store => "store_down",
                    Port::Queue => "queue_down",
                    Port::Locks => "locks_down",
                };
                self.shared.fault(name, || format!("for {lasts} ms"));
                self.shared.with(|s| s.chaos.down_until.insert(*port, Instant::now() + ms(*lasts)));
            }
            Action::ChangePolicy => self.change_policy(),
            Action::LoseWorkers(host) => {
                self.shared.fault("lose_workers", || format!("host {host}"));
                self.places[*host].host.lose_workers();
            }
            Action::Resize(host, slots) => {
                self.shared.fault("resize", || format!("host {host} has {slots} slots"));
                self.places[*host].host.resize(*slots);
            }
            action => self.harm(action),
        }
    }

    /// What happens to a process.
    fn harm(&mut self, action: &Action) {
        let (Action::Kill(i)
        | Action::KillAfter(i, _)
        | Action::KillAt(i, ..)
        | Action::Leave(i, _)
        | Action::Freeze(i, _)
        | Action::Stall(i, _)
        | Action::Drain(i)
        | Action::Close(i)) = action
        else {
            return;
        };
        let shared = Arc::clone(&self.shared);
        let place = &mut self.places[*i];
        let Some(running) = &place.running else { return };
        let process = Arc::clone(&running.process);
        let name = match action {
            Action::Kill(_) => "kill",
            Action::KillAfter(..) => "kill_after",
            Action::KillAt(..) => "doom",
            Action::Leave(..) => "leave",
            Action::Freeze(..) => "freeze",
            Action::Stall(..) => "stall",
            Action::Drain(_) => "drain",
            _ => "close",
        };
        shared.fault(name, || format!("{} {action:?}", process.id));
        match action {
            Action::KillAfter(_, polls) => process.fate.kill_after(*polls),
            Action::KillAt(_, side, operation) => process.doom(*side, operation),
            Action::Leave(_, lasts) => {
                place.up_at = Instant::now() + ms(*lasts);
                process.fate.kill();
            }
            Action::Freeze(_, lasts) => {
                place.thaws_at = Some(Instant::now() + ms(*lasts));
                process.fate.freeze(true);
            }
            Action::Stall(_, lasts) => {
                place.thaws_at = Some(Instant::now() + ms(*lasts));
                process.fate.stall(true);
            }
            Action::Drain(_) => running.shutdown.cancel(),
            Action::Close(_) => drop(now(shared.store.close(process.id))),
            _ => process.fate.kill(),
        }
    }

    fn wipe(&mut self) {
        self.shared.fault("wipe", String::new);
        self.shared.queue.wipe();
        self.shared.with(|s| s.truth.published.clear());
    }

    /// A partition is taken by a process that then does nothing with it.
    fn usurp(&mut self) {
        let partition = PartitionId(u16::try_from(self.rng.below(self.scenario.partitions.into())).expect("small"));
        let stranger = self.ids.process();
        self.shared.fault("usurp", || format!("partition {partition} by {stranger}"));
        drop(now(self.shared.store.take(partition, stranger, aidt_domain::FORMAT)));
    }

    fn poison(&mut self, action: &Action) {
        let partition = PartitionId(u16::try_from(self.rng.below(self.scenario.partitions.into())).expect("small"));
        let body = Bytes::from_static(b"\xff\xff\xff no message");
        let out = Outgoing { body: body.clone(), republished: false, traceparent: None };
        match action {
            Action::PoisonCommand => {
                self.shared.fault("poison_command", String::new);
                drop(now(self.shared.queue.publish_commands(vec![(partition, out)])));
            }
            Action::PoisonStep => {
                self.shared.fault("poison_step", String::new);
                drop(now(self.shared.queue.publish_steps(vec![(plans::busy_pool(), out)])));
            }
            _ => {
                self.shared.fault("poison_inbox", String::new);
                let run = self.ids.run();
                let row = InboxRow {
                    seq: 0,
                    id: self.ids.command(),
                    project: Project::default(),
                    run,
                    partition: PartitionId::of(run, self.scenario.partitions),
                    command: body,
                    at: Timestamp(0),
                };
                drop(now(self.shared.store.submit(Submission { row, documents: vec![], idempotency: None })));
            }
        }
    }
}
