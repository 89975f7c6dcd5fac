//! A stream of the commands of some partitions, and of their nudges: one channel for all.

use crate::error::Error;
use crate::intake::Intake;
use crate::nudge;
use crate::queue::Core;
use aidt_domain::PartitionId;
use aidt_queue::{Commands, Delivery, QueueError, Tag};
use async_trait::async_trait;
use std::collections::BTreeSet;
use std::sync::Arc;

pub(crate) struct RabbitCommands {
    core: Arc<Core>,
    partitions: BTreeSet<PartitionId>,
    intake: Intake<PartitionId>,
}

impl RabbitCommands {
    pub(crate) async fn open(core: Arc<Core>, partitions: BTreeSet<PartitionId>) -> Result<Self, Error> {
        let intake = core.open_commands(&partitions).await?;
        Ok(Self { core, partitions, intake })
    }

    async fn take(&mut self, max: usize) -> Result<Taken, Error> {
        loop {
            self.intake.gather(max.max(1))?;
            let taken = self.intake.hand_out(max.max(1));
            let notices = self.intake.notices();
            let nudged: BTreeSet<PartitionId> =
                notices.iter().flat_map(|body| nudge::decode(body)).filter(|p| self.partitions.contains(p)).collect();
            if !taken.is_empty() || !nudged.is_empty() {
                return Ok((taken, nudged.into_iter().collect()));
            }
            tokio::select! {
                biased;
                () = self.core.closed() => return Err(Error::Closed),
                arrived = self.intake.arrive() => arrived?,
            }
        }
    }
}

type Taken = (Vec<(PartitionId, Delivery)>, Vec<PartitionId>);

#[async_trait]
impl Commands for RabbitCommands {
    async fn recv(&mut self, max: usize) -> Result<Taken, QueueError> {
        self.take(max).await.map_err(|error| error.of("recv_commands"))
    }

    async fn ack(&mut self, tags: &[(PartitionId, Tag)]) -> Result<(), QueueError> {
        self.intake.ack(tags.iter().map(|(_, tag)| *tag)).map_err(|error| error.of("ack_commands"))
    }
}
