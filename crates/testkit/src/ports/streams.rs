//! What a process receives: late, out of order, twice.

use super::queue::{after, before};
use crate::process::Process;
use crate::shared::{Shared, ms};
use crate::truth::Key;
use crate::{Invariant, Plant};
use aidt_domain::{Command, CommandBody, PartitionId};
use aidt_queue::{Commands, Delivery, QueueError, Readers, Steps, Tag};
use async_trait::async_trait;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, sleep_until};

type Result<T> = std::result::Result<T, QueueError>;

/// A broker tells every consumer; the queue in memory wakes one, which may be frozen. So each looks again.
const LOOK_AGAIN: Duration = Duration::from_millis(500);

/// Deliveries that come later than they might.
#[derive(Debug)]
struct Late<T>(Vec<(Instant, T)>);

impl<T: Clone> Late<T> {
    fn due(&mut self, now: Instant) -> Option<T> {
        let at = self.0.iter().position(|(due, _)| *due <= now)?;
        Some(self.0.remove(at).1)
    }

    fn next(&self, now: Instant) -> Instant {
        self.0.iter().map(|(due, _)| *due).min().unwrap_or(now + LOOK_AGAIN).min(now + LOOK_AGAIN)
    }

    /// Holds some back, doubles some, changes the order. Nothing is lost.
    fn arrange(&mut self, world: &Shared, items: &mut Vec<T>, again: impl Fn(&T) -> T) {
        world.with(|s| {
            let (doubles, reorders) = (s.chaos.doubles, s.chaos.reorders);
            let now = Instant::now();
            if s.chaos.hits(reorders) {
                s.notes.count("fault", "reorder");
                s.chaos.rng.shuffle(items);
            }
            let mut kept = Vec::with_capacity(items.len());
            for item in items.drain(..) {
                if s.chaos.hits(doubles) {
                    s.notes.count("fault", "double_delivery");
                    let due = now + ms(s.chaos.rng.between(0, 500));
                    self.0.push((due, again(&item)));
                }
                if s.chaos.hits(reorders) {
                    s.notes.count("fault", "late_delivery");
                    let due = now + ms(s.chaos.rng.between(1, 300));
                    self.0.push((due, item));
                } else {
                    kept.push(item);
                }
            }
            *items = kept;
        });
    }
}

pub(super) struct SimSteps {
    process: Arc<Process>,
    inner: Box<dyn Steps>,
    late: Late<Delivery>,
    of: BTreeMap<Tag, Vec<Key>>,
}

impl SimSteps {
    pub(super) fn new(process: Arc<Process>, inner: Box<dyn Steps>) -> Self {
        Self { process, inner, late: Late(Vec::new()), of: BTreeMap::new() }
    }
}

fn redelivered(delivery: &Delivery) -> Delivery {
    Delivery { doubtful: true, ..delivery.clone() }
}

#[async_trait]
impl Steps for SimSteps {
    async fn recv(&mut self, max: usize) -> Result<Vec<Delivery>> {
        before(&self.process, "recv_steps").await?;
        loop {
            if let Some(delivery) = self.late.due(Instant::now()) {
                return Ok(vec![delivery]);
            }
            let next = self.late.next(Instant::now());
            let mut got = tokio::select! {
                biased;
                got = self.inner.recv(max) => got?,
                () = sleep_until(next) => continue,
            };
            for delivery in &got {
                let entries = aidt_proto::decode_entries(delivery.body.clone()).unwrap_or_default();
                let steps = entries.iter().filter_map(|entry| aidt_proto::decode_step(entry).ok());
                self.of.insert(delivery.tag, steps.map(|s| (s.run, s.step, s.dispatch)).collect());
            }
            self.late.arrange(&self.process.world, &mut got, redelivered);
            if !got.is_empty() {
                return Ok(got);
            }
        }
    }

    async fn ack(&mut self, tags: &[Tag]) -> Result<()> {
        before(&self.process, "ack_steps").await?;
        for key in tags.iter().filter_map(|tag| self.of.remove(tag)).flatten() {
            check_step_ack(&self.process.world, key);
        }
        self.inner.ack(tags).await?;
        after(&self.process, "ack_steps").await
    }

    fn set_prefetch(&mut self, prefetch: u32) -> bool {
        self.inner.set_prefetch(prefetch)
    }

    fn share(&mut self, readers: &Readers) {
        self.process.world.count("shared", if readers.all.len() > 1 { "with others" } else { "alone" });
        self.inner.share(readers);
    }
}

/// A step's message is done with: somebody is known to run it, or its result is on its way.
fn check_step_ack(world: &Shared, key: Key) {
    let safe = world.with(|s| {
        let truth = &s.truth;
        truth.claims.contains_key(&key) || truth.reported.contains(&key) || !truth.is_out(key)
    });
    if !safe {
        world.breaks(Invariant::AckLast, || format!("the message of {key:?} is acked; nobody claimed or reported it"));
    }
}

pub(super) struct SimCommands {
    process: Arc<Process>,
    inner: Box<dyn Commands>,
    late: Late<(PartitionId, Delivery)>,
    of: BTreeMap<(PartitionId, Tag), Vec<Key>>,
}

impl SimCommands {
    pub(super) fn new(process: Arc<Process>, inner: Box<dyn Commands>) -> Self {
        Self { process, inner, late: Late(Vec::new()), of: BTreeMap::new() }
    }

    fn note(&mut self, (partition, delivery): &mut (PartitionId, Delivery)) {
        let entries = aidt_proto::decode_entries(delivery.body.clone()).unwrap_or_default();
        let mut commands: Vec<Command> =
            entries.iter().filter_map(|entry| aidt_proto::decode_command(entry).ok()).collect();
        if self.process.world.is_planted(Plant::NoDispatchCheck)
            && let [command] = &mut commands[..]
            && bring_up_to_date(&self.process.world, command)
            && let Ok(body) = aidt_proto::encode_command(command)
        {
            delivery.body = body;
        }
        let results = commands.iter().filter_map(|c| match &c.body {
            CommandBody::Finished(f) => Some((c.run, f.step, f.dispatch)),
            _ => None,
        });
        self.of.insert((*partition, delivery.tag), results.collect());
        let world = &self.process.world;
        world.with(|s| commands.iter().for_each(|c| s.notes.count("command", c.body.name())));
        for command in &commands {
            world.line(|| format!("{} receives {} of {}", self.process.id, command.body.name(), command.run));
        }
    }

    fn check_ack(&mut self, tag: (PartitionId, Tag)) {
        let world = &self.process.world;
        for key in self.of.remove(&tag).unwrap_or_default() {
            if world.with(|s| s.truth.is_out(key)) {
                world.breaks(Invariant::AckLast, || format!("the result of {key:?} is acked and not recorded"));
            }
        }
    }
}

fn bring_up_to_date(world: &Shared, command: &mut Command) -> bool {
    let CommandBody::Finished(finished) = &mut command.body else { return false };
    let current = world.with(|s| s.truth.runs.get(&command.run)?.steps.get(&finished.step).map(|step| step.dispatch));
    match current {
        Some(current) if current > finished.dispatch => {
            finished.dispatch = current;
            true
        }
        _ => false,
    }
}

#[async_trait]
impl Commands for SimCommands {
    async fn recv(&mut self, max: usize) -> Result<(Vec<(PartitionId, Delivery)>, Vec<PartitionId>)> {
        before(&self.process, "recv_commands").await?;
        loop {
            if let Some(late) = self.late.due(Instant::now()) {
                return Ok((vec![late], Vec::new()));
            }
            let next = self.late.next(Instant::now());
            let (mut got, nudged) = tokio::select! {
                biased;
                got = self.inner.recv(max) => got?,
                () = sleep_until(next) => continue,
            };
            got.iter_mut().for_each(|one| self.note(one));
            if self.process.world.is_planted(Plant::AckBeforeCommit) {
                let tags: Vec<_> = got.iter().map(|(partition, d)| (*partition, d.tag)).collect();
                tags.iter().for_each(|tag| self.check_ack(*tag));
                crate::shared::now(self.inner.ack(&tags))?;
            }
            self.late.arrange(&self.process.world, &mut got, |(p, d)| (*p, redelivered(d)));
            if !got.is_empty() || !nudged.is_empty() {
                return Ok((got, nudged));
            }
        }
    }

    async fn ack(&mut self, tags: &[(PartitionId, Tag)]) -> Result<()> {
        before(&self.process, "ack_commands").await?;
        tags.iter().for_each(|tag| self.check_ack(*tag));
        self.inner.ack(tags).await?;
        after(&self.process, "ack_commands").await
    }
}
