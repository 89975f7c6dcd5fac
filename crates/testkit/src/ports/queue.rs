//! The broker as one process sees it.

use super::Struck;
use super::streams::{SimCommands, SimSteps};
use crate::chaos::Port;
use crate::process::Process;
use crate::shared::{Broker, Shared};
use aidt_domain::{CommandBody, PartitionId, Pool};
use aidt_queue::{Commands, Kind, Outgoing, Queue, QueueError, Steps};
use async_trait::async_trait;
use bytes::Bytes;
use std::sync::Arc;

type Result<T> = std::result::Result<T, QueueError>;

/// The broker as one process sees it.
#[derive(Debug)]
pub(crate) struct SimQueue(pub(crate) Arc<Process>);

pub(super) async fn before(process: &Process, operation: &'static str) -> Result<()> {
    let struck = process.before(Port::Queue, operation).await;
    struck.map_err(|Struck| QueueError { operation, kind: Kind::Unavailable, source: None })
}

pub(super) async fn after(process: &Process, operation: &'static str) -> Result<()> {
    let struck = process.after(Port::Queue, operation).await;
    struck.map_err(|Struck| QueueError { operation, kind: Kind::Unknown, source: None })
}

impl SimQueue {
    /// One of those that read steps of a broker that is a log may read again what it has not committed.
    fn unsettle(&self) {
        let world = &self.0.world;
        let Broker::Log(log) = &world.queue else { return };
        let unsettled = world.with(|s| {
            let rate = s.chaos.doubles;
            s.chaos.hits(rate)
        });
        if unsettled {
            world.count("fault", "read_again");
            log.unsettle_somebody();
        }
    }

    /// Some messages twice; of a batch that is about to fail, only some.
    fn mangle<T: Clone>(&self, batch: &mut Vec<(T, Outgoing)>) -> bool {
        let world = &self.0.world;
        let (double, cut) = world.with(|s| {
            let rate = s.chaos.doubles;
            let double = s.chaos.hits(rate).then(|| s.chaos.rng.below(batch.len() as u64) as usize);
            let cut = s.chaos.hits(rate / 4).then(|| s.chaos.rng.below(batch.len() as u64) as usize);
            (double, cut)
        });
        if let Some(copy) = double.and_then(|i| batch.get(i).cloned()) {
            world.count("fault", "double_publish");
            batch.push((copy.0, Outgoing { republished: true, ..copy.1 }));
        }
        if let Some(cut) = cut {
            world.count("fault", "cut_publish");
            batch.truncate(cut);
        }
        cut.is_some()
    }
}

#[async_trait]
impl Queue for SimQueue {
    async fn incarnation(&self) -> Result<String> {
        before(&self.0, "incarnation").await?;
        self.0.world.queue.incarnation().await
    }

    async fn publish_steps(&self, mut steps: Vec<(Pool, Outgoing)>) -> Result<()> {
        before(&self.0, "publish_steps").await?;
        self.unsettle();
        let cut = self.mangle(&mut steps);
        for (_, out) in &steps {
            note_published(&self.0.world, &out.body);
        }
        self.0.world.queue.publish_steps(steps).await?;
        if cut {
            return Err(QueueError { operation: "publish_steps", kind: Kind::Unknown, source: None });
        }
        after(&self.0, "publish_steps").await
    }

    async fn publish_commands(&self, mut commands: Vec<(PartitionId, Outgoing)>) -> Result<()> {
        before(&self.0, "publish_commands").await?;
        let cut = self.mangle(&mut commands);
        for (_, out) in &commands {
            note_reported(&self.0.world, &out.body);
        }
        self.0.world.queue.publish_commands(commands).await?;
        if cut {
            return Err(QueueError { operation: "publish_commands", kind: Kind::Unknown, source: None });
        }
        after(&self.0, "publish_commands").await
    }

    async fn nudge(&self, partitions: &[PartitionId]) {
        let drops = self.0.world.with(|s| {
            let rate = s.chaos.drops;
            s.chaos.hits(rate)
        });
        if drops {
            self.0.world.count("fault", "drop_nudge");
        } else {
            self.0.world.queue.nudge(partitions).await;
        }
    }

    async fn steps(&self, pool: &Pool, prefetch: u32) -> Result<Box<dyn Steps>> {
        before(&self.0, "steps").await?;
        let inner = self.0.world.queue.steps(pool, prefetch).await?;
        Ok(Box::new(SimSteps::new(Arc::clone(&self.0), inner)))
    }

    async fn commands(&self, partitions: &[(PartitionId, i64)]) -> Result<Box<dyn Commands>> {
        before(&self.0, "commands").await?;
        let inner = self.0.world.queue.commands(partitions).await?;
        Ok(Box::new(SimCommands::new(Arc::clone(&self.0), inner)))
    }
}

fn note_published(world: &Shared, body: &Bytes) {
    if let Ok(step) = aidt_proto::decode_step(body) {
        world.with(|s| s.truth.published.insert((step.run, step.step, step.dispatch)));
    }
}

/// A result is on its way, where no process can lose it.
pub(super) fn note_reported(world: &Shared, body: &Bytes) {
    if let Ok(command) = aidt_proto::decode_command(body)
        && let CommandBody::Finished(finished) = &command.body
    {
        world.with(|s| s.truth.reported.insert((command.run, finished.step, finished.dispatch)));
    }
}
